// Every id is a link to what it names, if there is a page about it.

import { html } from "../shared/html.js";

/** @type {Record<string, (id: string) => string>} */
const PAGES = {
  usr: (id) => `/admin/users/${id}`,
  pay: (id) => `/admin/payments/${id}`,
  ofr: (id) => `/admin/transactions?offer_id=${id}`,
  job: (id) => `/admin/disputes?job_id=${id}`,
};

/** @param {{id: string | null | undefined, children?: any}} props */
export function Id({ id, children = id }) {
  if (!id) return html`<span class="soft">none</span>`;
  const page = id[3] === "_" ? PAGES[id.slice(0, 3)] : undefined;
  return page ? html`<a href=${page(id)}>${children}</a>` : html`<code class="small">${children}</code>`;
}
