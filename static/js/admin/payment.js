// One payment: its money and its timeline, what is at Stripe, and refunding or releasing it.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Countdown, Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { place } from "../shared/router.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { Detail } from "./chain.js";
import { Account, Id, Value } from "./links.js";
import { clearFraud, decideRefund, refund, release } from "./money_actions.js";
import { Timeline, Who } from "./timeline.js";
import { Facts, Part, useReading, words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").PaymentDetails} Details */

const TABS = [["timeline", "Timeline"], ["money", "Refunds"], ["journal", "Journal"], ["stripe", "Stripe"], ["audit", "Audit"]];

const FOLLOWED_MS = [1_500, 5_000, 15_000]; // after a step, which Stripe carries out

/** @param {{id: string}} props */
export function Payment({ id }) {
  const { found, problem, load } = useReading(() => server.admin.payment({ payment_id: id }), [id]);
  const back = { href: "/admin/payments", label: "Payments" };
  if (!found) return html`<${View} title="Payment" back=${back}>${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${8} />`}</${View}>`;
  const { payment, offer, job_title } = found;
  const follow = () => [0, ...FOLLOWED_MS].forEach((pause) => setTimeout(load, pause));
  const tab = place.value.query.get("tab") ?? "timeline";
  const Shown = { money: Money, journal: Journal, stripe: AtStripe, audit: Trail }[tab] ?? Story;
  const actions = html`${offer.refundable_amount > 0 && offer.accepted_at && html`<button class="button danger" type="button" onClick=${async () => (await refund(found, load)) && follow()}><${Icon} name="undo-2" />Refund…</button>`}
    ${payment.release_held_at && html`<button class="button" type="button" onClick=${async () => (await clearFraud(found, load)) && follow()}><${Icon} name="shield-check" />Clear…</button>`}
    <button class="button" type="button" onClick=${load}><${Icon} name="refresh-cw" />Read again</button>`;
  return html`<${View} title=${job_title} kind="wide" back=${back} actions=${actions}>
    <div class="columns facts-first"><div class="stack" style=${{ "--gap": "var(--space-4)" }}>
      <nav class="segments" aria-label="Show">${TABS.map(([name, label]) => html`<a key=${name} href=${`/admin/payments/${id}?tab=${name}`} aria-current=${name === tab ? "page" : undefined}>${label}</a>`)}</nav>
      <${Shown} details=${found} load=${follow} />
    </div><aside class="stack">
      <section class="card stack" aria-labelledby="sum"><h2 id="sum" class="visually-hidden">The money</h2>
        <p class="row spread"><span class="amount big">${display(payment.amount, payment.currency)}</span><${Badge} of=${statusOf("payment", payment.status)} /></p>
        <${Sums} details=${found} /></section>
      <${About} details=${found} />
    </aside></div></${View}>`;
}

/** @param {{details: Details}} props */
function Sums({ details: { payment, offer } }) {
  const { currency, captured_amount, refunded_amount, disputed_amount, failure, capture_before, available_on } = payment;
  const money = (/** @type {number} */ amount) => amount > 0 && display(amount, currency);
  return html`<${Facts} facts=${[
    ["Charged", money(captured_amount)], ["Refunded", money(refunded_amount)], ["Disputed by the bank", money(disputed_amount)],
    ["Can be refunded", offer.accepted_at && money(offer.refundable_amount)], ["Not earned yet", offer.accepted_at && money(offer.earnable_amount)], ["Completed work", money(offer.completed_amount)],
    ["Release", payment.release_held_at && html`held for a fraud signal, <${Ago} at=${payment.release_held_at} />`],
    ["Fraud signals", payment.fraud_signals.length > 0 && html`<ul>${payment.fraud_signals.map(({ id, kind, reason, closed_reason, cleared }) => html`<li key=${id} class="small">${kind === "review" ? "Review" : "Warning"}: ${words(closed_reason ?? reason)}${cleared && ", cleared"}</li>`)}</ul>`],
    ["Failed", failure && words(payment.decline_code ?? failure)], ["Held until", payment.status === "authorized" && capture_before && html`<${Countdown} until=${capture_before} />`],
    ["Available at Stripe", available_on && html`<${Ago} at=${available_on} />`],
  ]} />`;
}

/** @param {{details: Details}} props */
function About({ details: { payment, offer, customer_name, contractor_name, job_title } }) {
  return html`<section class="card stack" aria-labelledby="about"><h2 id="about">About it</h2><${Facts} facts=${[
    ["Customer", html`<${Id} id=${payment.customer_id}>${customer_name || "deleted"}</${Id}>`], ["Contractor", html`<${Id} id=${payment.contractor_id}>${contractor_name || "deleted"}</${Id}>`],
    ["Job", html`<${Id} id=${payment.job_id}>${job_title}</${Id}>`], ["Offer", html`<${Badge} of=${statusOf("offer", offer.status)} />`],
    ["Milestones", offer.milestones.length > 1 && html`<ul>${offer.milestones.map(({ title, amount, status }, at) => html`<li key=${at} class="small">${title}: ${display(amount, payment.currency)} <${Badge} of=${statusOf("milestone", status)} /></li>`)}</ul>`],
    ["Made", html`<${Ago} at=${payment.created_at} />`], ["Id", html`<code class="small break">${payment.id}</code>`],
  ]} /><p><a href=${`/admin/activity?subject=${payment.id}`}>Its activity</a> · <a href=${`/admin/audit?subject=${payment.id}`}>In the audit trail</a></p></section>`;
}

/** @param {{details: Details}} props */
function Story({ details: { timeline, payment } }) {
  const events = place.value.query.get("events") === "1";
  return html`<${Part} title="What happened to the money" actions=${html`<a class="small" href=${`/admin/payments/${payment.id}${events ? "" : "?events=1"}`}>${events ? "Without Stripe’s events" : "With Stripe’s events"}</a>`}>
    <${Timeline} facts=${timeline} currency=${payment.currency} events=${events} /></${Part}>`;
}

/** @param {{rows: any[], line: (row: any) => any, none: string}} props */
function Lines({ rows, line, none }) {
  if (!rows.length) return html`<p class="card soft">${none}</p>`;
  return html`<ul class="rows card flush">${rows.map((row) => html`<li class="line wrap" key=${row.id}>${line(row)}</li>`)}</ul>`;
}

/** @param {{details: Details, load: () => void}} props */
function Money({ details, load }) {
  const { refunds, transfers, reversals, disputes, chargebacks } = details;
  const { currency } = details.payment;
  const amount = (/** @type {any} */ row) => html`<span class="amount">${display(row.amount, currency)}</span>`;
  return html`<${Part} title="Refunds"><${Lines} rows=${refunds} none="Nothing was refunded." line=${(/** @type {any} */ row) => html`
      <span class="grow">${amount(row)} <${Badge} of=${statusOf("refund", row.status)} /><br /><span class="small soft">“${row.reason}”, by <${Who} id=${row.by} />${row.failure && `; it failed: ${words(row.failure)}`}</span></span>
      ${row.parked && html`<button class="button small" type="button" onClick=${async () => (await decideRefund(details, row, load)) && load()}>Decide…</button>`}
      ${row.stripe_id && html`<${Id} id=${row.stripe_id} />`}<${Ago} at=${row.asked_at} />`} /></${Part}>
    <${Part} title="Transfers to the contractor"><${Lines} rows=${transfers} none="Nothing was transferred yet." line=${(/** @type {any} */ row) => html`
      <span class="grow">${amount(row)} <${Badge} of=${statusOf("transfer", row.status)} />${row.reversed_amount > 0 && html`<br /><span class="small soft">${display(row.reversed_amount, currency)} were taken back</span>`}${row.refusal && html`<br /><span class="small soft"><${Value} of=${row.refusal} /></span>`}</span>
      ${(row.status === "parked" || row.status === "waiting") && html`<button class="button small" type="button" onClick=${async () => (await release(row, load)) && load()}>Release…</button>`}
      ${row.stripe_id && html`<${Id} id=${row.stripe_id} />`}<${Ago} at=${row.created_at} />`} /></${Part}>
    ${reversals.length > 0 && html`<${Part} title="Taken back of transfers"><${Lines} rows=${reversals} none="" line=${(/** @type {any} */ row) => html`
      <span class="grow">${amount(row)} of <${Id} id=${row.transfer_id}>the transfer</${Id}>${!row.done && html` <span class="small soft">${row.refusal || "under way"}</span>`}</span>${row.stripe_id && html`<${Id} id=${row.stripe_id} />`}<${Ago} at=${row.created_at} />`} /></${Part}>`}
    ${disputes.length > 0 && html`<${Part} title="Disputes"><${Lines} rows=${disputes} none="" line=${(/** @type {any} */ row) => html`
      <span class="grow"><${Id} id=${row.id}>${words(row.reason)}</${Id}> <${Badge} of=${statusOf("dispute", row.status)} /></span>${amount(row)}<${Ago} at=${row.created_at} />`} /></${Part}>`}
    ${chargebacks.length > 0 && html`<${Part} title="Chargebacks"><${Lines} rows=${chargebacks} none="" line=${(/** @type {any} */ row) => html`
      <span class="grow"><${Id} id=${row.id}>${words(row.reason)}</${Id}> <${Badge} of=${statusOf("chargeback", row.status)} /></span>${amount(row)}${row.stripe_id && html`<${Id} id=${row.stripe_id} />`}<${Ago} at=${row.created_at} />`} /></${Part}>`}`;
}

/** @param {{details: Details}} props */
function Journal({ details: { transactions, payment } }) {
  return html`<${Part} title="Journal" more=${`/admin/transactions?offer_id=${payment.offer_id}`}><${Lines} rows=${transactions} none="Nothing is booked yet." line=${(/** @type {any} */ row) => html`
    <span class="grow"><span class="strong">${words(row.kind)}</span>${row.postings.map((/** @type {any} */ posting, /** @type {number} */ at) => html`<br key=${at} /><span class="soft small">
      <${Account} name=${posting.source} /> → <${Account} name=${posting.destination} /> <span class="number">${display(posting.amount, row.currency)}</span></span>`)}</span>
    <${Ago} at=${row.created_at} />`} /></${Part}>`;
}

/** @param {{details: Details}} props */
function AtStripe({ details: { payment, events, tasks } }) {
  return html`<${Part} title="Its ids at Stripe"><div class="card"><${Facts} facts=${[
      ["PaymentIntent", payment.intent_id && html`<${Id} id=${payment.intent_id} />`], ["Charge", payment.charge_id && html`<${Id} id=${payment.charge_id} />`],
      ["Nothing yet", !payment.intent_id && "Stripe was not asked"]]} /></div></${Part}>
    <${Part} title="What is queued"><${Lines} rows=${tasks} none="Nothing waits to be done at Stripe." line=${(/** @type {any} */ row) => html`
      <span class="grow"><span class="strong">${words(row.kind)}</span>${row.last_error && html`<br /><span class="small soft break"><${Value} of=${row.last_error} /></span>`}</span>
      ${row.dead ? html`<a href="/admin/dead-letters?lane=stripe">dead letter</a>` : html`<span class="small soft">attempt ${row.attempts + 1}, <${Ago} at=${row.next_at} /></span>`}`} /></${Part}>
    <${Part} title="Stripe’s events" more=${`/admin/webhook-events?payment_id=${payment.id}`}><${Lines} rows=${events} none="Stripe has sent nothing about it." line=${(/** @type {any} */ row) => html`
      <span class="grow"><${Id} id=${row.id}>${row.type}</${Id}><br /><span class="small soft"><${Id} id=${row.object_id} /></span></span><${Badge} of=${statusOf("event", row.status)} /><${Ago} at=${row.created_at} />`} /></${Part}>`;
}

/** @param {{details: Details}} props */
function Trail({ details: { audit, payment } }) {
  return html`<${Part} title="Audit trail" more=${`/admin/audit?subject=${payment.id}`}><${Lines} rows=${audit} none="Nothing has changed it yet." line=${(/** @type {any} */ row) => html`
    <span class="grow"><code class="small">${row.operation}</code><${Detail} row=${row} /></span>${row.actor_id && html`<${Id} id=${row.actor_id} />`}<${Ago} at=${row.at} />`} /></${Part}>`;
}
