// The lists of people, jobs and money: users, jobs, offers, payments, holds, escrow, wallets, transfers, withdrawals, the journal.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Countdown } from "../shared/listing.js";
import { readMeta } from "../shared/meta.js";
import { display, minor } from "../shared/money.js";
import { Ago, Avatar, Badge } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { SIDES, SPAN, withTimes } from "./filters.js";
import { Account, Id, Value } from "./links.js";
import { release } from "./money_actions.js";
import { endWithdrawal } from "./settle_actions.js";
import { statesOf } from "./user.js";
import { words } from "./work.js";

/** @typedef {import("./lists.js").List} List */

const DAY_MS = 86_400_000;
const HOLDS_DAYS = 30; // longer than any card holds money

/** @type {(row: any) => any} */
const when = ({ created_at }) => html`<${Ago} at=${created_at} />`;
/** @type {(row: any) => any} */
const money = ({ amount, currency }) => html`<span class="amount">${display(amount, currency)}</span>`;
/** @type {(kind: string) => (row: any) => any} */
const state = (kind) => ({ status }) => html`<${Badge} of=${statusOf(kind, status)} />`;
/** @type {(name: string, named?: string) => (row: any) => any} */
const id = (name, named = "") => (row) => html`<${Id} id=${row[name]}>${row[named] || undefined}</${Id}>`;
/** @type {(row: any) => any} */
const why = ({ failure }) => failure && html`<span class="small">${words(failure)}</span>`;
/** @type {(row: any) => any} */
const heldUp = ({ refusal }) => refusal && html`<span class="small"><${Value} of=${refusal} /></span>`;

const currency = { name: "currency", label: "Currency" };

/** Payments; the least amount is written in whole units. @param {Record<string, any>} fields */
async function payments({ min_amount, ...fields }) {
  const given = withTimes(fields);
  if (min_amount) given.currency ??= (await readMeta()).money.default_currency;
  return server.admin.payments({ ...given, ...(min_amount && { min_amount: minor(min_amount, given.currency.toUpperCase()) }) });
}

/** @type {Record<string, List>} */
export const MONEY_LISTS = {
  users: {
    title: "Users",
    read: (fields) => server.admin.users(fields),
    filters: [
      { name: "q", label: "Name, e-mail or id" },
      { name: "role", label: "Role", choices: ["customer", "contractor", "admin"] },
      { name: "state", label: "State", choices: ["banned", "frozen", "deleted"] },
    ],
    columns: [
      ["Name", (row) => html`<span class="row tight"><${Avatar} id=${row.id} name=${row.name || "?"} size="small" /><${Id} id=${row.id}>${row.name || "deleted"}</${Id}></span>`],
      ["E-mail", ({ email }) => html`<span class="break">${email}</span>`], ["Role", ({ role }) => role],
      ["State", (row) => html`<span class="tags">${statesOf(row).map((each) => html`<${Badge} of=${each} key=${each.word} />`)}</span>`],
      ["Payouts", ({ role, payouts_enabled }) => role === "contractor" && (payouts_enabled ? "set up" : "not set up")], ["Since", when],
    ],
  },
  jobs: {
    title: "Jobs",
    read: (fields) => server.admin.jobs(fields),
    filters: [{ name: "status", label: "State", choices: ["open", "assigned", "in_progress", "completed", "cancelled"] }, ...SIDES],
    columns: [["Job", id("id", "title")], ["Budget", ({ budget_min_amount, budget_max_amount, currency: code }) => html`<span class="amount">${display(budget_min_amount, code)} – ${display(budget_max_amount, code)}</span>`],
      ["State", state("job")], ["Customer", id("customer_id", "customer_name")], ["Contractor", id("contractor_id")], ["Posted", when]],
  },
  offers: {
    title: "Offers",
    read: (fields) => server.admin.offers(fields),
    filters: [{ name: "status", label: "State", choices: ["awaiting_payment", "pending", "accepting", "accepted", "rejected", "countered", "withdrawn", "expired", "blocked", "failed"] },
      { name: "job_id", label: "Job id" }, ...SIDES],
    columns: [["Job", id("id", "job_title")], ["Amount", money], ["State", state("offer")], ["Customer", id("customer_id")], ["Contractor", id("contractor_id")], ["Payment", (row) => html`<a href=${`/admin/payments/${row.payment_id}`}>Payment</a>`], ["Made", when]],
  },
  payments: {
    title: "Payments",
    read: payments,
    filters: [
      { name: "status", label: "State", choices: ["requires_payment", "authorized", "capturing", "captured", "partially_refunded", "refunded", "canceled", "failed"] },
      { name: "q", label: "Id, here or at Stripe" }, ...SIDES, { name: "job_id", label: "Job id", more: true }, { name: "currency", label: "Currency", more: true },
      { name: "min_amount", label: "At least (the largest first)", more: true }, { name: "failure", label: "Failed for", more: true }, ...SPAN,
    ],
    columns: [["Payment", id("id", "job_title")], ["Amount", money], ["State", state("payment")], ["Customer", id("customer_id")], ["Contractor", id("contractor_id")], ["Failed for", why], ["Made", when]],
  },
  holds: {
    title: "Holds that expire",
    read: (fields) => payments({ hold_until: new Date(Date.now() + HOLDS_DAYS * DAY_MS).toISOString(), ...fields }),
    filters: [{ name: "hold_until", label: "Before day", type: "date" }, ...SIDES],
    columns: [["Payment", id("id", "job_title")], ["Amount", money], ["Expires in", ({ capture_before }) => html`<${Countdown} until=${capture_before} />`],
      ["Customer", id("customer_id")], ["Contractor", id("contractor_id")], ["Held since", when]],
  },
  escrow: {
    title: "Money in escrow",
    read: async (fields) => {
      const page = await server.admin.escrow(withTimes(fields));
      return { ...page, items: page.items.map((row) => ({ ...row, id: row.offer_id })) };
    },
    filters: [currency, { name: "until", label: "Of offers before day", type: "date" }],
    columns: [
      ["Job", (row) => html`<a href=${`/admin/payments/${row.payment_id}`}>${row.job_title}</a>`], ["Amount", money], ["Waits for", waits],
      ["Customer", id("customer_id", "customer_name")], ["Contractor", id("contractor_id", "contractor_name")], ["Accepted", ({ accepted_at }) => (accepted_at ? html`<${Ago} at=${accepted_at} />` : "not yet")],
    ],
  },
  wallets: {
    title: "Wallets and debts",
    read: (fields) => server.admin.wallets({ nonzero: true, ...fields }),
    filters: [{ name: "user_id", label: "User id" }, { name: "kind", label: "Kind", choices: ["wallet", "debt", "escrow"] }, currency],
    columns: [["Account", ({ account }) => html`<${Account} name=${account} />`], ["Amount", money], ["Changed", ({ updated_at }) => html`<${Ago} at=${updated_at} />`]],
  },
  transfers: {
    title: "Transfers",
    read: (fields) => server.admin.transfers(fields),
    filters: [{ name: "status", label: "State", choices: ["waiting", "sending", "made", "available", "parked", "reversed", "cancelled"] }, { name: "user_id", label: "Contractor id" }, { name: "transfer_id", label: "Id" }],
    columns: [["Contractor", id("user_id")], ["Amount", money], ["State", state("transfer")], ["Held up by", heldUp], ["For", (row) => row.offer_id && html`<${Id} id=${row.offer_id} titled />`], ["At Stripe", ({ stripe_id }) => stripe_id && html`<${Id} id=${stripe_id} />`], ["Queued", when],
      ["Steps", (row, load) => (row.status === "parked" || row.status === "waiting") && html`<button type="button" class="button small" onClick=${async () => (await release(row, load)) && load()}><${Icon} name="arrow-right" />Release…</button>`]],
  },
  withdrawals: {
    title: "Withdrawals",
    read: (fields) => server.admin.withdrawals(fields),
    filters: [{ name: "status", label: "State", choices: ["requested", "in_transit", "paid", "failed"] }, { name: "user_id", label: "Contractor id" }, { name: "withdrawal_id", label: "Id" }],
    columns: [["Contractor", id("user_id")], ["Amount", money], ["State", state("withdrawal")], ["By", ({ unasked }) => (unasked ? "Stripe itself" : "the contractor")], ["Failed for", why], ["At Stripe", ({ payout_id }) => payout_id && html`<${Id} id=${payout_id} />`],
      ["Journal", (row) => html`<a href=${`/admin/transactions?withdrawal_id=${row.id}`}>Journal</a>`], ["Asked for", when],
      ["Steps", (row, load) => (row.status === "requested" || row.status === "in_transit") && row.account_closed && html`<button type="button" class="button small" onClick=${async () => (await endWithdrawal(row)) && load()}><${Icon} name="check" />End…</button>`]],
  },
  transactions: {
    title: "Journal",
    read: (fields) => server.admin.transactions(withTimes(fields)),
    filters: [{ name: "kind", label: "Kind" }, { name: "user_id", label: "User id" }, { name: "offer_id", label: "Offer id" }, { name: "account", label: "Account" },
      { name: "fact", label: "Fact", more: true }, { name: "withdrawal_id", label: "Withdrawal id", more: true }, { name: "transaction_id", label: "Id", more: true }, ...SPAN],
    columns: [
      ["Kind", ({ kind }) => html`<span class="nowrap">${words(kind)}</span>`],
      ["Postings", ({ postings, currency: code }) => html`<ul>${postings.map((/** @type {any} */ posting, /** @type {number} */ at) => html`<li class="small" key=${at}>
        <${Account} name=${posting.source} /> → <${Account} name=${posting.destination} /> <span class="amount">${display(posting.amount, code)}</span></li>`)}</ul>`],
      ["Offer", (row) => row.offer_id && html`<${Id} id=${row.offer_id} titled />`], ["Fact", ({ fact }) => html`<code class="small break">${fact}</code>`], ["Booked", when],
    ],
  },
};

/** What money in escrow waits for. @param {any} row */
function waits({ dispute_id, contested_amount, due_at, delivered_amount, currency: code, accepted_at }) {
  if (dispute_id) return html`<${Id} id=${dispute_id}>a dispute</${Id}>`;
  if (contested_amount > 0) return `the bank: ${display(contested_amount, code)} are charged back`;
  if (due_at) return html`approval of ${display(delivered_amount, code)}, at the latest in <${Countdown} until=${due_at} />`;
  return accepted_at ? "the work" : "the contractor";
}
