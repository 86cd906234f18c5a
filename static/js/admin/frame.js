// The back office's frame.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Avatar } from "../shared/pieces.js";
import { me } from "../shared/server.js";
import { Shell } from "../shared/shell.js";

/** @type {(name: string, label: string, icon: import("../shared/icons.js").IconName, more?: boolean) => import("../shared/shell.js").Section} */
const section = (name, label, icon, more = true) => ({ path: `/admin${name}`, label, icon, more });

const GROUPS = [
  { sections: [{ ...section("", "Monitor", "gauge", false), exact: true }, section("/activity", "Activity", "zap"), section("/alerts", "Alerts", "shield-alert")] },
  { title: "People", sections: [section("/users", "Users", "users", false), section("/reports", "Reports", "flag"), section("/disputes", "Disputes", "scale", false)] },
  { title: "Money", sections: [
    section("/payments", "Payments", "credit-card", false), section("/transactions", "Journal", "list"), section("/commissions", "Commissions", "percent"), section("/wallets", "Wallets and escrow", "wallet"),
    section("/transfers", "Transfers", "arrow-right"), section("/chargebacks", "Chargebacks", "undo-2"), section("/approvals", "Approvals", "check-check"),
    section("/reconciliations", "Reconciliation", "list-checks"), section("/differences", "Differences", "triangle-alert"),
  ] },
  { title: "System", sections: [section("/webhook-events", "Stripe events", "webhook"), section("/dead-letters", "Dead letters", "inbox"), section("/audit", "Audit trail", "history")] },
];

/** @param {{children: any}} props */
export function Frame({ children }) {
  const user = me.value ?? { id: "", name: "" };
  const avatar = html`<${Avatar} id=${user.id} name=${user.name ?? "?"} />`;
  return html`<${Shell} home="/admin" groups=${GROUPS} bar=${html`<a href="/admin/settings/security" aria-label="Settings">${avatar}</a>`}
    menu=${html`<a class="me-button nav-link" href="/admin/settings/security">${avatar}<span class="about truncate">${user.name ?? ""}<br />
      <small class="soft">Settings</small></span><${Icon} name="settings" /></a>`}>${children}</${Shell}>`;
}
