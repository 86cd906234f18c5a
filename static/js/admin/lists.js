// The lists of the back office: how each is read, what it can be filtered by, what a row shows.

import { html } from "../shared/html.js";
import { display } from "../shared/money.js";
import { Ago, Badge } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";

/**
 * @typedef {object} Filter
 * @property {string} name of the command's field and of the query
 * @property {string} label
 * @property {string[]} [choices] a text without them
 */

/**
 * @typedef {object} List
 * @property {string} title
 * @property {(fields: any) => Promise<{items: any[], next_cursor: string | null}>} read
 * @property {Filter[]} filters
 * @property {[string, (row: any) => any][]} columns heading and content
 */

const user = { name: "user_id", label: "User id" };
/** @type {(row: any) => any} */
const when = ({ created_at, at = created_at }) => html`<${Ago} at=${at} />`;
/** @type {(name?: string) => (row: any) => any} */
const money = (name = "amount") => (row) => html`<span class="amount">${display(row[name], row.currency)}</span>`;
/** @type {(kind: string) => (row: any) => any} */
const state = (kind) => ({ status }) => html`<${Badge} of=${statusOf(kind, status)} />`;
/** @type {(name: string) => (row: any) => any} */
const id = (name) => (row) => html`<${Id} id=${row[name]} />`;

/** @type {Record<string, List>} */
export const LISTS = {
  users: {
    title: "Users",
    read: (fields) => server.admin.users(fields),
    filters: [
      { name: "q", label: "E-mail address or id" },
      { name: "role", label: "Role", choices: ["customer", "contractor", "admin"] },
      { name: "state", label: "State", choices: ["banned", "frozen", "deleted"] },
    ],
    columns: [
      ["Name", (row) => html`<${Id} id=${row.id}>${row.name || "deleted"}</${Id}>`],
      ["E-mail", ({ email }) => email],
      ["Role", ({ role }) => role],
      ["State", ({ banned_at, frozen_at, deleted_at }) =>
        [banned_at && "banned", frozen_at && "frozen", deleted_at && "deleted"].filter(Boolean).join(", ") || "active"],
      ["Since", when],
    ],
  },
  payments: {
    title: "Payments",
    read: (fields) => server.admin.payments(fields),
    filters: [
      { name: "status", label: "State", choices: ["requires_payment", "authorized", "capturing", "captured", "partially_refunded", "refunded", "canceled", "failed"] },
      { name: "customer_id", label: "Customer id" }, { name: "contractor_id", label: "Contractor id" },
    ],
    columns: [
      ["Payment", id("id")], ["Amount", money()], ["State", state("payment")],
      ["Customer", id("customer_id")], ["Contractor", id("contractor_id")], ["Made", when],
    ],
  },
  transactions: {
    title: "Journal",
    read: (fields) => server.admin.transactions(fields),
    filters: [user, { name: "offer_id", label: "Offer id" }, { name: "kind", label: "Kind" }, { name: "fact", label: "Fact" }],
    columns: [
      ["Kind", ({ kind }) => kind.replaceAll("_", " ")],
      ["Postings", ({ postings, currency }) => html`<ul>${postings.map((/** @type {any} */ posting) => html`<li class="small">
        ${posting.source} → ${posting.destination} <span class="amount">${display(posting.amount, currency)}</span></li>`)}</ul>`],
      ["Offer", id("offer_id")], ["Fact", ({ fact }) => html`<code class="small">${fact}</code>`], ["Booked", when],
    ],
  },
  wallets: {
    title: "Wallets and escrow",
    read: (fields) => server.admin.wallets({ nonzero: true, ...fields }),
    filters: [user, { name: "kind", label: "Kind", choices: ["wallet", "escrow", "debt"] }, { name: "currency", label: "Currency" }],
    columns: [["Account", ({ account }) => html`<code class="small">${account}</code>`], ["Owner", id("owner_id")],
      ["Amount", money()], ["Changed", ({ updated_at }) => html`<${Ago} at=${updated_at} />`]],
  },
  transfers: {
    title: "Transfers",
    read: (fields) => server.admin.transfers(fields),
    filters: [user, { name: "status", label: "State", choices: ["waiting", "sending", "made", "available", "parked", "reversed", "cancelled"] }],
    columns: [["Contractor", id("user_id")], ["Amount", money()], ["State", ({ status }) => status], ["Offer", id("offer_id")], ["Made", when]],
  },
  disputes: {
    title: "Disputes",
    read: (fields) => server.admin.disputes(fields),
    filters: [{ name: "status", label: "State", choices: ["open", "proposed", "escalated", "resolved"] }, { name: "job_id", label: "Job id" }],
    columns: [["Job", ({ job_title }) => job_title], ["Amount", money()], ["State", state("dispute")],
      ["Customer", id("customer_id")], ["Contractor", id("contractor_id")], ["Payment", id("payment_id")], ["Opened", when]],
  },
  chargebacks: {
    title: "Chargebacks",
    read: (fields) => server.payment.chargebacks(fields),
    filters: [{ name: "status", label: "State", choices: ["inquiry", "open", "won", "lost", "closed"] }],
    columns: [["Job", ({ job_title }) => job_title], ["Amount", money()], ["State", ({ status }) => status],
      ["Reason", ({ reason }) => reason.replaceAll("_", " ")], ["Answer until", ({ due_by }) => (due_by ? html`<${Ago} at=${due_by} />` : "")],
      ["Payment", id("payment_id")]],
  },
  reports: {
    title: "Reports",
    read: (fields) => server.admin.reports(fields),
    filters: [{ name: "user_id", label: "About (user id)" }],
    columns: [["About", id("about_id")], ["By", id("by")], ["Reason", ({ reason }) => reason], ["What was said", ({ said }) => said],
      ["Remark", ({ text }) => text], ["At", when]],
  },
  "dead-letters": {
    title: "Dead letters",
    read: (fields) => server.admin.dead_letters(fields),
    filters: [{ name: "lane", label: "Queue", choices: ["stripe", "push", "notice", "mail", "search", "export"] }],
    columns: [["Work", ({ kind }) => kind.replaceAll("_", " ")], ["Queue", ({ lane }) => lane], ["About", id("subject")],
      ["Attempts", ({ attempts }) => attempts], ["Why", ({ last_error }) => last_error ?? "its process ended"], ["Queued", when]],
  },
  "webhook-events": {
    title: "Stripe events",
    read: (fields) => server.admin.webhook_events(fields),
    filters: [{ name: "status", label: "State", choices: ["received", "working", "done", "dead", "quarantined"] }, { name: "type", label: "Type" }],
    columns: [["Type", ({ type }) => type], ["State", ({ status }) => status], ["Payment", id("payment_id")],
      ["Why", ({ last_error, reason }) => last_error ?? reason ?? ""], ["Received", when]],
  },
  reconciliations: {
    title: "Reconciliation",
    read: (fields) => server.admin.reconciliations(fields),
    filters: [],
    columns: [["From", ({ start }) => html`<${Ago} at=${start} />`], ["State", ({ status }) => status],
      ["Differences", ({ difference_count }) => difference_count], ["Booked", ({ booked_count }) => booked_count],
      ["By", id("by")], ["Started", when]],
  },
  approvals: {
    title: "Approvals",
    read: (fields) => server.admin.approvals(fields),
    filters: [{ name: "status", label: "State", choices: ["pending", "executed", "declined", "expired"] }],
    columns: [["Step", ({ operation }) => operation], ["About", id("subject")], ["Amount", money()], ["State", ({ status }) => status],
      ["Asked by", id("requested_by")], ["Asked", when]],
  },
  audit: {
    title: "Audit trail",
    read: (fields) => server.admin.audit(fields),
    filters: [{ name: "actor_id", label: "By (user id)" }, { name: "operation", label: "Operation" }, { name: "subject", label: "About (id)" }],
    columns: [["No.", ({ seq }) => seq ?? "being sealed"], ["Operation", ({ operation }) => operation], ["By", id("actor_id")],
      ["About", ({ subjects }) => subjects.map((/** @type {string} */ each) => html`<${Id} id=${each} key=${each} /> `)], ["At", when]],
  },
};
