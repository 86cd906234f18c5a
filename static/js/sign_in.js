// Signing in and opening an account; also the first step of the live monitor.

import { choice, field, form } from "./parts.js";
import { api } from "./api.js";
import { el } from "./dom.js";

const ROLES = [["customer", "I have work to be done"], ["contractor", "I do work"]];

function credentials(isNew) {
  const complete = isNew ? "new-password" : "current-password";
  const rules = isNew ? { minlength: 12, hint: "At least 12 characters; a few uncommon words are best." } : {};
  return [
    field("E-mail", "email", { type: "email", autocomplete: "username", maxlength: 254 }),
    field("Password", "password", { type: "password", autocomplete: complete, maxlength: 256, ...rules }),
  ];
}

function signIn() {
  return el("div.card", { "data-key": "sign-in" }, el("h1", {}, "Sign in"),
    form("sign_in", "", "Sign in", ...credentials(false)));
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

export const doorActions = {
  sign_in: ({ fields }) => api.login(fields.email, fields.password),
  register: ({ fields }) => api.register(fields),
};
