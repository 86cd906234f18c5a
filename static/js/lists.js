// Reading lists from the server into the state, page by page.

import { api } from "./api.js";
import { changed, put, putConversation, state } from "./state.js";

const PAGE = 50;

const LISTS = {
  jobs: ["/job", "mine"],
  applications: ["/job-request", "mine"],
  applicants: ["/job-request", "list", "applications"],
  offers: ["/bidding", "list"],
  payments: ["/payment", "list"],
  transactions: ["/wallet", "history"],
  withdrawals: ["/wallet", "withdrawals"],
};

/** The first page of a list, or with `more` the one after the last that was read. */
export async function load(list, fields = {}, more = false) {
  const [namespace, command, kind = list] = LISTS[list];
  const place = cursorName(list, fields);
  const cursor = more ? { cursor: state.cursors[place] } : {};
  const page = await api.command(namespace, command, { ...fields, ...cursor, limit: PAGE });
  for (const record of page.items) put(kind, record);
  state.cursors[place] = page.next_cursor;
  changed();
}

export function cursorName(list, fields = {}) {
  return [list, ...Object.values(fields)].join(":");
}

export async function loadConversations() {
  const page = await api.command("/chat", "list", { limit: PAGE });
  page.items.forEach(putConversation);
}

/** Every currency in which there is or was money. */
export async function loadWallet() {
  const { others, ...main } = await api.command("/wallet", "balance");
  state.currency = main.currency;
  for (const purse of [main, ...others]) put("purses", purse, purse.currency);
}

/** Open jobs as the filters say; `more` goes on where the last answer ended. */
export async function search(more = false) {
  const { browse } = state;
  const { filters } = browse;
  const cursor = more ? { cursor: state.cursors.browse } : {};
  const page = await api.command("/job", "list", { ...filters, ...cursor, limit: PAGE });
  if (state.browse.filters !== filters) return; // another search has begun meanwhile
  for (const job of page.items) put("jobs", job);
  const known = more ? browse.ids : [];
  const fresh = page.items.map((job) => job.id).filter((id) => !known.includes(id));
  browse.ids = [...known, ...fresh];
  state.cursors.browse = page.next_cursor;
  changed();
}
