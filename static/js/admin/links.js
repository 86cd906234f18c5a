// Every id is a link to what it names, if there is a page about it.

import { html } from "../shared/html.js";
import { display } from "../shared/money.js";
import { lineOf } from "./record_names.js";

/** @type {Record<string, (id: string) => string>} */
const PAGES = {
  usr: (id) => `/admin/users/${id}`,
  alr: () => "/admin/alerts?show=all",
  apr: () => "/admin/approvals",
  cbk: (id) => `/admin/chargebacks/${id}`,
  dif: () => "/admin/differences",
  dsp: (id) => `/admin/disputes/${id}`,
  evt: (id) => `/admin/webhook-events/${id}`,
  out: () => "/admin/dead-letters",
  rec: (id) => `/admin/reconciliations/${id}`,
  rep: () => "/admin/reports",
  trf: () => "/admin/transfers",
  trl: () => "/admin/audit",
  pay: (id) => `/admin/payments/${id}`,
  ofr: (id) => `/admin/transactions?offer_id=${id}`,
  job: (id) => `/admin/disputes?job_id=${id}`,
};

const KINDS = /** @type {Record<string, string>} */ ({
  ofr: "Offer", pay: "Payment", dsp: "Dispute", cbk: "Chargeback", trf: "Transfer", wdr: "Withdrawal", alr: "Alert", apr: "Approval",
  dif: "Difference", rec: "Reconciliation", rep: "Report", evt: "Stripe event", out: "Dead letter", trl: "Check of the trail", fil: "File",
});

/** A link to what has the id, under its name. @param {{id: string | null | undefined, children?: any}} props */
export function Id({ id, children }) {
  if (!id) return html`<span class="soft">none</span>`;
  const prefix = id.split("_")[0];
  const page = prefix === id ? undefined : PAGES[prefix];
  const shown = children || html`<${Name} id=${id} prefix=${prefix} />`;
  return page ? html`<a href=${page(id)} title=${id}>${shown}</a>` : html`<span title=${id}>${shown}</span>`;
}

/** @param {{id: string, prefix: string}} props */
function Name({ id, prefix }) {
  const line = lineOf(id);
  const kind = KINDS[prefix];
  if (line && kind && line.amount !== null && line.currency) return html`${kind} ${display(line.amount, line.currency)}`;
  if (line?.title) return line.title;
  return kind ?? html`<code class="small">${id}</code>`;
}
