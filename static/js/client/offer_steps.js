// The steps of an offer and of its milestones. Each asks first, with exact amounts and who gets what.

import { useSignal } from "@preact/signals";
import { FilePicker, storedIds, useUploads } from "../shared/file_picker.js";
import { afterDebt, openAmount, splitAll, splitApproval } from "../shared/fees.js";
import { Field } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { limitsOf, readMeta, useMeta } from "../shared/meta.js";
import { display } from "../shared/money.js";
import { amountIn, amountOrNull, ask, MoneyField, Sums } from "../shared/money_step.js";
import { go } from "../shared/router.js";
import { Refusal, me, server, write } from "../shared/server.js";
import { say } from "../shared/toasts.js";
import { capital } from "./names.js";
import { disputes, jobs, offers, wallets } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Offer} Offer */

export const REASONS = /** @type {const} */ ([
  ["not_delivered", "It was not delivered"],
  ["not_as_agreed", "It is not what was agreed"],
  ["quality", "It is not good enough"],
  ["scope", "More or something else is asked for than was agreed"],
  ["unresponsive", "There are no answers"],
  ["other", "Something else"],
]);

/** Read an offer again: what a step has changed is pushed, too, but perhaps later. @param {string} offer_id */
export async function readAgain(offer_id) {
  offers.put(await server.bidding.get({ offer_id }));
}

/**
 * Run a step with the amount that its dialog shows. If another amount would move by now, the server
 * refuses it, and the dialog shows what has changed.
 *
 * @template T
 * @param {string} offerId
 * @param {() => Promise<T>} step
 * @returns {Promise<T>}
 */
export async function guarded(offerId, step) {
  try {
    return await write(step);
  } catch (refused) {
    if (refused instanceof Refusal && refused.code === "conflict") await readAgain(offerId).catch(() => {});
    throw refused;
  }
}

/** The newest state of an offer while a dialog is open. @param {Offer} offer @returns {Offer} */
const newest = (offer) => offers.of(offer.id).value ?? offer;

/** What of a contractor's earnings pays what they owe. @param {{earned: number, currency: string}} props */
function Debt({ earned, currency }) {
  const { repaid } = afterDebt(earned, wallets.of(currency).value?.debt ?? 0);
  return repaid > 0 && html`<p class="note wait"><${Icon} name="info" />Of this, ${display(repaid, currency)} pay what you owe.</p>`;
}

// -- answering an offer ------------------------------------------------------------------------

/** @param {Offer} offer @param {string} other */
export async function accept(offer, other) {
  const { currency, amount } = offer;
  const split = splitAll(amount, offer.schedule);
  const done = await ask({
    title: "Accept this offer?",
    yes: `Accept ${display(amount, currency)}`,
    body: () => html`
      <p>${capital(other)} is charged ${display(amount, currency)} now. JobSphere keeps it safe, and you get your part of each milestone when it is approved.</p>
      <${Sums} currency=${currency} total=${["You get", split.contractor]} rows=${[
        [`${capital(other)} pays`, amount], ["Fees of JobSphere", split.platform],
      ]} />
      <${Debt} earned=${split.contractor} currency=${currency} />
      <p class="soft small">The job is yours then, and all other offers for it end.</p>
      ${me.value?.payouts_enabled === false && html`<p class="note"><${Icon} name="landmark" />You can accept at once. To be paid to your bank, set up payouts in your wallet.</p>`}`,
    run: () => write(() => server.bidding.accept({ offer_id: offer.id })),
  });
  if (done) offers.put(done);
}

/** @param {Offer} offer @param {string} other */
export async function reject(offer, other) {
  const done = await ask({
    title: "Decline this offer?", yes: "Decline", danger: true,
    body: () => html`<p>The offer ends, and nobody pays: the ${display(offer.amount, offer.currency)} ${offer.captured_amount
      ? `that ${other} has paid go back` : `that are held for it are released`}.</p><p class="soft">If only the price is not right, answer with other terms instead.</p>`,
    run: () => write(() => server.bidding.reject({ offer_id: offer.id })),
  });
  if (!done) return;
  offers.put(done);
  say("You have declined the offer.", { tone: "good" });
}

/** @param {Offer} offer */
export async function withdraw(offer) {
  const { status, currency, amount } = offer;
  const done = await ask({
    title: "Withdraw this offer?", yes: "Withdraw it", danger: true,
    body: () => html`<p>${offer.processing_since
      ? "The offer ends. Your bank is still working on the payment: if the money arrives, you get all of it back."
      : offer.captured_amount ? `The offer ends, and you get the ${display(amount, currency)} that you have paid back.` : status === "pending"
      ? `The offer ends, and you pay nothing: the ${display(amount, currency)} that are held are released. Banks show that within some days.`
      : "The offer ends, and you pay nothing."}</p>`,
    run: () => write(() => server.bidding.withdraw({ offer_id: offer.id })),
  });
  if (!done) return;
  offers.put(done);
  say("You have withdrawn the offer.", { tone: "good" });
}

/** @param {Offer} offer @param {string} other */
export async function counter(offer, other) {
  const { currency } = offer;
  const Body = (/** @type {{form: any}} */ { form }) => {
    const text = useSignal("");
    const amount = amountOrNull(text.value, currency);
    const { minimum } = limitsOf(useMeta(), currency);
    const split = amount !== null && amount >= minimum && splitAll(amount, offer.schedule);
    return html`
      <p>The present offer of ${display(offer.amount, currency)} ends, and its money goes back. ${capital(other)} can make a new offer from your terms.</p>
      <${MoneyField} form=${form} name="amount" label="You ask for" currency=${currency} required autofocus
        onInput=${(/** @type {any} */ { target }) => (text.value = target.value)} />
      <${Field} form=${form} name="note" label="Why" as="textarea" maxlength="2000" hint="What would change, and what it includes." />
      ${split && html`<${Sums} currency=${currency} total=${["You would get", split.contractor]} rows=${[
        [`${capital(other)} would pay`, split.amount], ["Fees of JobSphere", split.platform],
      ]} />`}`;
  };
  const done = await ask({
    title: "Answer with other terms", yes: "Send your terms", body: Body,
    run: async (fields) => {
      const amount = amountIn(fields, "amount", currency, limitsOf(await readMeta(), currency));
      return write(() => server.bidding.counter({ offer_id: offer.id, amount, note: fields.note ?? "" }));
    },
  });
  if (!done) return;
  offers.put(done);
  say("Your terms are sent.", { tone: "good" });
}

// -- the work ----------------------------------------------------------------------------------

/** @param {Offer} offer */
export async function start(offer) {
  jobs.put(await write(() => server.job.start({ job_id: offer.job_id })));
  say("The work has begun.", { tone: "good" });
}

/** @param {Offer} offer @param {number} number */
export async function deliver(offer, number) {
  const milestone = offer.milestones[number - 1];
  const again = milestone.status === "delivered";
  /** @type {() => Promise<string[]>} */
  let files = async () => [];
  const Body = (/** @type {{form: any}} */ { form }) => {
    const uploads = useUploads();
    files = () => storedIds(uploads);
    return html`
      ${again && html`<p class="note"><${Icon} name="info" />This takes the place of what you have delivered before.</p>`}
      <${Field} form=${form} name="note" label="What have you done?" as="textarea" maxlength="4000" autofocus />
      <${FilePicker} uploads=${uploads} />`;
  };
  const done = await ask({
    title: `Deliver “${milestone.title}”`, yes: again ? "Deliver again" : "Deliver", body: Body,
    run: async ({ note = "" }) => {
      const file_ids = await files();
      const job = await write(() => server.job.deliver({ job_id: offer.job_id, milestone: number, note, file_ids }));
      await readAgain(offer.id);
      return job;
    },
  });
  if (!done) return;
  jobs.put(done);
  say(`“${milestone.title}” is delivered.`, { tone: "good" });
}

/** @param {Offer} offer @param {number} number @param {string} other */
export async function approve(offer, number, other) {
  const { currency, milestones } = offer;
  const { title, status } = milestones[number - 1];
  const Body = () => {
    const now = newest(offer);
    const { amount, contractor, platform } = splitApproval(now, number);
    const open = now.milestones.flatMap((each, at) => (each.status === "completed" || each.status === "cancelled" ? [] : [at + 1]));
    const rest = openAmount(now, open) - amount;
    return html`
      ${status === "pending" && html`<p class="note wait"><${Icon} name="triangle-alert" />This has not been delivered yet.</p>`}
      <p>Only this milestone is paid, out of the money that JobSphere keeps for you. This cannot be undone.</p>
      <${Sums} currency=${currency} total=${["Paid of your money", amount]} rows=${[
        [`${capital(other)} gets`, contractor], ["Fees of JobSphere", platform],
      ]} />
      ${rest > 0 && html`<p class="soft small">${display(rest, currency)} stay safe for the other milestones.</p>`}`;
  };
  const done = await ask({
    title: `Approve “${title}”?`, yes: "Approve and pay", body: Body,
    run: async () => {
      const expected_amount = splitApproval(offers.peek(offer.id) ?? offer, number).amount;
      const found = await guarded(offer.id, () => server.job.complete({ job_id: offer.job_id, milestone: number, expected_amount }));
      await readAgain(offer.id);
      return found;
    },
  });
  if (!done) return;
  jobs.put(done.job);
  const { contractor_amount, platform_amount } = done.split;
  say(`Approved: ${display(contractor_amount, currency)} go to ${other}, ${display(platform_amount, currency)} are fees.`, { tone: "good" });
}

/** @param {Offer} offer @param {number} number @param {string} other */
export async function dispute(offer, number, other) {
  const { currency, milestones } = offer;
  const amount = openAmount(offer, [number]);
  const Body = (/** @type {{form: any}} */ { form }) => html`
    <p>${display(amount, currency)} are frozen: nobody gets them until you and ${other} agree on a split, or JobSphere decides.</p>
    <${Field} form=${form} name="reason" label="What is wrong?" as="select" required>
      ${REASONS.map(([value, label]) => html`<option value=${value}>${label}</option>`)}</${Field}>
    <${Field} form=${form} name="text" label="Tell what happened" as="textarea" required maxlength="8000"
      hint="${capital(other)} and JobSphere read this. You can add files afterwards." />`;
  const done = await ask({
    title: `Dispute “${milestones[number - 1].title}”`, yes: `Freeze ${display(amount, currency)}`, danger: true, body: Body,
    run: ({ reason, text }) => write(() => server.payment.dispute_open({ job_id: offer.job_id, milestone: number, reason, text })),
  });
  if (!done) return;
  disputes.put(done);
  readAgain(offer.id).catch(() => {}); // it is pushed, too
  go(`/disputes/${done.id}`);
}
