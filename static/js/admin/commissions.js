// What the platform earns: by day or month and currency, with what went back and what it cost.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { display, grouped } from "../shared/money.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { server } from "../shared/server.js";
import { refuse } from "../shared/toasts.js";
import { Part, useReading } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").Commission} Line */

const DAY_MS = 86_400_000;

/** @type {[keyof Line & string, string][]} */
const AMOUNTS = [
  ["platform_fee_amount", "Platform fees"], ["service_fee_amount", "Service fees"], ["refunded_amount", "Refunds"], ["stripe_fee_amount", "Stripe"],
  ["chargeback_amount", "Chargebacks"], ["chargeback_fee_amount", "Chargeback fees"], ["other_amount", "Other"], ["net_amount", "Net"],
];

/** The filters of the address; by default the last 30 days. @param {URLSearchParams} query @returns {any} */
function filtersOf(query) {
  const today = new Date().toISOString().slice(0, 10);
  const from = query.get("from") ?? new Date(Date.now() - 30 * DAY_MS).toISOString().slice(0, 10);
  const to = query.get("to") ?? today;
  return { from, to, bucket: query.get("bucket") === "month" ? "month" : "day", currency: query.get("currency") ?? "" };
}

/** The command: `to` is part of the span. @param {any} filters @returns {any} */
function fieldsOf({ from, to, bucket, currency }) {
  const end = new Date(Date.parse(`${to}T00:00:00Z`) + DAY_MS);
  return { start: `${from}T00:00:00Z`, end: end.toISOString(), bucket, ...(currency && { currency }) };
}

export function Commissions() {
  const { query } = place.value;
  const filters = filtersOf(query);
  const { found, problem, load } = useReading(() => server.admin.commissions(fieldsOf(filters)), [query.toString()]);
  const csv = async () => {
    try {
      const { name, blob } = await server.admin.commissions_csv(fieldsOf(filters));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (refused) {
      refuse(refused);
    }
  };
  const field = (/** @type {string} */ name, /** @type {string} */ label) => html`<div class="field"><label for=${name}>${label}</label>
    <input class="input" id=${name} type="date" value=${filters[name]} onChange=${(/** @type {any} */ { target }) => target.value && setQuery({ [name]: target.value })} /></div>`;
  return html`<${View} title="Commissions" kind="wide" actions=${html`<button type="button" class="button" onClick=${csv}><${Icon} name="download" />CSV</button>`}>
    <form class="filters" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      ${field("from", "From (UTC)")}${field("to", "Until, with that day")}
      <div class="field"><label for="bucket">By</label><select class="input" id="bucket" onChange=${(/** @type {any} */ { target }) => setQuery({ bucket: target.value })}>
        ${[["day", "Day"], ["month", "Month"]].map(([value, label]) => html`<option key=${value} value=${value} selected=${value === filters.bucket}>${label}</option>`)}</select></div>
      <div class="field"><label for="currency">Currency</label><input class="input" id="currency" maxlength="3" placeholder="All" defaultValue=${filters.currency}
        onChange=${(/** @type {any} */ { target }) => setQuery({ currency: target.value.trim().toUpperCase() })} /></div>
    </form>
    ${problem ? html`<${Problem} problem=${problem} again=${load} />` : !found ? html`<${Skeleton} lines=${8} />` : html`<div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      <div class="figures">${found.totals.filter((each) => each.net_amount || each.opening_amount).map(({ currency, opening_amount, net_amount, closing_amount }) => html`<section class="card stack" key=${currency} aria-label=${currency}>
        <p class="soft small">Net in ${currency}</p><p class="amount big">${display(net_amount, currency)}</p>
        <dl class="sums small"><dt>The platform’s balance before</dt><dd class="amount">${display(opening_amount, currency)}</dd><dt class="total">after</dt><dd class="amount total">${display(closing_amount, currency)}</dd></dl></section>`)}</div>
      ${found.lines.length ? html`<${Part} title=${filters.bucket === "month" ? "By month" : "By day"}><div class="card flush table" tabindex="0" role="region" aria-label="Commissions"><table>
        <thead><tr><th scope="col">${filters.bucket === "month" ? "Month" : "Day"}</th>${AMOUNTS.map(([, label]) => html`<th key=${label} scope="col" class="right">${label}</th>`)}</tr></thead>
        <tbody>${[...found.lines].reverse().map((line) => html`<tr key=${line.period + line.currency}><td data-label="Period" class="nowrap"><span>${line.period} <span class="soft">${line.currency}</span></span></td>${AMOUNTS.map(([name, label]) => html`
          <td key=${name} data-label=${label} class=${`right ${name === "net_amount" ? "amount" : "number"} ${line[name] ? "" : "soft"}`}>${grouped(/** @type {number} */ (line[name]), line.currency)}</td>`)}</tr>`)}</tbody>
      </table></div></${Part}>` : html`<div class="card"><${Empty} icon="percent" title="Nothing was earned in this time" /></div>`}
    </div>`}
  </${View}>`;
}
