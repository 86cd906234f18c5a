// What each push changes in the state, and what the person is told about it.

import { display } from "./money.js";
import { load, loadConversations, search } from "./lists.js";
import { mark, receive } from "./chat.js";
import { changed, notify, put, state } from "./state.js";

const SEARCH_MS = 400;
let searching = 0;

const mine = (role) => state.user.role === role;
const toJob = (id) => ({ link: `#/job/${id}` });

function job(found) {
  const before = put("jobs", found);
  if (mine("contractor")) inMarket(found);
  const news = jobNews(before, found);
  if (news) notify(news, toJob(found.id));
}

function jobNews(before, now) {
  if (!before || before.version >= now.version) return null;
  const title = `“${now.title}”`;
  if (mine("customer")) {
    if (now.delivered_at && now.delivered_at !== before.delivered_at) {
      return `The work on ${title} was delivered.`;
    }
    const started = before.status !== now.status && now.status === "in_progress";
    return started ? `The work on ${title} has started.` : null;
  }
  if (before.status === now.status || now.contractor_id !== state.user.id) return null;
  if (now.status === "completed") return `${title} is completed: your part is on its way.`;
  return now.status === "cancelled" ? `${title} was cancelled.` : null;
}

/** Keep the found open jobs true: with filters, only the server knows what fits. */
function inMarket(found) {
  const { browse } = state;
  const listed = browse.ids.includes(found.id);
  if (found.status !== "open") {
    browse.ids = browse.ids.filter((id) => id !== found.id);
  } else if (Object.keys(browse.filters).length) {
    clearTimeout(searching);
    searching = setTimeout(() => search().catch(() => {}), SEARCH_MS);
  } else if (!listed) {
    browse.ids = [found.id, ...browse.ids];
  }
  changed();
}

function application(found) {
  const before = put("applications", found);
  const title = `“${found.job_title}”`;
  if (mine("customer")) {
    if (!before) notify(`${found.contractor_name} applied to ${title}.`, toJob(found.job_id));
    return;
  }
  if (before?.status === found.status) return;
  if (found.status === "accepted") {
    notify(`You are on the shortlist for ${title}.`, toJob(found.job_id));
    loadConversations().catch(() => {});
  }
  if (found.status === "rejected") notify(`Your application to ${title} was declined.`);
}

const OFFER_NEWS = {
  customer: {
    accepted: "was accepted: the job is assigned",
    rejected: "was turned down: the money is released",
    expired: "has expired: the money is released",
    failed: "has failed: the payment did not go through",
  },
  contractor: {
    pending: "has come in",
    accepted: "is yours: you can start",
    withdrawn: "was withdrawn",
    expired: "has expired",
    blocked: "is off: the job went to somebody else or was cancelled",
    failed: "has failed: the customer's payment did not go through",
  },
};

function offer(found) {
  const before = put("offers", found);
  if (before && (before.status === found.status || before.version > found.version)) return;
  const news = OFFER_NEWS[state.user.role]?.[found.status];
  const amount = display(found.amount, found.currency);
  if (news) notify(`The offer of ${amount} for “${found.job_title}” ${news}.`, toJob(found.job_id));
}

function purse(found) {
  const before = put("purses", found, found.currency);
  load("transactions").catch(() => {});
  const more = found.available - (before?.available ?? 0);
  if (before && before.version < found.version && more > 0) {
    notify(`${display(more, found.currency)} more in your wallet.`, { link: "#/wallet" });
  }
}

function withdrawal(found) {
  const before = put("withdrawals", found);
  if (before?.status === found.status) return;
  const amount = display(found.amount, found.currency);
  if (found.status === "paid") notify(`${amount} arrived at your bank.`, { link: "#/wallet" });
  if (found.status === "failed") notify(`The withdrawal of ${amount} came back.`, { kind: "refusal" });
}

function account(user) {
  if (user.payouts_enabled && !state.user.payouts_enabled) notify("Payouts are set up.");
  if (user.version > state.user.version) state.user = user;
  changed();
}

const EVENTS = {
  "/job job.updated": job,
  "/job-request application.created": application,
  "/job-request application.updated": application,
  "/payment payment.updated": (payment) => put("payments", payment),
  "/wallet wallet.updated": purse,
  "/wallet withdrawal.updated": withdrawal,
  "/account account.updated": account,
  "/chat message": receive,
  "/chat read": mark,
};

/** Events of kinds that are not known yet change nothing. */
export function apply(namespace, name, data) {
  const event = EVENTS[`${namespace} ${name}`];
  if (event) event(data);
  else if (namespace === "/bidding" && name.startsWith("offer.")) offer(data);
}
