// Pages that mails lead to, and those that ask for such a mail. They need no session.

import { changed, notify, state } from "./state.js";
import { field, form } from "./parts.js";
import { api } from "./api.js";
import { el } from "./dom.js";

const PASSWORD = {
  type: "password", autocomplete: "new-password", minlength: 12, maxlength: 256,
  hint: "At least 12 characters; a few uncommon words are best.",
};
const CHANGED = "Your new e-mail address is confirmed. Sign in with it from now on.";
const EMAIL = { type: "email", autocomplete: "username", maxlength: 254 };

function card(key, title, ...children) {
  return el("div.card", { "data-key": key }, el("h1", {}, title), ...children);
}

function forgot() {
  return card("forgot", "Forgot your password?",
    el("p", {}, "Enter your e-mail address. We mail you a link to set a new password."),
    form("ask_reset", "", "Mail me a link", field("E-mail", "email", EMAIL)));
}

function reset([token]) {
  return card("reset", "Set a new password",
    el("p", {}, "All your devices are signed out then."),
    form("reset", token, "Set password", field("New password", "password", PASSWORD)));
}

function verify([token]) {
  return card("verify", "Confirm your e-mail address",
    el("p", {}, "Sign in to confirm that the address is yours."),
    form("sign_in_verified", token, "Sign in",
      field("E-mail", "email", EMAIL),
      field("Password", "password", { type: "password", autocomplete: "current-password", maxlength: 256 })));
}

function code() {
  return card("code", "Check your mail",
    el("p", {}, `We have sent a mail to ${state.registered?.email ?? "you"}. Open its link, or enter its code here.`),
    state.registered && form("enter_code", "", "Confirm", field("Code", "code", {
      inputmode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}", maxlength: 6,
    })));
}

function confirmEmail([token]) {
  return card("confirm-email", "Your new e-mail address",
    el("p", {}, "Confirm that this is the new address of your account."),
    form("confirm_email", token, "Confirm"));
}

function agreeEmail([token]) {
  return card("agree-email", "The new e-mail address of your account",
    el("p", {}, "Agree only if you have asked for it yourself: your account moves to another address."),
    form("agree_email", token, "Agree"));
}

function undoEmail([token]) {
  return card("undo-email", "Keep your old e-mail address",
    el("p", {}, "Your account keeps its old address, all devices are signed out, and we mail you a link "
      + "to set a new password."),
    form("undo_email", token, "Keep the old address"));
}

const PAGES = {
  forgot, reset, verify, code, "confirm-email": confirmEmail, "agree-email": agreeEmail, "undo-email": undoEmail,
};

/** The page of a route that needs no session, or null. */
export function mailedPage({ name, params }) {
  const page = Object.hasOwn(PAGES, name) ? PAGES[name] : null;
  return page && el("div.door", {}, page(params), el("p.switch", {}, el("a", { href: "#/sign-in" }, "Sign in")));
}

/** Go to the sign-in, and leave no token in the address or in the history. */
function signInNext(text) {
  history.replaceState(null, "", "#/sign-in");
  state.route = { name: "sign-in", params: [] };
  notify(text);
  changed();
}

export const mailedActions = {
  async ask_reset({ fields }) {
    await api.ask("/api/account/reset_request", fields);
    signInNext("If there is an account with this address, a mail is on its way to it.");
  },
  async reset({ id, fields }) {
    await api.ask("/api/account/reset", { token: id, password: fields.password });
    signInNext("Your new password is set. Sign in with it.");
  },
  async confirm_email({ id }) {
    const { pending } = await api.ask("/api/account/email_confirm", { token: id });
    signInNext(pending
      ? "This address is confirmed. It counts when the link that we mailed to your old address was opened, too."
      : CHANGED);
  },
  async agree_email({ id }) {
    const { pending } = await api.ask("/api/account/email_confirm", { token: id });
    signInNext(pending
      ? "You have agreed. The new address counts when the link that we mailed to it was opened, too."
      : CHANGED);
  },
  async undo_email({ id }) {
    await api.ask("/api/account/email_confirm", { token: id });
    signInNext("Your old address stays. We have mailed you a link to set a new password.");
  },
};
