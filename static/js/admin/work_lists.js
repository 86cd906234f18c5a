// The lists of the work queues: disputes, chargebacks, reports, dead letters, events, reconciliation, approvals, audit.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Countdown } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Badge } from "../shared/pieces.js";
import { me, server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { ChainState, Detail } from "./chain.js";
import { SIDES, SPAN, withTimes } from "./filters.js";
import { Compared, Id, Value } from "./links.js";
import { assignLine, correct, hold, payOut, writeOff } from "./settle_actions.js";
import { Assignee, words } from "./work.js";
import { approve, decideReport, decline, discard, explain, reconcile, replay, retry } from "./work_actions.js";

/** @typedef {import("./lists.js").List} List */

/** @type {(row: any) => any} */
const when = ({ created_at, at = created_at }) => html`<${Ago} at=${at} />`;
/** @type {(row: any) => any} */
const money = ({ amount, currency }) => html`<span class="amount">${display(amount, currency)}</span>`;
/** @type {(kind: string) => (row: any) => any} */
const state = (kind) => ({ status }) => html`<${Badge} of=${statusOf(kind, status)} />`;
/** @type {(name: string) => (row: any) => any} */
const id = (name) => (row) => html`<${Id} id=${row[name]} />`;
/** @type {(what: string) => (row: any) => any} */
const assignee = (what) => (row) => html`<${Assignee} id=${row.id} what=${what} />`;
/** A button for a step, after which the list is read again. @type {(label: string, icon: string, run: () => Promise<any>, load: () => void, kind?: string) => any} */
const button = (label, icon, run, load, kind = "") => html`<button type="button" class=${`button small ${kind}`} onClick=${async () => (await run()) && load()}><${Icon} name=${icon} />${label}</button>`;

/** Where the money is, and what can be done. @type {Record<string, [string, string]>} */
const OWNERLESS = {
  escrow_ended: ["In escrow without open work", "Nobody can earn it any more. Refund it to the customer on the page of the payment."],
  refund_failed: ["A refund came back", "The customer’s bank did not take it. Refund it again, or pay the customer outside of JobSphere: a wallet is only a contractor’s."],
  wallet_closed: ["In the wallet of a user who is gone", "They cannot sign in. Pay it out to their bank, hold it, write it off, or let them in again."],
  debt_closed: ["Owed by a user who is gone", "New earnings would repay it, and there are none. Hold it, or write it off."],
  transfer_waits: ["A transfer that is not sent for a week", "The contractor’s account at Stripe takes none, or it is parked. Release it in Transfers, or ask the contractor."],
};

/** @type {Record<string, List>} */
export const WORK_LISTS = {
  disputes: {
    title: "Disputes",
    read: (fields) => server.admin.disputes(fields),
    assigned: true,
    follow: (load) => [server.payment.on("dispute.updated", load)],
    filters: [{ name: "status", label: "State", choices: ["open", "proposed", "escalated", "resolved"] }, { name: "job_id", label: "Job id" }, ...SIDES],
    columns: [["Job", (row) => html`<a href=${`/admin/disputes/${row.id}`}>${row.job_title}</a>`], ["Amount", money], ["State", state("dispute")],
      ["Answer until", ({ status, answer_by, waits_for }) => (waits_for && status !== "resolved" ? html`<${Countdown} until=${answer_by} />` : "")],
      ["Customer", id("customer_id")], ["Contractor", id("contractor_id")], ["Looked after by", assignee("this dispute")], ["Opened", when]],
  },
  chargebacks: {
    title: "Chargebacks",
    read: (fields) => server.payment.chargebacks(fields),
    assigned: true,
    follow: (load) => [server.payment.on("chargeback.updated", load)],
    filters: [{ name: "status", label: "State", choices: ["inquiry", "open", "won", "lost", "closed"] }],
    columns: [["Job", (row) => html`<a href=${`/admin/chargebacks/${row.id}`}>${row.job_title}</a>`], ["Amount", money], ["State", state("chargeback")],
      ["Reason", ({ reason }) => words(reason)], ["Evidence until", ({ due_by }) => (due_by ? html`<${Countdown} until=${due_by} />` : "")],
      ["Payment", id("payment_id")], ["Looked after by", assignee("this chargeback")], ["Opened", when]],
  },
  reports: {
    title: "Reports",
    read: (fields) => server.admin.reports(fields),
    assigned: true,
    filters: [{ name: "status", label: "State", choices: ["open", "acted", "dismissed"] }, { name: "user_id", label: "About (user id)" }, { name: "by", label: "By (user id)" }],
    columns: [["About", (row) => html`<${Id} id=${row.about_id}>${row.names[row.about_id]}</${Id}>`], ["By", (row) => html`<${Id} id=${row.by}>${row.names[row.by]}</${Id}>`],
      ["What was said", ({ said, text, job_id, job_title }) => html`${said ? html`<p class="prose">“${said}”</p>` : html`<p class="soft">the whole conversation</p>`}${text && html`<p class="small">${text}</p>`}<p class="small soft"><${Id} id=${job_id}>${job_title}</${Id}></p>`],
      ["Reason", ({ reason }) => reason],
      ["State", (row) => html`<${Badge} of=${statusOf("report", row.status)} />${row.decision && html`<br /><span class="small soft">${words(row.decision)}: ${row.decide_reason}</span>`}`],
      ["At", when], ["Steps", (row, load) => row.status === "open" && html`<div class="steps">${button("Decide…", "check", () => decideReport(row), load)}${assignee("this report")(row)}</div>`]],
  },
  "dead-letters": {
    title: "Dead letters",
    read: (fields) => server.admin.dead_letters(fields),
    assigned: true,
    filters: [{ name: "lane", label: "Queue", choices: ["stripe", "push", "notice", "mail", "search", "export"] }],
    columns: [["Work", ({ kind, lane }) => words(kind || lane)], ["Queue", ({ lane }) => lane], ["About", id("subject")], ["Attempts", ({ attempts }) => attempts],
      ["Why", ({ last_error }) => html`<span class="small"><${Value} of=${last_error} none="its process ended each time" /></span>`], ["Queued", when],
      ["Steps", (row, load) => html`<div class="steps">${button("Retry…", "rotate-ccw", () => retry(row), load)}${button("Discard…", "trash-2", () => discard(row), load)}${assignee("this dead letter")(row)}</div>`]],
  },
  "webhook-events": {
    title: "Stripe events",
    read: (fields) => server.admin.webhook_events(fields),
    filters: [{ name: "status", label: "State", choices: ["received", "working", "done", "dead", "quarantined", "not_ours"] }, { name: "type", label: "Type" },
      { name: "payment_id", label: "Payment id" }, { name: "object_id", label: "Id at Stripe" }],
    columns: [["Type", (row) => html`<a href=${`/admin/webhook-events/${row.id}`}>${row.type}</a>`], ["State", state("event")], ["Payment", id("payment_id")],
      ["Why", ({ last_error, reason }) => html`<span class="small"><${Value} of=${last_error ?? reason} none="" /></span>`], ["Received", when],
      ["Steps", (row, load) => ["dead", "quarantined", "not_ours"].includes(row.status) && button("Replay…", "rotate-ccw", () => replay(row), load)]],
  },
  reconciliations: {
    title: "Reconciliation",
    read: (fields) => server.admin.reconciliations(fields),
    follow: (load) => [server.admin.on("reconciliation.updated", load)],
    filters: [],
    actions: (load) => html`<a class="button" href="/admin/differences?status=open"><${Icon} name="list-checks" />Differences</a>
      <button type="button" class="button" onClick=${async () => (await reconcile()) && load()}><${Icon} name="scale" />Compare now…</button>`,
    columns: [["Span", (row) => html`<a href=${`/admin/reconciliations/${row.id}`}><${Ago} at=${row.start} /> – <${Ago} at=${row.end} /></a>`], ["State", state("reconciliation")],
      ["Lines", ({ compared }) => /** @type {number[]} */ (Object.values(compared)).reduce((sum, count) => sum + count, 0)],
      ["Differences", ({ difference_count }) => difference_count], ["Booked", ({ booked_count }) => booked_count], ["By", id("by")], ["Started", when]],
  },
  differences: {
    title: "Differences",
    read: (fields) => server.admin.differences(fields),
    assigned: true,
    follow: (load) => [server.admin.on("reconciliation.updated", load)],
    filters: [{ name: "status", label: "State", choices: ["open", "explained", "gone"] }, { name: "subject", label: "About (id)" }],
    columns: [["What", ({ what }) => what], ["About", id("subject")], ["Here", ({ expected }) => html`<${Compared} value=${expected} />`], ["At Stripe", ({ found }) => html`<${Compared} value=${found} />`],
      ["State", (row) => html`<${Badge} of=${statusOf("difference", row.status)} />${row.close_reason && html`<br /><span class="small soft"><${Value} of=${row.close_reason} /></span>`}`],
      ["Found", ({ seen_count, last_run, last_seen_at }) => html`${seen_count === 1 ? "once" : `${seen_count} times`}, last ${last_run === "audit" ? html`by the audit <${Ago} at=${last_seen_at} />` : html`<a href=${`/admin/reconciliations/${last_run}`}><${Ago} at=${last_seen_at} /></a>`}`],
      ["Steps", (row, load) => row.status === "open" && html`<div class="steps">${button("Compare again…", "scale", () => reconcile({ start: row.start, end: row.end }), load)}${button("Explain…", "check", () => explain(row), load)}${button("Correct…", "hand-coins", () => correct(row), load)}${assignee("this difference")(row)}</div>`]],
  },
  ownerless: {
    title: "Money without owner",
    read: (fields) => server.admin.ownerless(fields),
    assigned: true,
    head: OwnerlessNote,
    filters: [{ name: "kind", label: "Kind", choices: Object.keys(OWNERLESS) }],
    columns: [["Why", ({ kind }) => html`<p class="strong">${OWNERLESS[kind]?.[0] ?? words(kind)}</p><p class="small soft">${OWNERLESS[kind]?.[1] ?? ""}</p>`],
      ["About", id("subject")], ["Amount", money], ["Since", ({ found_at }) => html`<${Ago} at=${found_at} />`],
      ["Held", ({ held_by, held_reason }) => held_by && html`<span class="small">by <${Id} id=${held_by} />: ${held_reason}</span>`],
      ["Steps", (row, load) => html`<div class="steps">${row.kind === "wallet_closed" && button("Pay out…", "landmark", () => payOut(row), load)}${row.kind.endsWith("_closed") && button("Write off…", "x", () => writeOff(row), load)}
        ${button("Hold…", "lock", () => hold(row), load)}${assignee("this money")(row)}</div>`]],
  },
  "foreign-lines": {
    title: "Lines that are not ours",
    read: (fields) => server.admin.foreign_lines(fields),
    assigned: true,
    head: ForeignNote,
    filters: [{ name: "status", label: "State", choices: ["open", "assigned"] }],
    columns: [["What", ({ what, type }) => html`<p class="strong">${what}</p><p class="small soft">${words(type)}</p>`], ["Amount", ({ net, currency }) => html`<span class="amount">${display(net, currency)}</span>`],
      ["At Stripe", ({ line_id, source_id }) => html`<code class="small break" title=${line_id}>${line_id}</code>${source_id && html`<br /><${Id} id=${source_id} />`}`],
      ["State", (row) => html`<${Badge} of=${statusOf("foreign_line", row.status)} />${row.owner && html`<br /><span class="small soft">${words(row.owner)}: ${row.reason}</span>`}`], ["Booked by Stripe", when],
      ["Steps", (row, load) => row.status === "open" && html`<div class="steps">${button("Assign…", "check", () => assignLine(row), load)}${assignee("this line")(row)}</div>`]],
  },
  approvals: {
    title: "Approvals",
    read: (fields) => server.admin.approvals(fields),
    follow: (load) => [server.admin.on("approval.updated", load)],
    filters: [{ name: "status", label: "State", choices: ["pending", "executed", "declined", "expired"] }],
    columns: [["Step", ({ operation }) => words(operation.replace("admin.", ""))], ["About", id("subject")], ["Amount", money],
      ["State", (row) => html`<${Badge} of=${statusOf("approval", row.status)} />${row.status === "pending" ? html`<br /><span class="small soft">for <${Countdown} until=${row.expires_at} /></span>`
        : row.decided_by && html`<br /><span class="small">by <${Id} id=${row.decided_by} /></span>`}`],
      ["Why", ({ fields, reason }) => html`<span class="small"><${Value} of=${fields.reason} none="" />${reason && html`<br />Declined: <${Value} of=${reason} />`}</span>`], ["Asked", (row) => html`<${Id} id=${row.requested_by} /><br /><span class="small"><${Ago} at=${row.created_at} /></span>`],
      ["Steps", (row, load) => row.status === "pending" && (row.requested_by === me.value?.id ? html`<span class="small soft">another one has to approve</span>`
        : html`<div class="steps">${button("Approve…", "check", () => approve(row), load)}${button("Decline…", "x", () => decline(row), load)}</div>`)]],
  },
  audit: {
    title: "Audit trail",
    read: (fields) => server.admin.audit(withTimes(fields)),
    filters: [{ name: "actor_id", label: "By (user id)" }, { name: "operation", label: "Operation" }, { name: "subject", label: "About (id)" }, ...SPAN],
    head: ChainState,
    columns: [["No.", ({ seq }) => seq ?? html`<span class="soft">waits</span>`], ["Operation", ({ operation }) => html`<code class="small">${operation}</code>`], ["By", (row) => (row.actor_id ? html`<${Id} id=${row.actor_id} />` : row.operation.startsWith("platform.") ? "the platform itself" : "nobody signed in")],
      ["About", ({ subjects }) => html`${subjects.slice(0, 5).map((/** @type {string} */ each) => html`<${Id} id=${each} key=${each} /> `)}${subjects.length > 5 && html`<span class="small soft">and ${subjects.length - 5} more</span>`}`],
      ["What", (row) => html`<${Detail} row=${row} />`], ["At", when]],
  },
};

function ForeignNote() {
  return html`<p class="note chain"><${Icon} name="info" /><span>Lines of Stripe’s books that no rule books: of other business on the same account, reserves, and types that Stripe has added. Say whose each is.</span></p>`;
}

function OwnerlessNote() {
  return html`<p class="note chain"><${Icon} name="info" /><span>Looked for once an hour. Nothing moves by itself: each kind says what can be done. What is settled leaves this list.</span></p>`;
}
