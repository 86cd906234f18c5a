// The back office's frame.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Avatar } from "../shared/pieces.js";
import { me, server } from "../shared/server.js";
import { Shell } from "../shared/shell.js";
import { display } from "../shared/money.js";
import { pageOf } from "./ids.js";

/** @type {(name: string, label: string, icon: import("../shared/icons.js").IconName, more?: boolean) => import("../shared/shell.js").Section} */
const section = (name, label, icon, more = true) => ({ path: `/admin${name}`, label, icon, more });

const GROUPS = [
  { sections: [{ ...section("", "Monitor", "gauge", false), exact: true }, section("/activity", "Activity", "zap"), section("/alerts", "Alerts", "shield-alert")] },
  { title: "People", sections: [section("/users", "Users", "users", false), section("/jobs", "Jobs", "briefcase"), section("/offers", "Offers", "handshake"), section("/reports", "Reports", "flag"), section("/disputes", "Disputes", "scale", false)] },
  { title: "Money", sections: [
    section("/payments", "Payments", "credit-card", false), section("/holds", "Holds that expire", "hourglass"), section("/escrow", "Escrow", "lock"),
    section("/transactions", "Journal", "list"), section("/commissions", "Commissions", "percent"), section("/wallets", "Wallets and debts", "wallet"), section("/transfers", "Transfers", "arrow-right"),
    section("/withdrawals", "Withdrawals", "landmark"), section("/chargebacks", "Chargebacks", "undo-2"), section("/approvals", "Approvals", "check-check"),
    section("/reconciliations", "Reconciliation", "list-checks"), section("/differences", "Differences", "triangle-alert"), section("/foreign-lines", "Not ours", "inbox"), section("/ownerless", "Without owner", "hand-coins"),
  ] },
  { title: "System", sections: [section("/webhook-events", "Stripe events", "webhook"), section("/dead-letters", "Dead letters", "inbox"), section("/audit", "Audit trail", "history")] },
];

/** @type {import("../shared/palette.js").Entry[]} */
const MORE = [
  { path: "/admin/users?role=admin", label: "Administrators", icon: "shield", more: "People" },
  { path: "/admin/settings", label: "Settings", icon: "settings" }, { path: "/admin/settings/security", label: "Security", icon: "key-round", more: "Settings" },
  { path: "/admin/settings/devices", label: "Devices", icon: "smartphone", more: "Settings" },
];

/** @type {Record<string, [string, import("../shared/icons.js").IconName]>} what the beginnings of ids mean */
const KINDS = {
  usr: ["user", "user"], job: ["job", "briefcase"], ofr: ["offer", "handshake"], pay: ["payment", "credit-card"], dsp: ["dispute", "scale"], cbk: ["chargeback", "undo-2"],
  trf: ["transfer", "arrow-right"], wdr: ["withdrawal", "landmark"], txn: ["transaction", "list"], rep: ["report", "flag"], evt: ["Stripe event", "webhook"],
};

/** @type {import("../shared/palette.js").Find} */
async function find(q) {
  const { items } = await server.admin.find({ q });
  return items.map(({ id, title, status, amount, currency }) => {
    const [kind, icon] = KINDS[id.slice(0, 3)] ?? ["record", "circle"];
    const more = [kind, status?.replaceAll("_", " "), amount !== null && currency && display(amount, currency)].filter(Boolean).join(", ");
    return { path: pageOf(id) ?? "/admin", label: title || id, icon, more };
  });
}

/** @param {{children: any}} props */
export function Frame({ children }) {
  const user = me.value ?? { id: "", name: "" };
  const avatar = html`<${Avatar} id=${user.id} name=${user.name ?? "?"} />`;
  return html`<${Shell} home="/admin" groups=${GROUPS} more=${MORE} find=${find} bar=${html`<a href="/admin/settings/security">${avatar}<span class="visually-hidden">Settings</span></a>`}
    menu=${html`<a class="me-button nav-link" href="/admin/settings/security">${avatar}<span class="about truncate">${user.name ?? ""}<br />
      <small class="soft">Settings</small></span><${Icon} name="settings" /></a>`}>${children}</${Shell}>`;
}
