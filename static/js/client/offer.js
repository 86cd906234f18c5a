// One offer: what it is, where it stands and what can be done now; its milestones; what has happened.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Attachments } from "../shared/attachments.js";
import { isOpen, percent, splitAll, splitMilestones } from "../shared/fees.js";
import { Linked } from "../shared/links.js";
import { Countdown, Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Sums } from "../shared/money_step.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { me, server } from "../shared/server.js";
import { dayOf, timeOf } from "../shared/times.js";
import { refuse } from "../shared/toasts.js";
import { useList, useRecord } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { capital, chatOf, isNamed, otherOf, useOther } from "./names.js";
import * as steps from "./offer_steps.js";
import { jobs, offers } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Offer} Offer */
/** @typedef {import("../../client/jobsphere.js").Milestone} Milestone */

const ENDED = new Set(["rejected", "countered", "withdrawn", "expired", "blocked", "failed"]);

/** A step; what is refused outside of a dialog is said. @param {() => Promise<any>} step */
const run = (step) => () => {
  step().catch(refuse);
};

/** @param {{id: string}} props */
export function OfferView({ id }) {
  const { record: offer, problem } = useRecord(offers, id, (offer_id) => server.bidding.get({ offer_id }));
  const other = useOther(offer);
  const { record: job, problem: noJob } = useRecord(jobs, offer?.job_id, (job_id) => server.job.get({ job_id }));
  const customer = me.value?.role === "customer";
  const settled = offer && isNamed(offer) && (job || noJob); // nothing moves when they come
  const back = customer && settled
    ? { href: `/jobs/${offer.job_id}`, label: offer.job_title } : { href: customer ? "/jobs" : "/work", label: customer ? "My jobs" : "My work" };
  if (!settled) return html`<${View} title="Offer" back=${back}>${problem ? html`<${Problem} problem=${problem} />` : html`<${Skeleton} lines=${6} />`}</${View}>`;
  const talk = chatOf(offer);
  const title = customer ? `Offer to ${other}` : `Offer: ${offer.job_title}`;
  return html`<${View} title=${title} back=${back} actions=${html`
      <a class="button" href=${talk ? `/chat/${talk.id}` : `/chat?job=${offer.job_id}&user=${otherOf(offer)}`}><${Icon} name="message-circle" />Chat</a>
      ${!customer && html`<a class="button" href=${`/jobs/${offer.job_id}`}><${Icon} name="briefcase" />The job</a>`}`}>
    <div class="columns">
      <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
        <${Now} offer=${offer} job=${job} other=${other} customer=${customer} />
        <${Milestones} offer=${offer} job=${job} other=${other} customer=${customer} />
        <section class="card stack" aria-labelledby="agreed"><h2 id="agreed">What is agreed</h2>
          <p class="prose"><${Linked} text=${offer.description} /></p></section>
      </div>
      <aside class="stack">
        <${Figures} offer=${offer} other=${other} customer=${customer} />
        <section class="card stack" aria-labelledby="happened"><h2 id="happened">What has happened</h2>
          <${Timeline} offer=${offer} other=${other} /></section>
        <${Negotiation} offer=${offer} />
      </aside>
    </div>
  </${View}>`;
}

// -- now ---------------------------------------------------------------------------------------

/** Where it stands, in a sentence, and what the person can do about it. @param {any} props */
function Now({ offer, job, other, customer }) {
  const { status } = offer;
  const { text, act } = (customer ? forCustomer : forContractor)(offer, job, other);
  return html`<section class=${`card stack offer-now ${act ? "act" : ""}`} aria-label="Now">
    <div class="row spread"><p class="amount big">${display(offer.amount, offer.currency)}</p><${Badge} of=${statusOf("offer", status)} /></div>
    <p>${text}</p>
    ${offer.counter && html`<div class="note mine"><${Icon} name="reply" /><div>
      <p class="strong">${customer ? `${capital(other)} asks` : "You asked"} for ${display(offer.counter.amount, offer.currency)}</p>
      ${offer.counter.note && html`<p class="prose"><${Linked} text=${offer.counter.note} /></p>`}</div></div>`}
    ${offer.contested_amount > 0 && html`<p class="note bad"><${Icon} name="shield-alert" />The customer's bank disputes
      ${" "}${display(offer.contested_amount, offer.currency)}. Until that is decided, nothing can be approved.</p>`}
    ${act && html`<div class="row">${act}</div>`}
  </section>`;
}

/** @param {string} label @param {() => Promise<any>} step @param {string} [kind] @param {any} [icon] */
const button = (label, step, kind = "", icon) =>
  html`<button class=${`button ${kind}`} type="button" onClick=${run(step)}>${icon && html`<${Icon} name=${icon} />`}${label}</button>`;

/** What becomes of the money of an offer that ended: only a pending one had some. @param {Offer} offer */
function backOf(offer) {
  if (offer.captured_amount > 0) return "Your money comes back to you in full.";
  if (offer.processing_since) return "Your bank is still working on the payment: if the money arrives, you get all of it back.";
  return offer.history.some(({ status }) => status === "pending") ? "You pay nothing: the hold is released." : "You pay nothing.";
}

/** @param {Offer} offer @param {any} job @param {string} other */
function forCustomer(offer, job, other) {
  const held = display(offer.amount, offer.currency);
  const name = capital(other);
  const withdraw = button("Withdraw the offer", () => steps.withdraw(offer));
  const again = job?.status === "open" && html`<a class="button primary"
    href=${`/offers/new?job=${offer.job_id}&contractor=${offer.contractor_id}&from=${offer.id}`}>${offer.counter
      ? `Make an offer of ${display(offer.counter.amount, offer.currency)}` : "Make a new offer"}</a>`;
  switch (offer.status) {
    case "awaiting_payment": return offer.processing_since ? {
      text: `Your bank is still working on the payment, which can take some days. You need not do anything: ${other} sees the offer when ${held} have arrived. If you withdraw it, you get all of it back.`,
      act: withdraw,
    } : {
      text: html`Your payment is not confirmed yet: ${other} sees the offer as soon as the money is held. You have <${Countdown} until=${offer.expires_at} over="no time left" />.`,
      act: html`<a class="button primary" href=${`/payments/${offer.payment_id}`}><${Icon} name="credit-card" />Continue the payment</a>${withdraw}`,
    };
    case "pending": return {
      text: html`${name} can answer for <${Countdown} until=${offer.expires_at} over="no more time" />. ${offer.captured_amount
        ? `${held} are paid, and come back if it is not accepted.` : `${held} are held for it; you are charged only when it is accepted.`}`,
      act: withdraw,
    };
    case "accepting": return { text: offer.captured_amount ? `${name} has accepted.` : `${name} has accepted. Your card is being charged.` };
    case "accepted": return { text: workOf(offer, job, name) };
    case "countered": return {
      text: again ? `${backOf(offer)} You can make a new offer from these terms, or others.` : `${backOf(offer)} The job is no longer open.`,
      act: again || undefined,
    };
    default: return { text: endOf(offer, backOf(offer)), act: again || undefined };
  }
}

/** @param {Offer} offer @param {any} job @param {string} other */
function forContractor(offer, job, other) {
  const name = capital(other);
  switch (offer.status) {
    case "pending": return {
      text: html`${name} has the money set aside: you get ${display(splitAll(offer.amount, offer.schedule).contractor, offer.currency)} of it. Answer within <${Countdown} until=${offer.expires_at} over="no more time" />.`,
      act: [button("Accept", () => steps.accept(offer, other), "primary", "check"),
        button("Other terms", () => steps.counter(offer, other), "", "reply"),
        button("Decline", () => steps.reject(offer, other), "quiet")],
    };
    case "accepting": return { text: `You have accepted. The card of ${other} is being charged.` };
    case "accepted": return {
      text: workOf(offer, job, "You"),
      act: job?.status === "assigned" && button("Start the work", () => steps.start(offer), "primary", "zap"),
    };
    case "countered": return { text: `You have answered with other terms. ${name} can make a new offer from them.` };
    default: return { text: endOf(offer, "") };
  }
}

/** @param {Offer} offer @param {any} job @param {string} who */
function workOf(offer, job, who) {
  const paid = display(offer.captured_amount, offer.currency);
  const open = offer.milestones.filter(isOpen).length;
  if (job?.status === "assigned") return `${paid} are paid and safe. ${who} can start the work.`;
  if (open) return `${paid} are paid. ${open === 1 ? "One milestone is" : `${open} milestones are`} still to be approved.`;
  return "All of it is done.";
}

/** @param {Offer} offer @param {string} money */
function endOf({ status }, money) {
  const words = /** @type {Record<string, string>} */ ({
    rejected: "The offer was declined.", withdrawn: "The offer was withdrawn.",
    expired: "There was no answer in time.", blocked: "The job is no longer open.",
    failed: "The payment did not go through.",
  });
  return `${words[status] ?? ""} ${money}`.trim();
}

// -- the money ---------------------------------------------------------------------------------

/** @param {any} props */
function Figures({ offer, other, customer }) {
  const { amount, schedule, currency } = offer;
  const { contractor, platform } = splitAll(amount, schedule);
  const [payer, payee] = customer ? ["You pay", `${capital(other)} gets`] : [`${capital(other)} pays`, "You get"];
  const done = offer.status === "accepted";
  const total = customer ? [payer, amount] : [payee, contractor];
  const first = customer ? [payee, contractor] : [payer, amount];
  return html`<section class="card stack" aria-labelledby="figures"><h2 id="figures">The money</h2>
    <${Sums} currency=${currency} total=${total} rows=${[first,
      [`Fees (${percent(schedule.platform_bps)} + ${percent(schedule.service_bps)})`, platform]]} />
    ${done && html`<${Sums} currency=${currency} rows=${[
      ["Paid", offer.captured_amount], ["Approved so far", offer.completed_amount],
      offer.refunded_amount > 0 && ["Refunded", offer.refunded_amount],
      offer.charged_back_amount > 0 && ["Taken back by the bank", offer.charged_back_amount],
    ]} />`}
    <dl class="facts"><div><dt>Time</dt><dd>${offer.timeline_days} ${offer.timeline_days === 1 ? "day" : "days"}</dd></div>
      <div><dt>Made</dt><dd><${Ago} at=${offer.created_at} /></dd></div></dl>
    <a class="small" href=${`/payments/${offer.payment_id}`}>The payment</a>
  </section>`;
}

// -- milestones --------------------------------------------------------------------------------

/** @param {any} props */
function Milestones(props) {
  const { offer } = props;
  const splits = splitMilestones(offer);
  const done = offer.milestones.filter((/** @type {Milestone} */ each) => each.status === "completed").length;
  return html`<section class="stack" aria-labelledby="milestones">
    <div class="row spread"><h2 id="milestones">${offer.milestones.length === 1 ? "The work" : "Milestones"}</h2>
      ${offer.milestones.length > 1 && offer.status === "accepted" && html`<span class="soft small">${done} of ${offer.milestones.length} approved</span>`}</div>
    <ol class="stack">${offer.milestones.map((/** @type {Milestone} */ milestone, /** @type {number} */ at) => html`
      <li key=${at}><${MilestoneCard} ...${props} milestone=${milestone} number=${at + 1} split=${splits[at]} /></li>`)}</ol>
  </section>`;
}

/** @param {any} props */
function MilestoneCard({ offer, job, other, customer, milestone, number, split }) {
  const { currency } = offer;
  const { status, dispute_id } = milestone;
  const going = offer.status === "accepted";
  const acts = going && job?.status === "in_progress" && isOpen(milestone) && !dispute_id;
  const waits = acts && (customer ? status === "delivered" : status === "pending");
  const shown = dispute_id ? { word: "In dispute", icon: /** @type {const} */ ("scale"), tone: /** @type {const} */ ("bad") }
    : going || !isOpen(milestone) ? statusOf("milestone", status) : null;
  return html`<article class=${`card stack milestone ${dispute_id ? "warn" : waits ? "act" : ""}`} style=${{ "--gap": "var(--space-3)" }}>
    <div class="row spread"><h3>${offer.milestones.length > 1 && `${number}. `}${milestone.title}</h3>${shown && html`<${Badge} of=${shown} />`}</div>
    <p><span class="amount">${display(milestone.amount, currency)}</span>
      <span class="soft small"> · ${customer ? `${other} gets` : "you get"} <span class="number">${display(split.contractor, currency)}</span></span></p>
    ${milestone.delivered_at && html`<div class="delivery stack" style=${{ "--gap": "var(--space-2)" }}>
      <p class="soft small">Delivered <${Ago} at=${milestone.delivered_at} /></p>
      ${milestone.note && html`<p class="prose"><${Linked} text=${milestone.note} /></p>`}
      <${Attachments} files=${milestone.files} /></div>`}
    ${dispute_id && html`<p class="note bad"><${Icon} name="lock" /><span>This money is frozen until the dispute ends: it cannot be approved.
      ${" "}<a href=${`/disputes/${dispute_id}`}>Open the dispute</a></span></p>`}
    ${!dispute_id && milestone.due_at && isOpen(milestone) && !offer.contested_amount && html`<p class="soft small beside"><${Icon} name="clock" />
      <span>${customer ? "Counts as approved" : "Paid without an answer"} in <${Countdown} until=${milestone.due_at} over="a moment" />, unless there is a dispute.</span></p>`}
    ${acts && html`<div class="row">
      ${customer && !offer.contested_amount && button(status === "delivered" ? "Approve and pay" : "Approve early", () => steps.approve(offer, number, other), status === "delivered" ? "primary" : "", "check")}
      ${!customer && button(status === "delivered" ? "Deliver again" : "Deliver", () => steps.deliver(offer, number), status === "pending" ? "primary" : "", "upload")}
      ${!job.dispute_id && !offer.contested_amount && button("Dispute", () => steps.dispute(offer, number, other), "quiet", "scale")}
    </div>`}
  </article>`;
}

// -- what has happened -------------------------------------------------------------------------

const HISTORY = /** @type {Record<string, string>} */ ({
  awaiting_payment: "Offer made", pending: "Money set aside, offer sent", accepting: "Accepted",
  accepted: "Money charged, job assigned", rejected: "Declined", countered: "Answered with other terms",
  withdrawn: "Withdrawn", expired: "Expired without an answer", blocked: "Stopped: the job is not open any more",
  failed: "The payment failed",
});

/** @param {Offer} offer */
function happened(offer) {
  const { currency } = offer;
  return [
    ...offer.history.map(({ at, status }) => ({ at, text: HISTORY[status] ?? statusOf("offer", status).word })),
    ...offer.milestones.flatMap(({ title, delivered_at, completed_at }) => [
      ...(delivered_at ? [{ at: delivered_at, text: `“${title}” delivered` }] : []),
      ...(completed_at ? [{ at: completed_at, text: `“${title}” approved` }] : []),
    ]),
    ...offer.refunds.map(({ asked_at, amount, reason, status }) => ({
      at: asked_at,
      text: `Refund of ${display(amount, currency)}${status === "requested" ? " on its way" : status === "failed" ? " came back" : ""}: ${reason}`,
    })),
  ].sort((one, other) => (one.at < other.at ? -1 : 1));
}

/** @param {{offer: Offer, other: string}} props */
function Timeline({ offer, other }) {
  const next = ENDED.has(offer.status) ? null
    : offer.status === "pending" ? (otherOf(offer) === offer.contractor_id ? `${capital(other)} answers` : "You answer")
    : offer.status === "awaiting_payment" ? "The payment is confirmed"
    : offer.milestones.some(isOpen) ? "Delivered, then approved and paid" : null;
  return html`<ol class="timeline">
    ${happened(offer).map(({ at, text }) => html`<li class="done" key=${at + text}><span>${text}</span>
      <time class="soft number" datetime=${at}>${dayOf(at) === dayOf(new Date().toISOString()) ? timeOf(at) : dayOf(at)}</time></li>`)}
    ${next && html`<li aria-current="step"><span>${next}</span></li>`}
  </ol>`;
}

/** The other offers between the same two on the same job. @param {{offer: Offer}} props */
function Negotiation({ offer }) {
  const { thread_id } = offer;
  const list = useList(offers, {
    read: (cursor) => server.bidding.list({ thread_id, cursor, limit: 20 }),
    fits: (each) => each.thread_id === thread_id,
  }, [thread_id]);
  const others = list.ids.value.map((id) => offers.of(id).value).filter((each) => each && each.id !== offer.id);
  if (!others.length) return null;
  return html`<section class="card flush" aria-labelledby="negotiation"><h2 id="negotiation" class="in-card">The other offers</h2>
    <ul class="rows">${others.map((each) => html`<li key=${each.id}><a class="line" href=${`/offers/${each.id}`}>
      <span class="grow"><span class="amount">${display(each.amount, each.currency)}</span><br />
        <span class="soft small"><${Ago} at=${each.created_at} /></span></span>
      <${Badge} of=${statusOf("offer", each.status)} /></a></li>`)}</ul></section>`;
}
