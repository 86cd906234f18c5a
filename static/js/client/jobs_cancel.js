// Cancelling a job: what that does to the money is said before, with every amount.

import { confirm } from "../shared/dialog.js";
import { refundable } from "../shared/fees.js";
import { html } from "../shared/html.js";
import { display } from "../shared/money.js";
import { server, write } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { applications, jobs, offers } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Job} Job */
/** @typedef {import("../../client/jobsphere.js").Offer} Offer */

const PAGE = 50;

/** @param {Job} job */
export async function askCancel(job) {
  try {
    const { body, expected_amount } = job.status === "open" ? await ofOpen(job) : await ofAssigned(job);
    if (!(await confirm({ title: "Cancel this job?", body, yes: "Cancel the job", no: "Keep it", danger: true }))) return;
    jobs.put(await write(() => server.job.cancel({ job_id: job.id, expected_amount })));
    say("The job is cancelled.", { tone: "good" });
  } catch (refused) {
    refuse(refused);
  }
}

/** Everything that is held for offers on an open job. @param {Job} job */
async function heldFor(job) {
  /** @type {Offer[]} */
  const found = [];
  for (const status of /** @type {const} */ (["pending", "awaiting_payment"])) {
    /** @type {string | null | undefined} */
    let cursor;
    while (cursor !== null) {
      const page = await server.bidding.list({ job_id: job.id, status, limit: PAGE, ...(cursor && { cursor }) });
      for (const offer of page.items) offers.put(offer);
      found.push(...page.items);
      cursor = page.next_cursor;
    }
  }
  return found;
}

/** @param {Job} job */
async function ofOpen(job) {
  const all = await heldFor(job);
  const held = all.filter(({ status }) => status === "pending");
  const total = held.reduce((sum, { amount }) => sum + amount, 0);
  const body = html`<p>Nobody can apply for <strong>${job.title}</strong> any more, and those who have applied are told. You cannot take it back.</p>
    ${all.length > held.length && html`<p>Offers whose payment is not confirmed end; nothing is held for them.</p>`}
    ${held.length === 0
      ? html`<p>No money is held for this job: nothing is paid, and nothing comes back.</p>`
      : html`<dl class="sums">${held.map((offer) => html`<dt key=${offer.id}>Set aside for the offer to ${nameOf(offer)}</dt>
          <dd class="amount">${display(offer.amount, offer.currency)}</dd>`)}
          <dt class="total">Back to you</dt><dd class="amount total">${display(total, held[0].currency)}</dd></dl>
        <p class="soft small">${held.every(({ captured_amount }) => captured_amount === 0) && "It was held on your card and never charged. "} The contractor gets nothing, and there is no fee.</p>`}`;
  return { body, expected_amount: 0 };
}

/** @param {Job} job */
async function ofAssigned(job) {
  const offer = await server.bidding.get({ offer_id: /** @type {string} */ (job.offer_id) });
  offers.put(offer);
  const { currency } = offer;
  const back = refundable(offer);
  const body = html`<p>Work on <strong>${job.title}</strong> has not begun, so you get everything back, the platform fee with it. You cannot take it back.</p>
    <dl class="sums"><dt>You have paid</dt><dd class="amount">${display(offer.captured_amount, currency)}</dd>
      ${offer.captured_amount > back && html`<dt>Already refunded, or in a chargeback</dt><dd class="amount">${display(offer.captured_amount - back, currency)}</dd>`}
      <dt class="total">You get back</dt><dd class="amount total">${display(back, currency)}</dd>
      <dt>${nameOf(offer)} gets</dt><dd class="amount">${display(0, currency)}</dd></dl>
    <p class="soft small">It goes to the card that you paid with, in a few days.</p>`;
  return { body, expected_amount: back };
}

/** The name of an offer's contractor, as the applications have it. @param {Offer} offer */
function nameOf({ job_id, contractor_id }) {
  return applications.find((/** @type {any} */ each) => each.job_id === job_id && each.contractor_id === contractor_id)
    ?.contractor_name ?? "the contractor";
}
