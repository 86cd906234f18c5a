// Pages that mails lead to, and those that ask for such a mail. They need no session.
//
// The token is behind the # of the address, so that no server and no log sees it.

import { useMemo } from "preact/hooks";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { go } from "../shared/router.js";
import { server } from "../shared/server.js";
import { say } from "../shared/toasts.js";
import { Door, login, registered } from "./entry.js";

const HINT = "At least 12 characters; a few uncommon words are best.";
const CHANGED = "Your new e-mail address is confirmed. Sign in with it from now on.";

const useToken = () => useMemo(() => decodeURIComponent(location.hash.slice(1)), []);

/** Go to the sign-in, and leave no token in the history. @param {string} text */
function signInNext(text) {
  go("/sign-in", { replace: true });
  say(text, { tone: "good" });
}

const Back = () => html`<p class="small"><a href="/sign-in">Sign in</a></p>`;

export function Forgot() {
  const form = useForm(async (fields) => {
    await server.account.reset_request(/** @type {any} */ (fields));
    signInNext("If there is an account with this address, a mail is on its way to it.");
  });
  return html`<${Door} title="Forgot your password?">
    <p>Enter your e-mail address. We mail you a link to set a new password.</p>
    <form onSubmit=${form.submit}>
      <${Field} form=${form} name="email" label="E-mail" type="email" autocomplete="username" required maxlength="254" />
      <${Submit} form=${form} class="primary block">Mail me a link</${Submit}>
    </form><${Back} /></${Door}>`;
}

export function Reset() {
  const token = useToken();
  const form = useForm(async ({ password }) => {
    await server.account.reset({ token, password });
    signInNext("Your new password is set. Sign in with it.");
  });
  return html`<${Door} title="Set a new password">
    <p>All your devices are signed out then.</p>
    <form onSubmit=${form.submit}>
      <${Field} form=${form} name="password" label="New password" type="password" autocomplete="new-password" required
        minlength="12" maxlength="1024" hint=${HINT} />
      <${Submit} form=${form} class="primary block">Set password</${Submit}>
    </form><${Back} /></${Door}>`;
}

export function Verify() {
  const verification = useToken();
  const form = useForm(async (fields) => {
    if (!(await login({ ...fields, verification }))) go("/sign-in", { replace: true });
  });
  return html`<${Door} title="Confirm your e-mail address">
    <p>Sign in to confirm that the address is yours.</p>
    <form onSubmit=${form.submit}>
      <${Field} form=${form} name="email" label="E-mail" type="email" autocomplete="username" required maxlength="254" />
      <${Field} form=${form} name="password" label="Password" type="password" autocomplete="current-password" required maxlength="1024" />
      <${Submit} form=${form} class="primary block">Sign in</${Submit}>
    </form></${Door}>`;
}

export function Code() {
  const waiting = registered.value;
  const form = useForm(async ({ code }) => {
    const { email, password } = registered.value;
    if (await login({ email, password, verification: code })) registered.value = null;
  });
  return html`<${Door} title="Check your mail">
    <p>We have sent a mail to ${waiting?.email ?? "you"}. Open its link${waiting && ", or enter its code here"}.</p>
    ${waiting && html`<form onSubmit=${form.submit}>
      <${Field} form=${form} name="code" label="Code" inputmode="numeric" autocomplete="one-time-code" required
        pattern="[0-9]{6}" maxlength="6" />
      <${Submit} form=${form} class="primary block">Confirm</${Submit}>
    </form>`}<${Back} /></${Door}>`;
}

/**
 * A page that takes the token of a link by one button.
 *
 * @param {{title: string, text: string, yes: string, pending: string, done: string}} words
 */
function confirming({ title, text, yes, pending, done }) {
  return function Confirm() {
    const token = useToken();
    const form = useForm(async () => {
      const answer = await server.account.email_confirm({ token });
      signInNext("pending" in answer && answer.pending ? pending : done);
    });
    return html`<${Door} title=${title}><p>${text}</p>
      <form onSubmit=${form.submit}><${Submit} form=${form} class="primary block">${yes}</${Submit}></form></${Door}>`;
  };
}

export const ConfirmEmail = confirming({
  title: "Your new e-mail address",
  text: "Confirm that this is the new address of your account.",
  yes: "Confirm",
  pending: "This address is confirmed. It counts when the link that we mailed to your old address was opened, too.",
  done: CHANGED,
});

export const AgreeEmail = confirming({
  title: "The new address of your account",
  text: "Agree only if you have asked for it yourself: your account moves to another address.",
  yes: "Agree",
  pending: "You have agreed. The new address counts when the link that we mailed to it was opened, too.",
  done: CHANGED,
});

export const UndoEmail = confirming({
  title: "Keep your old e-mail address",
  text: "Your account keeps its old address, all devices are signed out, and we mail you a link to set a new password.",
  yes: "Keep the old address",
  pending: "",
  done: "Your old address stays. We have mailed you a link to set a new password.",
});
