// The client's frame: its sections for the role of the person who is signed in.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Avatar } from "../shared/pieces.js";
import { me } from "../shared/server.js";
import { Shell } from "../shared/shell.js";
import { conversations, matched, unread, unseen } from "./world.js";

const waiting = () => [...conversations.value.values()].filter((each) => unread(each) > 0).length;

/** @type {Record<string, import("../shared/shell.js").Section[]>} */
const SECTIONS = {
  customer: [
    { path: "/", label: "Home", icon: "house" },
    { path: "/jobs", label: "My jobs", icon: "briefcase" },
    { path: "/chat", label: "Chat", icon: "messages-square", count: waiting },
    { path: "/payments", label: "Payments", icon: "credit-card" },
    { path: "/disputes", label: "Disputes", icon: "scale", more: true },
    { path: "/notifications", label: "Notifications", icon: "bell", count: () => unseen.value, more: true },
  ],
  contractor: [
    { path: "/", label: "Home", icon: "house" },
    { path: "/jobs", label: "Find work", icon: "search" },
    { path: "/searches", label: "Saved searches", icon: "bookmark", count: () => matched.value.size, more: true },
    { path: "/work", label: "My work", icon: "briefcase" },
    { path: "/chat", label: "Chat", icon: "messages-square", count: waiting },
    { path: "/wallet", label: "Wallet", icon: "wallet" },
    { path: "/disputes", label: "Disputes", icon: "scale", more: true },
    { path: "/notifications", label: "Notifications", icon: "bell", count: () => unseen.value, more: true },
  ],
};

/** @type {import("../shared/palette.js").Entry[]} */
const SETTINGS = [
  { path: "/settings", label: "Profile", icon: "user", more: "Settings" }, { path: "/settings/security", label: "Security", icon: "key-round", more: "Settings" },
  { path: "/settings/devices", label: "Devices", icon: "smartphone", more: "Settings" }, { path: "/settings/notices", label: "Notices", icon: "bell", more: "Settings" },
  { path: "/settings/data", label: "Your data", icon: "download", more: "Settings" },
];

/** Views that have no section. @type {Record<string, import("../shared/palette.js").Entry[]>} */
const MORE = {
  customer: [{ path: "/jobs/new", label: "Post a job", icon: "plus" }, { path: "/payments/methods", label: "Saved payment methods", icon: "credit-card", more: "Payments" }, ...SETTINGS],
  contractor: SETTINGS,
};

/** @param {{children: any}} props */
export function Frame({ children }) {
  const user = me.value;
  if (!user) return html`<main id="main" tabindex="-1">${children}</main>`;
  const menu = html`<a class="me-button nav-link" href="/settings">
    <${Avatar} id=${user.id} name=${user.name ?? "?"} />
    <span class="about truncate">${user.name ?? ""}<br /><small class="soft">Settings</small></span>
  </a>`;
  const news = unseen.value;
  const bar = html`<a class="button quiet icon-only bell" href="/notifications"
      aria-label=${news ? `Notifications, ${news} new` : "Notifications"}><${Icon} name="bell" class="large" />
      ${news > 0 && html`<span class="count">${news > 99 ? "99+" : news}</span>`}</a>
    <a href="/settings"><${Avatar} id=${user.id} name=${user.name ?? "?"} /><span class="visually-hidden">Settings</span></a>`;
  return html`<${Shell} home="/" groups=${[{ sections: SECTIONS[user.role] }]} more=${MORE[user.role]} bar=${bar} menu=${menu}>${children}</${Shell}>`;
}
