// What each push changes in the state, and what is told beside the notices, which are about money.

import { display } from "./money.js";
import { load, loadConversations, search } from "./lists.js";
import { mark, receive } from "./chat.js";
import { changed, hear, notify, put, putUser, state } from "./state.js";
import { told } from "./bell.js";

const SEARCH_MS = 400;
let searching = 0;

const mine = (role) => state.user.role === role;
const toJob = (id) => ({ link: `#/job/${id}` });

function job(found) {
  const before = hear("jobs", found);
  if (mine("contractor")) inMarket(found);
  const started = before?.status === "assigned" && found.status === "in_progress";
  if (mine("customer") && started) notify(`The work on “${found.title}” has started.`, toJob(found.id));
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

const title = (application) => `“${application.job_title}”`;

function applied(found) {
  hear("applications", found);
  if (!mine("customer")) return;
  notify(`${found.contractor_name} applied to ${title(found)}.`, toJob(found.job_id));
}

function application(found) {
  const before = hear("applications", found);
  if (mine("customer") || before?.status === found.status) return;
  if (found.status === "accepted") {
    notify(`You are on the shortlist for ${title(found)}.`, toJob(found.job_id));
    loadConversations().catch(() => {});
  }
  if (found.status === "rejected") notify(`Your application to ${title(found)} was declined.`);
}

const offer = (found) => put("offers", found);

function purse(found) {
  const before = hear("purses", found, found.currency);
  load("transactions").catch(() => {});
  const more = found.available - (before?.available ?? 0);
  if (before && before.version < found.version && more > 0) {
    notify(`${display(more, found.currency)} more in your wallet.`, { link: "#/wallet" });
  }
}

const EVENTS = {
  "/job job.updated": job,
  "/job-request application.created": applied,
  "/job-request application.updated": application,
  "/payment payment.updated": (payment) => put("payments", payment),
  "/wallet wallet.updated": purse,
  "/wallet withdrawal.updated": (withdrawal) => put("withdrawals", withdrawal),
  "/account account.updated": putUser,
  "/account notification": told,
  "/chat message": receive,
  "/chat read": mark,
};

/** Events of kinds that are not known yet change nothing. */
export function apply(namespace, name, data, seq) {
  const event = EVENTS[`${namespace} ${name}`];
  if (event) event(data, seq);
  else if (namespace === "/bidding" && name.startsWith("offer.")) offer(data);
}
