// The timeline of a payment: what happened to its money, in sentences.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { display } from "../shared/money.js";
import { Empty } from "../shared/pieces.js";
import { fullTime } from "../shared/times.js";
import { Id } from "./links.js";
import { words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").TimelineFact} Fact */
/** @typedef {import("../shared/icons.js").IconName} IconName */

/** @type {Record<Fact["source"], IconName>} */
const ICONS = {
  offer: "handshake", journal: "list", refund: "undo-2", transfer: "arrow-right",
  dispute: "scale", chargeback: "landmark", stripe: "webhook", administrator: "shield",
};

/** @type {Record<string, string>} */
const SENTENCES = {
  "offer created": "The offer was made", "offer awaiting_payment": "The payment is to be confirmed", "offer pending": "The money is held, and the contractor sees the offer", "offer accepting": "The contractor accepted; the money is being charged",
  "offer accepted": "The offer is accepted", "offer delivered": "Work was delivered", "offer rejected": "The contractor declined", "offer countered": "The contractor asked for other terms",
  "offer withdrawn": "The customer took the offer back", "offer expired": "The offer expired", "offer blocked": "The offer was stopped: the job is taken", "offer failed": "The payment failed",
  "journal captured": "The customer was charged", "journal accepted": "The platform’s fee was booked", "journal completed": "Work was approved: the contractor’s share was booked",
  "journal refunded": "A refund was booked", "journal resolved": "The decision about the dispute was booked", "journal transfer_settled": "The transfer arrived in the contractor’s wallet", "journal chargeback_fee": "Stripe’s fee for the chargeback was booked",
  "journal chargeback_opened": "The bank took the money back", "journal stripe_fee": "Stripe’s fee was booked", "journal debt_repaid": "A debt of the contractor was repaid",
  "refund requested": "A refund was decided", "refund made": "A refund was decided, and is made", "refund failed": "A refund was decided, and failed",
  "transfer created": "A transfer to the contractor was queued", "transfer made": "The transfer was made at Stripe", "transfer available": "The transfer can be withdrawn",
  "dispute opened": "A dispute was opened", "dispute resolved": "The dispute was resolved", "chargeback opened": "The customer’s bank opened a chargeback",
  "chargeback won": "The chargeback was won", "chargeback lost": "The chargeback was lost", "chargeback open": "The chargeback changed", "chargeback closed": "The chargeback was closed",
};

/** @param {{facts: Fact[], currency: string, events: boolean}} props `events` shows Stripe's, too */
export function Timeline({ facts, currency, events }) {
  const shown = facts.filter(({ source }) => events || source !== "stripe");
  if (!shown.length) return html`<div class="card"><${Empty} icon="history" title="Nothing has happened yet" /></div>`;
  return html`<ol class="rows card flush facts-of-money">${shown.map(({ at, source, what, subject, amount, by }, index) => html`<li class="line wrap" key=${`${at}${subject}${what}${index}`}>
    <${Icon} name=${ICONS[source] ?? "circle"} /><span class="grow"><span class="strong">${SENTENCES[`${source} ${what}`] ?? said(source, what)}</span>
      <span class="soft small"> <${Id} id=${subject}>${nameOf(source)}</${Id}>${by && html`, by <${Who} id=${by} />`}</span></span>
    ${amount !== null && amount !== 0 && html`<span class="amount">${display(amount, currency)}</span>`}
    <time class="small soft" datetime=${at}>${fullTime(at)}</time></li>`)}</ol>`;
}

/** @param {string} source @param {string} what */
const said = (source, what) => (source === "stripe" ? html`Stripe: <code class="small">${what}</code>` : source === "administrator" ? `An administrator: ${words(what.replace("admin.", ""))}` : capital(words(`${source} ${what}`)));

/** @type {(source: string) => string} */
const nameOf = (source) => ({ journal: "transaction", stripe: "event", administrator: "audit row" })[source] ?? source;

/** @param {{id: string}} props */
export const Who = ({ id }) => (id.startsWith("usr_") ? html`<${Id} id=${id} />` : id === "stripe" ? "Stripe" : "the platform");

/** @param {string} text */
export const capital = (text) => text && text[0].toUpperCase() + text.slice(1);
