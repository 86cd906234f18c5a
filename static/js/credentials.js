// The parts of one's own account that are about signing in: address, password and devices.

import { button, empty, field, folded, form, meta, section, when } from "./parts.js";
import { changed, notify, state } from "./state.js";
import { api } from "./api.js";
import { el } from "./dom.js";

let sessions = null;

const ask = (name, fields = {}) => api.post(`/api/account/${name}`, fields);

export async function loadSessions() {
  sessions = await api.get("/api/account/sessions");
  changed();
}

export function forgetSessions() {
  sessions = null;
}

export function credentialSections() {
  return [
    section("E-mail", state.user.verified_at ? null : unverified(), folded("Change your e-mail address…", "email",
      form("email_change", "", "Change e-mail", field("New e-mail", "email", { type: "email", maxlength: 254 }),
        current("password")))),
    section("Password", folded("Change your password…", "password",
      form("password", "", "Change password", current("current_password"), field("New password", "password", {
        type: "password", autocomplete: "new-password", minlength: 12, maxlength: 256,
      })))),
    section("Devices", deviceList()),
  ];
}

function current(name) {
  return field("Current password", name, {
    type: "password", autocomplete: "current-password", maxlength: 256,
  });
}

function unverified() {
  return el(
    "div.card", { "data-key": "unverified" },
    el("p", {}, `${state.user.email ?? "Your address"} is not confirmed yet.`),
    form("verify", "", "Confirm", field("Code of the mail", "code", {
      inputmode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}", maxlength: 6,
    })),
    button("Mail me a code", "verify_send", "", "quiet"),
  );
}

function deviceList() {
  if (sessions === null) return empty("Loading…");
  return [
    el("ol.lines.card", {}, sessions.map((session) => el(
      "li.record", { "data-key": session.id },
      el("strong", {}, session.device || "Unknown device", session.current && " (this one)"),
      meta(session.address, "Used ", when(session.last_used_at)),
    ))),
    sessions.length > 1 && button("Sign out all other devices", "end_others", "", "quiet"),
  ];
}

export const credentialActions = {
  async email_change({ fields, element }) {
    const { agreement_required: both } = await ask("email_change", fields);
    element.reset();
    notify(both
      ? `We have sent links to ${fields.email} and to your old address. The new one counts when you open both.`
      : `We have sent a link to ${fields.email}. The address counts when you open it.`);
  },
  async password({ fields, element }) {
    await ask("password", fields);
    element.reset();
    notify("Your password was changed, and other devices were signed out.");
    await loadSessions();
  },
  async verify({ fields }) {
    await ask("verify", fields);
    state.user = await api.get("/api/account/me");
    notify("Your e-mail address is confirmed.");
  },
  async verify_send() {
    await ask("verify_send");
    notify("A mail with a code is on its way.");
  },
  async end_others() {
    await ask("sessions_end_others");
    await loadSessions();
  },
};
