// The steps of the work queues: each says what it does before it is done.

import { Field } from "../shared/form.js";
import { html } from "../shared/html.js";
import { display } from "../shared/money.js";
import { server } from "../shared/server.js";
import { Id, Value } from "./links.js";
import { step, words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").DeadLetter} DeadLetter */
/** @typedef {import("../../client/jobsphere.js").WebhookEvent} WebhookEvent */
/** @typedef {import("../../client/jobsphere.js").Approval} Approval */
/** @typedef {import("../../client/jobsphere.js").SeenReport} Report */
/** @typedef {import("../../client/jobsphere.js").BookDifference} Difference */

/** @param {DeadLetter} letter */
export const retry = ({ id, kind, subject, attempts }) => step({
  title: "Try it again?", yes: "Try again", done: "It is queued again.",
  what: html`<p>“${words(kind || "push")}” about <${Id} id=${subject} apart /> failed ${attempts} times. It is queued again with all its attempts, so do this once the cause is gone.</p>
    <p>What was done already is not done twice.</p>`,
  run: ({ reason }) => server.admin.retry({ row_id: id, reason }),
});

/** @param {DeadLetter} letter */
export const discard = ({ id, kind, subject }) => step({
  title: "Discard it?", yes: "Discard", danger: true, done: "It is discarded.",
  what: html`<p>“${words(kind || "push")}” about <${Id} id=${subject} apart /> is never done. If money is meant to move, it does not move by this any more.</p>`,
  run: ({ reason }) => server.admin.discard({ row_id: id, reason }),
});

/** @param {WebhookEvent} event */
export const replay = ({ id, type, object_id }) => step({
  title: "Process this event again?", yes: "Process again", done: "It is queued again.",
  what: html`<p>${type} about <${Id} id=${object_id} apart />: Stripe is asked for the object, and what it says now is taken over. What is known already changes nothing.</p>`,
  run: ({ reason }) => server.admin.replay({ event_id: id, reason }),
});

/** What an approval would do, in words. @param {Approval} approval */
const effect = ({ operation, amount, currency }) => {
  const money = html`<span class="amount">${display(amount, currency)}</span>`;
  return /** @type {Record<string, any>} */ ({
    "admin.refund": html`${money} go back to the customer.`, "admin.release": html`${money} are transferred to the contractor.`,
    "admin.adjust": html`The wallet is corrected by ${money}.`, "admin.resolve": html`The dispute about ${money} is decided.`,
    "admin.pay_out": html`${money} go to the bank of somebody who is gone.`, "admin.write_off": html`${money} of somebody who is gone are written off.`,
    "admin.line_assign": html`A line of ${money} of Stripe’s books is assigned.`, "admin.correct": html`A difference is corrected by ${money}.`,
    "admin.stranded_settle": html`${money} on an old account at Stripe are settled.`, "admin.withdrawal_end": html`A withdrawal of ${money} is said to have ended.`,
  })[operation] ?? html`${words(operation)}: ${money}.`;
};

/** The fields of a command, without what is said elsewhere. @param {{fields: Record<string, unknown>}} props */
export const Given = ({ fields }) => html`<dl class="facts">${Object.entries(fields).filter(([, value]) => value !== null && value !== "").map(([name, value]) => html`
  <div key=${name}><dt>${words(name)}</dt><dd class="break"><${Value} of=${value} apart /></dd></div>`)}</dl>`;

/** @param {Approval} approval */
export const approve = (approval) => step({
  title: "Approve this step?", yes: "Approve", danger: true, done: "It is approved and done.",
  what: html`<p>${effect(approval)} It is done at once, and recorded as asked for by another administrator and approved by you.</p><${Given} fields=${approval.fields} />`,
  run: ({ reason }) => server.admin.approve({ approval_id: approval.id, reason }),
});

/** @param {Approval} approval */
export const decline = (approval) => step({
  title: "Decline this step?", yes: "Decline", done: "It is declined.", reason: "Why, for who asked",
  what: html`<p>${effect(approval)} This is not done.</p>`,
  run: ({ reason }) => server.admin.decline({ approval_id: approval.id, reason }),
});

/** @param {Report} report */
export function decideReport(report) {
  const { id, said, text, reason: why, message_id, about_id, by, names } = report;
  const about = names[about_id] || "the user";
  const choices = [["dismiss", "Nothing: dismiss the report"], ["warn", `Warn ${about}`], message_id && ["remove_message", `Remove the message, and tell ${about}`], ["ban", `Ban ${about}: all sessions end`]].filter(Boolean);
  return step({
    title: "Decide about this report", yes: "Decide", danger: true, done: "It is decided.",
    what: html`<p>${names[by] || "A user"} reports ${about} for ${why}.</p>${said && html`<p class="note prose">“${said}”</p>`}${text && html`<p class="prose">${text}</p>`}
      <p>Who reported is told that it was looked at. A ban ends no work and no payment that is agreed.</p>`,
    fields: (form) => html`<${Field} form=${form} name="decision" label="What to do" as="select" required>${choices.map((choice) => {
      const [value, label] = /** @type {string[]} */ (choice);
      return html`<option key=${value} value=${value}>${label}</option>`;
    })}</${Field}><${Field} form=${form} name="message" label=${`What ${about} is told (optional)`} as="textarea" maxlength="1000" hint="With a warning or a removal; by default, that it breaks the rules." />`,
    run: ({ decision, message = "", reason }) => server.admin.report_decide({ report_id: id, decision, message, reason }),
  });
}

/** @param {Difference} difference */
export const explain = ({ id, what, subject }) => step({
  title: "Explain this difference?", yes: "Explain", done: "It is explained.", reason: "What explains it",
  what: html`<p>${what} of <${Id} id=${subject} apart />. It leaves the open ones, and stays explained if it is found again. No money moves.</p>`,
  run: ({ reason }) => server.admin.difference_close({ difference_id: id, reason }),
});

/** Compare a span again, by default the last two days. @param {{start?: string, end?: string}} [span] */
export const reconcile = (span = {}) => step({
  title: "Compare with Stripe now?", yes: "Compare", done: "It has begun; the result comes by itself.",
  what: html`<p>${span.start ? "The same time" : "The last two days"} of Stripe’s books and ours are compared line by line. Fees and payouts that our journal lacks are booked;
    for other lines Stripe is asked again. No money moves.</p>`,
  run: ({ reason }) => server.admin.reconcile({ ...span, reason }),
});
