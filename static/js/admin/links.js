// Every id is a link to what it names, if there is a page about it, and is shown by its name.

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
  fln: () => "/admin/foreign-lines",
  evt: (id) => `/admin/webhook-events/${id}`,
  job: (id) => `/admin/jobs/${id}`,
  ofr: (id) => `/admin/offers/${id}`,
  own: () => "/admin/ownerless",
  out: () => "/admin/dead-letters",
  pay: (id) => `/admin/payments/${id}`,
  rec: (id) => `/admin/reconciliations/${id}`,
  rep: () => "/admin/reports",
  trf: (id) => `/admin/transfers?transfer_id=${id}`,
  trl: () => "/admin/audit",
  txn: (id) => `/admin/transactions?transaction_id=${id}`,
  wdr: (id) => `/admin/withdrawals?withdrawal_id=${id}`,
};

const KINDS = /** @type {Record<string, string>} */ ({
  ofr: "Offer", pay: "Payment", dsp: "Dispute", cbk: "Chargeback", trf: "Transfer", wdr: "Withdrawal", txn: "Transaction", alr: "Alert", apr: "Approval",
  dif: "Difference", fln: "Line of Stripe’s books", rec: "Reconciliation", rep: "Report", evt: "Stripe event", out: "Dead letter", trl: "Check of the trail", fil: "File",
});

/** The page about what an id names; undefined if there is none. @param {string} id */
export const pageOf = (id) => (id.includes("_") ? PAGES[id.split("_")[0]]?.(id) : undefined);

/** A link to what has the id, under its name; with `titled` under its title, as that of its job. @param {{id: string | null | undefined, titled?: boolean, children?: any}} props */
export function Id({ id, titled = false, children }) {
  if (!id) return html`<span class="soft">none</span>`;
  const page = pageOf(id);
  const shown = children || html`<${Name} id=${id} titled=${titled} />`;
  return page ? html`<a href=${page} title=${id}>${shown}</a>` : html`<span title=${id}>${shown}</span>`;
}

/** @param {{id: string, titled: boolean}} props */
function Name({ id, titled }) {
  const line = lineOf(id);
  if (line === undefined) return html`<code class="small" aria-busy="true">${id}</code>`;
  const kind = KINDS[id.split("_")[0]];
  if (titled && line?.title) return line.title;
  if (line && kind && line.amount !== null && line.currency) return html`${kind} ${display(line.amount, line.currency)}`;
  if (line?.title) return id.startsWith("rep_") ? `Report of ${line.title}` : line.title;
  return kind ?? html`<code class="small">${id}</code>`;
}

/** An account of the journal, with its owner as a link: "escrow of …", "wallet of …, pending". @param {{name: string}} props */
export function Account({ name }) {
  const [kind, owner, part] = name.split(":");
  if (!owner || !pageOf(owner)) return html`<span>${name.replace("world:", "").replaceAll("_", " ")}</span>`;
  return html`<span>${kind} of <${Id} id=${owner} titled />${part && `, ${part.replaceAll("_", " ")}`}</span>`;
}
