// The lists of the back office: how each is read, what it can be filtered by, what a row shows.

import { html } from "../shared/html.js";
import { display } from "../shared/money.js";
import { Ago, Badge } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";
import { WORK_LISTS } from "./work_lists.js";

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
 * @property {[string, (row: any, load: () => void) => any][]} columns heading and content; `load` reads the list again
 * @property {any} [head] a component above the list
 * @property {(load: () => void) => any} [actions] beside the title
 * @property {(load: () => void) => (() => void)[]} [follow] pushes after which it is read again
 * @property {boolean} [assigned] whether administrators look after its rows
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
  ...WORK_LISTS,
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
};
