// The steps of an administrator about a person: ban, let in again, sign out.

import { html } from "../shared/html.js";
import { server } from "../shared/server.js";
import { step } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").SeenUser} SeenUser */

/** @param {SeenUser} user */
export const ban = ({ id, name }) => step({
  title: `Ban ${name}?`, yes: "Ban", danger: true, done: `${name} is banned.`, reason: "Why, for the person and for the trail",
  what: html`<p>All their sessions end at once, and they cannot sign in. Money and work that are agreed go on.</p>`,
  run: ({ reason }) => server.admin.ban({ user_id: id, reason }),
});

/** @param {SeenUser} user */
export const unban = ({ id, name, ban_reason }) => step({
  title: `Let ${name} in again?`, yes: "Let in", done: `${name} can sign in again.`,
  what: html`<p>They were banned because: “${ban_reason}”. They can sign in from now on.</p>`,
  run: ({ reason }) => server.admin.unban({ user_id: id, reason }),
});

/** End one session of a person, or all of them. @param {SeenUser} user @param {import("../../client/jobsphere.js").SessionView | null} session */
export const endSessions = ({ id, name }, session) => step({
  title: session ? `Sign ${name} out of this device?` : `Sign ${name} out everywhere?`, yes: "Sign out", danger: true, done: `${name} is signed out.`,
  what: html`<p>${session ? html`“${session.device || "Unknown device"}” at ${session.address} is signed out at once.` : "All their devices are signed out at once."} They may sign in again with their password.</p>`,
  run: ({ reason }) => server.admin.session_end({ user_id: id, reason, ...(session && { session_id: session.id }) }),
});
