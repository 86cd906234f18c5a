// Signing in and opening an account; also the first step of the live monitor.

import { button, choice, field, form } from "./parts.js";
import { sign, supported } from "./passkeys.js";
import { api } from "./api.js";
import { codeField } from "./account.js";
import { el } from "./dom.js";
import { state } from "./state.js";

const ROLES = [["customer", "I have work to be done"], ["contractor", "I do work"]];

function credentials(isNew) {
  const complete = isNew ? "new-password" : "current-password";
  const rules = isNew ? { minlength: 12, hint: "At least 12 characters; a few uncommon words are best." } : {};
  return [
    field("E-mail", "email", { type: "email", autocomplete: "username", maxlength: 254 }),
    field("Password", "password", { type: "password", autocomplete: complete, maxlength: 256, ...rules }),
  ];
}

let second = null; // {challenge, methods} of a sign-in that needs a second factor

function signIn() {
  if (second) return secondStep();
  return el("div.card", { "data-key": "sign-in" }, el("h1", {}, "Sign in"),
    form("sign_in", "", "Sign in", ...credentials(false)),
    supported && el("div.actions", {}, button("Sign in with a passkey", "sign_in_passkey")),
    el("p.switch", {}, el("a", { href: "/#/forgot" }, "Forgot your password?")));
}

function secondStep() {
  const { methods } = second;
  return el(
    "div.card", { "data-key": "second-step" }, el("h1", {}, "Confirm that it is you"),
    methods.includes("passkey") && supported && el("div.actions", {},
      button("Use a passkey", "sign_in_passkey", "", "primary")),
    form("sign_in_code", "", "Confirm",
      codeField(methods.includes("totp") ? "Code of your app, or a recovery code" : "Recovery code")),
    button("Start again", "sign_in_again", "", "quiet"),
  );
}

export function adminDoor() {
  return el("div.door", {}, signIn());
}

export function door(isNew) {
  return el(
    "div.door", {},
    el("p.lead", {}, "Work found, agreed and paid, live."),
    isNew
      ? el(
        "div.card", { "data-key": "register" }, el("h1", {}, "Create an account"),
        form(
          "register", "", "Create account",
          field("Name", "name", { autocomplete: "name", maxlength: 80 }),
          ...credentials(true), choice("What brings you here?", "role", ROLES),
        ),
      )
      : signIn(),
    el("p.switch", {}, isNew
      ? el("a", { href: "#/sign-in" }, "I have an account")
      : el("a", { href: "#/register" }, "Create an account")),
  );
}

/** A challenge that is too old or was answered leads back to the password. */
async function startOver(step) {
  try {
    return await step();
  } catch (problem) {
    if (problem.code === "unauthenticated") second = null;
    throw problem;
  }
}

export const doorActions = {
  async sign_in({ fields }) {
    try {
      await api.login(fields.email, fields.password, fields.verification);
    } catch (problem) {
      if (problem.code !== "second_factor_required") throw problem;
      second = problem.details;
    }
  },
  async sign_in_code({ fields }) {
    await startOver(() => api.loginCode(second.challenge, fields.code));
    second = null;
  },
  async sign_in_passkey() {
    const challenge = second?.challenge;
    const options = await startOver(() =>
      api.ask("/api/account/passkey_options", challenge ? { challenge } : {}));
    await api.loginPasskey(await sign(options), challenge);
    second = null;
  },
  sign_in_again() {
    second = null;
  },
  async sign_in_verified({ id, fields }) {
    await doorActions.sign_in({ fields: { ...fields, verification: id } });
    if (second) location.hash = "#/sign-in";
  },
  async register({ fields }) {
    if (await api.register(fields)) return;
    state.registered = fields;
    location.hash = "#/code";
  },
  async enter_code({ fields }) {
    const { email, password } = state.registered;
    await api.login(email, password, fields.code);
    state.registered = null;
  },
};
