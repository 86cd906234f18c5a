// One's own account: address, password and devices, codes of an authenticator app, passkeys and recovery codes.

import { button, empty, field, folded, form, meta, section, when } from "./parts.js";
import { changed, notify, state } from "./state.js";
import { create, supported } from "./passkeys.js";
import { credentialActions, credentialSections, forgetSessions, loadSessions } from "./credentials.js";
import { api } from "./api.js";
import { el } from "./dom.js";

let passkeys = null;
let secret = null; // {secret, otpauth_url} of codes that are being set up
let shown = null; // recovery codes, shown once

/** Over HTTP, which works in a session that has still to set up a second factor, too. */
const ask = (name, fields = {}) => api.post(`/api/account/${name}`, fields);

export async function loadAccount() {
  const [user, found] = await Promise.all([
    api.get("/api/account/me"), api.get("/api/account/passkeys"),
    api.session.second_factor_setup_required ? null : loadSessions(),
  ]);
  state.user = user;
  passkeys = found.items;
  changed();
}

export function forgetAccount() {
  forgetSessions();
  passkeys = null;
  secret = null;
  shown = null;
}

export function accountView() {
  return el(
    "div", { "data-key": "account" },
    shown && recoveryCodes(),
    !api.session.second_factor_setup_required && credentialSections(),
    section("Passkeys", passkeyList(), supported
      ? form("passkey_add", "", "Add a passkey",
        field("Name of the passkey", "name", { value: "This device", maxlength: 80 }))
      : empty("This browser knows no passkeys.")),
    section("Codes of an authenticator app", state.user.totp_enabled ? codesOn() : codesOff()),
    hasFactor() && section("Recovery codes", renewal()),
    section("Your data", folded("Export my data…", "export", form(
      "export", "", "Export my data", passwordField()))),
  );
}

/** The page that the mail about a finished export leads to. */
export function exportView([id]) {
  return section("Your data export",
    el("p", {}, "Everything that we store about you, as one ZIP file. It is kept for seven days."),
    el("div.actions", {}, button("Download", "save_file", id, "primary")));
}

export const hasFactor = () => state.user.totp_enabled || state.user.passkey_count > 0;

function passkeyList() {
  if (passkeys === null) return empty("Loading…");
  if (passkeys.length === 0) return empty("None yet. A passkey signs in without a password.");
  return el("ol.lines.card", {}, passkeys.map((passkey) => el(
    "li.record", { "data-key": passkey.id },
    el("div.row", {}, el("strong", {}, passkey.name),
      button("Remove", "passkey_remove", passkey.id, "quiet")),
    meta("Added ", when(passkey.created_at), passkey.last_used_at && "Used ",
      passkey.last_used_at && when(passkey.last_used_at)),
    passkey.suspect_at && el("p.text", {}, "Locked, as it may have been copied: remove it."),
  )));
}

function codesOff() {
  if (!secret) return el("div.actions", {}, button("Set up codes", "totp_begin", "", "primary"));
  return el(
    "div.card", { "data-key": "secret" },
    el("p", {}, "Open ", el("a", { href: secret.otpauth_url }, "this link"),
      " on the device of your authenticator app, or type the secret there:"),
    el("p", {}, el("code", { "data-secret": true }, secret.secret)),
    form("totp_confirm", "", "Switch codes on", codeField("Code that the app shows")),
  );
}

function codesOn() {
  return folded("Switch codes off…", "totp-off", form(
    "totp_disable", "", "Switch codes off", passwordField(), codeField("Code")));
}

function renewal() {
  return folded("New recovery codes…", "renew", form(
    "recovery_codes", "", "Replace the recovery codes", passwordField(), codeField("Code")));
}

function recoveryCodes() {
  return el(
    "div.card.act", { "data-key": "recovery" }, el("h2", {}, "Your recovery codes"),
    el("p", {}, "Each signs you in once if you lose your second factor. They are shown only now."),
    el("ol.codes", {}, shown.map((code) => el("li", {}, el("code", {}, code)))),
    button("I have kept them", "codes_kept", "", "primary"),
  );
}

export function passwordField() {
  return field("Password", "password", {
    type: "password", autocomplete: "current-password", maxlength: 256,
  });
}

export function codeField(label) {
  return field(label, "code", {
    autocomplete: "one-time-code", minlength: 6, maxlength: 40, spellcheck: "false",
  });
}

/** What a new factor came with; a session that was limited until now is renewed to a full one. */
async function added({ recovery_codes }) {
  shown = recovery_codes ?? shown;
  if (api.session.second_factor_setup_required) await api.lift();
  await loadAccount();
}

export const accountActions = {
  ...credentialActions,
  async passkey_add({ fields }) {
    const passkey = await create(await ask("passkey_begin"));
    await added(await ask("passkey_add", { passkey, name: fields.name }));
    notify("The passkey was added.");
  },
  async passkey_remove({ id }) {
    await api.delete(`/api/account/passkeys/${id}`);
    await loadAccount();
  },
  async export({ fields }) {
    await ask("export", fields);
    notify("The export has begun. We will mail you when it can be downloaded.");
  },
  async totp_begin() {
    secret = await ask("totp_begin");
  },
  async totp_confirm({ fields }) {
    const answer = await ask("totp_confirm", fields);
    secret = null;
    await added(answer);
    notify("Signing in needs a code from now on.");
  },
  async totp_disable({ fields }) {
    await ask("totp_disable", fields);
    await loadAccount();
  },
  async recovery_codes({ fields, element }) {
    shown = (await ask("recovery_codes", fields)).recovery_codes;
    element.reset();
  },
  codes_kept() {
    shown = null;
  },
};
