// Every id is a link to what it names, if there is a page about it.

import { html } from "../shared/html.js";

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

/** @param {{id: string | null | undefined, children?: any}} props */
export function Id({ id, children = id }) {
  if (!id) return html`<span class="soft">none</span>`;
  const page = id[3] === "_" ? PAGES[id.slice(0, 3)] : undefined;
  if (page) return html`<a href=${page(id)}>${children}</a>`;
  return children === id ? html`<code class="small">${id}</code>` : html`<span>${children}</span>`;
}
