// Every id is a link to what it names, if there is a page about it, here or at Stripe, and is shown by
// its name.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { useMeta } from "../shared/meta.js";
import { display } from "../shared/money.js";
import { dashboardOf, isAtStripe, pageOf, partsOf } from "./ids.js";
import { lineOf } from "./record_names.js";

const KINDS = /** @type {Record<string, string>} */ ({
  ofr: "Offer", pay: "Payment", dsp: "Dispute", cbk: "Chargeback", trf: "Transfer", wdr: "Withdrawal", txn: "Transaction", alr: "Alert", apr: "Approval",
  dif: "Difference", fln: "Line of Stripe’s books", rec: "Reconciliation", rep: "Report", evt: "Stripe event", out: "Dead letter", trl: "Check of the trail", fil: "File",
});

/**
 * A link to what has the id, under its name; with `titled` under its title, as that of its job. With
 * `apart` it opens in a tab of its own: what one has written here stays.
 *
 * @param {{id: string | null | undefined, titled?: boolean, apart?: boolean, children?: any}} props
 */
export function Id({ id, titled = false, apart = false, children }) {
  if (!id) return html`<span class="soft">none</span>`;
  const page = pageOf(id);
  const shown = children || html`<${Name} id=${id} titled=${titled} />`;
  if (page) return apart ? html`<${Apart} id=${id} page=${page}>${shown}</${Apart}>` : html`<a href=${page} title=${id}>${shown}</a>`;
  return isAtStripe(id) ? html`<${AtStripe} id=${id}>${children}</${AtStripe}>` : html`<span title=${id}>${shown}</span>`;
}

/** @param {{id: string, page: string, children: any}} props */
const Apart = ({ id, page, children }) => html`<a href=${page} title=${id} target="_blank" rel="noopener noreferrer">${children}<${Icon} name="external-link" /></a>`;

/** With a real key a link to Stripe's dashboard. @param {{id: string, children?: any}} props */
function AtStripe({ id, children }) {
  const page = dashboardOf(id, useMeta()?.payments ?? {});
  const shown = children || html`<code class="small break" title=${id}>${id}</code>`;
  return page ? html`<${Apart} id=${id} page=${page}>${shown}</${Apart}>` : shown;
}

/**
 * A value of a record or a command, and a text: the ids in it are links. One that is an id is shown
 * by its name, others as they are.
 *
 * @param {{of: unknown, apart?: boolean, none?: string}} props `none` is shown without a value
 */
export function Value({ of: value, apart = false, none = "–" }) {
  if (value === null || value === undefined || value === "") return none;
  const parts = partsOf(typeof value === "object" ? JSON.stringify(value) : String(value));
  if (parts.length === 1 && !parts[0].text) return html`<${Id} id=${parts[0].id} apart=${apart} />`;
  return parts.map(({ text, id }) => html`${text}${id && html`<${Id} id=${id} apart=${apart}>${id}</${Id}>`}`);
}

/** One side of a difference. @param {{value: unknown}} props */
export const Compared = ({ value }) => html`<code class="small"><${Value} of=${value} none="nothing" /></code>`;

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
