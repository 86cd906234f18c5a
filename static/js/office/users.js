// Users: found by address or id, kept out and let in again.

import { badge, button, choice, field, folded, form, meta, when } from "../parts.js";
import { api } from "../api.js";
import { el } from "../dom.js";
import { listing } from "./listing.js";
import { notify } from "../state.js";

const ROLES = [["", "Any role"], ["customer", "Customers"], ["contractor", "Contractors"], ["admin", "Administrators"]];
const STATES = [["", "Any state"], ["banned", "Banned"], ["frozen", "Frozen"], ["deleted", "Deleted"]];

export const users = listing({
  name: "users",
  label: "Users",
  filters: () => [
    field("E-mail or id", "q", { required: false, maxlength: 254 }),
    choice("Role", "role", ROLES),
    choice("State", "state", STATES),
  ],
  row: (user) => el(
    "li.record", { "data-key": user.id },
    el(
      "div.row", {}, el("strong", {}, user.name),
      el("span.marks", {}, badge(user.role), marks(user)),
    ),
    meta(user.email, el("code", {}, user.id), when(user.created_at),
      user.stripe_account_id && el("code", {}, user.stripe_account_id),
      user.stripe_customer_id && el("code", {}, user.stripe_customer_id)),
    user.banned_at && el("p.text", {}, `Banned: ${user.ban_reason}`),
    user.frozen_at && el("p.text", {}, `Frozen: ${user.frozen_reason}`),
    door(user),
  ),
  actions: (put) => ({
    async ban({ id, fields }) {
      put(await api.command("/admin", "ban", { user_id: id, reason: fields.reason }));
      notify("The user is out, everywhere.");
    },
    async unban({ id }) {
      put(await api.command("/admin", "unban", { user_id: id }));
      notify("The user may sign in again.");
    },
  }),
});

function marks(user) {
  return STATES.filter(([state]) => user[`${state}_at`]).map(([state, label]) =>
    el("span.badge.bad", { "data-key": state }, label));
}

function door(user) {
  if (user.deleted_at || user.role === "admin") return null;
  if (user.banned_at) return el("div.actions", {}, button("Let in again", "unban", user.id));
  return folded("Ban…", `ban-${user.id}`, form(
    "ban", user.id, "Ban this user", field("Reason", "reason", { minlength: 3, maxlength: 1000 }),
  ));
}
