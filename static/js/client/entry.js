// Signing in and opening an account.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { sign, supported } from "../shared/passkeys.js";
import { go, place } from "../shared/router.js";
import { Refusal, server } from "../shared/server.js";
import { focusView } from "../shared/shell.js";
import { Toasts } from "../shared/toasts.js";
import { enter } from "./app.js";

const PASSWORD_HINT = "At least 12 characters; a few uncommon words are best.";

/** The challenge of a sign-in that needs a second factor. @type {import("@preact/signals").Signal<any>} */
const second = signal(null);

/** What was registered and waits for the code of its mail. @type {import("@preact/signals").Signal<any>} */
export const registered = signal(null);

/** @param {{title: string, children: any}} props */
export function Door({ title, children }) {
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    document.title = `${title} · JobSphere`;
    focusView(main.current);
  }, [title]);
  return html`<div class="door">
    <header><a class="brand" href="/"><img src=${LOGO} alt="" />JobSphere</a></header>
    <main class="card" id="main" tabindex="-1" ref=${main}><h1 tabindex="-1">${title}</h1>${children}</main>
    <${Toasts} /></div>`;
}

const LOGO = new URL("../../favicon.svg", import.meta.url).href;

/**
 * Sign in with a password. False if it still needs what `second` has.
 *
 * @param {any} fields
 */
export async function login(fields) {
  try {
    await server.account.login(fields);
    enter();
    return true;
  } catch (refused) {
    if (!(refused instanceof Refusal) || refused.code !== "second_factor_required") throw refused;
    second.value = refused.details;
    return false;
  }
}

async function withPasskey() {
  const challenge = second.value?.challenge;
  try {
    const options = await server.account.passkey_options(challenge ? { challenge } : {});
    await server.account.passkey_login({ passkey: await sign(options), ...(challenge && { challenge }) });
  } catch (refused) {
    if (refused instanceof Refusal && refused.code === "unauthenticated") second.value = null;
    throw refused;
  }
  second.value = null;
  enter();
}

export function SignIn() {
  return second.value ? html`<${SecondStep} />` : html`<${FirstStep} />`;
}

function FirstStep() {
  const form = useForm(async (fields) => {
    await login(fields);
  });
  const passkey = useForm(withPasskey);
  return html`<${Door} title="Sign in">
    <form onSubmit=${form.submit}>
      <${Field} form=${form} name="email" label="E-mail" type="email" autocomplete="username" required maxlength="254" autofocus />
      <${Field} form=${form} name="password" label="Password" type="password" autocomplete="current-password" required maxlength="1024" />
      <${Submit} form=${form} class="primary block">Sign in</${Submit}>
    </form>
    ${supported && html`<p class="or">or</p><form onSubmit=${passkey.submit}>
      <${Submit} form=${passkey} class="block"><${Icon} name="fingerprint" />Sign in with a passkey</${Submit}></form>`}
    <p class="row spread small"><a href="/register">Create an account</a><a href="/forgot">Forgot your password?</a></p>
  </${Door}>`;
}

function SecondStep() {
  const { methods, challenge } = second.value;
  const form = useForm(async ({ code }) => {
    await server.account.login_code({ challenge, code });
    second.value = null;
    enter();
  });
  const passkey = useForm(withPasskey);
  return html`<${Door} title="Confirm that it is you">
    ${methods.includes("passkey") && supported && html`<form onSubmit=${passkey.submit}>
      <${Submit} form=${passkey} class="primary block"><${Icon} name="fingerprint" />Use a passkey</${Submit}></form>
      <p class="or">or</p>`}
    <form onSubmit=${form.submit}>
      <${Field} form=${form} name="code" autocomplete="one-time-code" required maxlength="32" autofocus
        label=${methods.includes("totp") ? "Code of your app, or a recovery code" : "Recovery code"} />
      <${Submit} form=${form} class="primary block">Confirm</${Submit}>
    </form>
    <button class="button quiet" type="button" onClick=${() => (second.value = null)}>Start again</button>
  </${Door}>`;
}

const ROLES = /** @type {const} */ ([
  ["customer", "I have work to be done", "Post jobs, choose who does them, pay for what is done."],
  ["contractor", "I do work", "Find jobs, agree on offers, be paid to your bank."],
]);

export function Register() {
  const chosen = place.value.query.get("role");
  const form = useForm(async (fields) => {
    const answer = await server.account.register(/** @type {any} */ (fields));
    if ("verification_required" in answer) {
      registered.value = fields;
      go("/code");
    } else enter();
  });
  return html`<${Door} title="Create an account">
    <form onSubmit=${form.submit}>
      <fieldset class="choices"><legend>What brings you here?</legend>
        ${ROLES.map(([role, label, hint]) => html`<label class="choice">
          <input type="radio" name="role" value=${role} required checked=${chosen === role} />
          <span><span class="strong">${label}</span><br /><span class="soft small">${hint}</span></span></label>`)}
      </fieldset>
      <${Field} form=${form} name="name" label="Name" autocomplete="name" required maxlength="80" />
      <${Field} form=${form} name="email" label="E-mail" type="email" autocomplete="username" required maxlength="254" />
      <${Field} form=${form} name="password" label="Password" type="password" autocomplete="new-password" required
        minlength="12" maxlength="1024" hint=${PASSWORD_HINT} />
      <${Submit} form=${form} class="primary block">Create account</${Submit}>
    </form>
    <p class="small">Do you have an account? <a href="/sign-in">Sign in</a></p>
  </${Door}>`;
}
