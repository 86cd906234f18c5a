// Payments: all of them by state, one with what has happened to its money, and paying it.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Countdown, Listing, Problem } from "../shared/listing.js";
import { useMeta } from "../shared/meta.js";
import { display } from "../shared/money.js";
import { Sums } from "../shared/money_step.js";
import { Ago, Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { go, place, setQuery } from "../shared/router.js";
import { me, server, write } from "../shared/server.js";
import { dayOf } from "../shared/times.js";
import { refuse, say } from "../shared/toasts.js";
import { useList, useRecord } from "../shared/use.js";
import { statusOf, STATUSES } from "../shared/words.js";
import { failureOf } from "./failures.js";
import { capital, isNamed, useOther } from "./names.js";
import { CANNOT_PAY, cannotPay, stripeKey } from "./payment_setup.js";
import { StripeForm } from "./stripe.js";
import { chargebacks, offers, payments } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Payment} Payment */

const CHARGEBACK = /** @type {Record<string, import("../shared/words.js").Status>} */ ({
  inquiry: { word: "The bank asks", icon: "circle-help", tone: "wait" },
  open: { word: "Disputed at the bank", icon: "shield-alert", tone: "bad" },
  won: { word: "Decided: the payment stands", icon: "circle-check", tone: "good" },
  lost: { word: "Decided: the money went back", icon: "circle-x", tone: "bad" },
  closed: { word: "Closed", icon: "circle-x", tone: "" },
});

/** @type {import("../shared/words.js").Status} */
const PROCESSING = { word: "The bank works on it", icon: "loader-circle", tone: "wait" };

export function Payments() {
  const customer = me.value?.role === "customer";
  const status = /** @type {any} */ (place.value.query.get("status") || null);
  const list = useList(payments, {
    read: (cursor) => server.payment.list({ cursor, limit: 30, status }),
    fits: (payment) => !status || payment.status === status,
  }, [status]);
  const disputed = useList(chargebacks, { read: (cursor) => server.payment.chargebacks({ cursor, limit: 20 }), fits: () => true }, []);
  const ready = disputed.state.value === "ready" || disputed.problem.value; // they are shown above the list
  return html`<${View} title="Payments" actions=${customer && html`<a class="button" href="/payments/methods"><${Icon} name="credit-card" />Saved cards</a>`}>
    <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      <div class="field filter"><label for="status">Show</label>
        <select class="input" id="status" value=${status ?? ""} onChange=${(/** @type {any} */ { target }) => setQuery({ status: target.value })}>
          <option value="">All</option>
          ${Object.entries(STATUSES.payment).map(([name, { word }]) => html`<option key=${name} value=${name}>${word}</option>`)}
        </select></div>
      ${ready && html`<${Chargebacks} list=${disputed} />`}
      ${!ready ? html`<div aria-busy="true"><${Skeleton} lines=${4} /></div>` : html`<${Listing} list=${list} label="Payments" row=${(/** @type {Payment} */ payment) => html`<${PaymentLine} payment=${payment} />`}
        empty=${html`<${Empty} icon="credit-card" title=${status ? "None like that" : "No payments yet"}>
          <p>${status ? "Choose another state." : customer ? "A payment begins with an offer to somebody who has applied." : "When an offer to you is paid, it is here."}</p></${Empty}>`} />`}
    </div>
  </${View}>`;
}

/** @param {{payment: Payment}} props */
function PaymentLine({ payment }) {
  const { refunded_amount: back, currency } = payment;
  return html`<a class="line tall" href=${`/payments/${payment.id}`}>
    <span class="grow"><span class="strong">${payment.job_title}</span><br /><span class="soft small"><${Ago} at=${payment.created_at} />
      ${back > 0 && ` · ${display(back, currency)} refunded`}${payment.failure && payment.status === "failed" && ` · ${failureOf(payment.failure)}`}</span></span>
    <span class="side"><span class="amount">${display(payment.amount, currency)}</span><${Badge} of=${stateOf(payment)} /></span></a>`;
}

/** Its state, which is another one while the customer's bank works on it. @param {Payment} payment */
const stateOf = ({ status, processing_since }) => (processing_since ? PROCESSING : statusOf("payment", status));

/** @param {{list: import("../shared/records.js").RecordList}} props */
function Chargebacks({ list }) {
  const found = list.ids.value.map((id) => chargebacks.of(id).value).filter(Boolean);
  if (!found.length) return null;
  return html`<section aria-labelledby="bank"><h2 id="bank" class="list-title">Disputed at the bank</h2>
    <ul class="rows card flush">${found.map((each) => html`<li key=${each.id}><a class="line tall" href=${`/payments/${each.payment_id}`}>
      <span class="grow"><span class="strong">${each.job_title}</span><br /><span class="soft small">${capital(each.reason.replaceAll("_", " "))} · <${Ago} at=${each.created_at} /></span></span>
      <span class="side"><span class="amount">${display(each.amount, each.currency)}</span><${Badge} of=${CHARGEBACK[each.status] ?? statusOf("chargeback", each.status)} /></span></a></li>`)}</ul></section>`;
}

// -- one payment -------------------------------------------------------------------------------

/** @param {{id: string}} props */
export function PaymentView({ id }) {
  const { record: payment, problem } = useRecord(payments, id, (payment_id) => server.payment.get({ payment_id }));
  const { record: offer, problem: noOffer } = useRecord(offers, payment?.offer_id, (offer_id) => server.bidding.get({ offer_id }));
  const other = useOther(payment);
  const back = { href: "/payments", label: "Payments" };
  if (!payment || !isNamed(payment) || !(offer || noOffer)) return html`<${View} title="Payment" back=${back}>${problem ? html`<${Problem} problem=${problem} />` : html`<${Skeleton} lines=${6} />`}</${View}>`;
  const customer = me.value?.role === "customer";
  const { currency, status } = payment;
  const open = customer && status === "requires_payment" && !payment.processing_since;
  return html`<${View} title=${`Payment: ${payment.job_title}`} back=${back} actions=${html`
      ${payment.captured_amount > 0 && html`<a class="button" href=${`/payments/${id}/receipt`}><${Icon} name="receipt" />Receipt</a>`}
      <a class="button" href=${`/offers/${payment.offer_id}`}><${Icon} name="handshake" />The offer</a>`}>
    <div class="columns">
      <div class="stack">
        <section class=${`card stack ${open ? "act" : ""}`} aria-label="Now">
          <div class="row spread"><p class="amount big">${display(payment.amount, currency)}</p><${Badge} of=${stateOf(payment)} /></div>
          <p>${sentenceOf(payment, customer, other)}</p>
          ${open && html`<${Pay} payment=${payment} />`}
          ${customer && (status === "failed" || status === "canceled") && offer?.status !== "accepted" && html`<div class="row"><a class="button primary"
            href=${`/offers/new?job=${payment.job_id}&contractor=${payment.contractor_id}&from=${payment.offer_id}`}>Make a new offer</a></div>`}
        </section>
        <section class="card stack" aria-labelledby="sums"><h2 id="sums">The amounts</h2>
          <${Sums} currency=${currency} rows=${[
            [customer ? "You agreed to pay" : `${capital(other)} agreed to pay`, payment.amount], ["Charged", payment.captured_amount],
            payment.refunded_amount > 0 && ["Refunded", payment.refunded_amount],
            payment.disputed_amount > 0 && ["Disputed at the bank", payment.disputed_amount],
            offer && offer.completed_amount > 0 && ["Approved work", offer.completed_amount],
          ]} total=${["Paid so far", Math.max(0, payment.captured_amount - payment.refunded_amount)]} /></section>
      </div>
      <aside class="card stack" aria-labelledby="times"><h2 id="times">What has happened</h2><${Course} payment=${payment} offer=${offer} /></aside>
    </div>
  </${View}>`;
}

/** @param {Payment} payment @param {boolean} customer @param {string} other */
function sentenceOf(payment, customer, other) {
  const name = capital(other);
  switch (payment.status) {
    case "requires_payment": if (payment.processing_since) return customer
      ? `Your bank is still working on the payment, which can take some days. You need not do anything: ${other} sees the offer when the money has arrived.`
      : "The customer's bank is still working on the payment.";
      return customer ? `The payment is not confirmed yet. ${name} sees the offer as soon as the money is held.` : "The payment is not confirmed yet.";
    case "authorized": return html`The money is held and not charged. It is charged when ${customer ? other : "you"} ${customer ? "accepts" : "accept"} the offer.
      ${payment.capture_before && html` The hold lasts for <${Countdown} until=${payment.capture_before} over="no longer" />.`}`;
    case "capturing": return "The money is being charged.";
    case "captured": return customer ? "You are charged. JobSphere keeps the money until you approve the work."
      : html`The money is charged and safe.${payment.available_on && Date.parse(payment.available_on) > Date.now() ? ` Stripe has it ready on ${dayOf(payment.available_on)}.` : ""}`;
    case "partially_refunded": return "A part of the money went back.";
    case "refunded": return "All of the money went back.";
    case "canceled": return payment.authorized_at ? "The hold is released: nothing is charged. Banks show that within some days." : "Nothing was charged.";
    case "failed": return `The payment did not go through: ${failureOf(payment.failure)}.`;
    default: return statusOf("payment", payment.status).word;
  }
}

/** @param {{payment: Payment, offer: any}} props */
function Course({ payment, offer }) {
  const times = [
    { at: payment.created_at, text: "Begun" },
    ...(offer?.history ?? []).flatMap((/** @type {any} */ { at, status }) => {
      const text = /** @type {Record<string, string>} */ ({ pending: payment.authorized_at ? "Money held" : "Paid", accepting: "Being charged", accepted: "Charged", failed: "Failed",
        rejected: "Released: declined", withdrawn: "Released: withdrawn", expired: "Released: no answer in time", countered: "Released: other terms", blocked: "Released: the job went to somebody else or was cancelled" })[status];
      return text ? [{ at, text }] : [];
    }),
    ...(offer?.refunds ?? []).map((/** @type {any} */ refund) => ({ at: refund.asked_at,
      text: `Refund of ${display(refund.amount, payment.currency)}${refund.status === "requested" ? ", on its way" : refund.status === "failed" ? `, which failed: ${failureOf(refund.failure)}` : ""}` })),
  ].sort((one, other) => (one.at < other.at ? -1 : 1));
  return html`<ol class="timeline">${times.map(({ at, text }) => html`<li class="done" key=${at + text}><span>${text}</span>
    <span class="number"><${Ago} at=${at} /></span></li>`)}</ol>`;
}

// -- paying ------------------------------------------------------------------------------------

/** The bank's page, Stripe's form, or waiting, as Stripe says. @param {{payment: Payment}} props */
function Pay({ payment }) {
  const sheet = useSignal(/** @type {any} */ (null));
  const meta = useMeta();
  const key = stripeKey(meta);
  const look = async () => {
    sheet.value = await write(() => server.payment.confirm({ payment_id: payment.id }));
    if (sheet.value.status !== "requires_payment" || sheet.value.processing_since) payments.put(await server.payment.get({ payment_id: payment.id }));
  };
  useEffect(() => {
    look().catch(refuse);
  }, [payment.id]);
  if (!sheet.value || !meta) return html`<${Skeleton} lines=${2} />`;
  const { redirect_url, client_secret, failure } = sheet.value;
  const why = failure && html`<p class="note bad"><${Icon} name="circle-alert" />The last try did not go through: ${failureOf(failure)}.</p>`;
  if (redirect_url) {
    return html`${why}<div class="row"><button class="button primary" type="button" onClick=${() => location.assign(redirect_url)}>
      Continue at your bank<${Icon} name="external-link" /></button></div>`;
  }
  if (key && client_secret) {
    return html`${why}<${StripeForm} stripeKey=${key} secret=${client_secret} yes=${`Hold ${display(payment.amount, payment.currency)}`}
      back=${`/payments/${payment.id}/return`} save=${place.value.query.has("save")} done=${async () => go(`/payments/${payment.id}/return`, { replace: true })} />`;
  }
  if (cannotPay(meta)) return html`${why}<p class="note wait"><${Icon} name="triangle-alert" />${CANNOT_PAY}</p>`;
  return html`${why}<div class="row"><button class="button" type="button" onClick=${() => look().catch(refuse)}>
    <${Icon} name="refresh-cw" />Look again</button></div>`;
}

/** Back from the bank's page, or from Stripe's form: ask how it went, and go on to the offer. @param {{id: string}} props */
export function PaymentReturn({ id }) {
  useEffect(() => {
    finish(id).catch((refused) => {
      refuse(refused);
      go(`/payments/${id}`, { replace: true });
    });
  }, [id]);
  return html`<${View} title="Asking your bank"><${Skeleton} lines=${3} /></${View}>`;
}

/** @param {string} payment_id */
async function finish(payment_id) {
  const { status, failure } = await write(() => server.payment.confirm({ payment_id }));
  const payment = await server.payment.get({ payment_id });
  payments.put(payment);
  if (payment.processing_since) {
    say("Your bank is working on the payment. You need not do anything.");
    go(`/offers/${payment.offer_id}`, { replace: true });
    return;
  }
  if (status === "requires_payment") {
    say("The payment is not finished yet.", { tone: "bad" });
    go(`/payments/${payment_id}`, { replace: true });
    return;
  }
  if (status === "failed") say(`The payment did not go through: ${failureOf(failure)}.`, { tone: "bad" });
  else if (status !== "canceled") say(status === "captured" ? "The offer is paid, and out." : "The money is held, and the offer is out.", { tone: "good" });
  go(`/offers/${payment.offer_id}`, { replace: true });
}
