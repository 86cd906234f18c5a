// Everything that the person who is signed in can see: records by kind, kept true by pushes.

import { signal } from "@preact/signals";
import { putMe, server } from "../shared/server.js";
import { Records } from "../shared/records.js";
import { refuse, say } from "../shared/toasts.js";
import { forgetNews, tellAnswered, tellApplied, tellStarted } from "./news.js";
import { forgetTalks, hear, mark, putPresence, readList, receive } from "./talks.js";

export { conversations, unread } from "./conversations.js";

export const jobs = new Records();
export const applications = new Records();
export const offers = new Records();
export const payments = new Records();
export const disputes = new Records();
export const chargebacks = new Records();
export const withdrawals = new Records();
export const wallets = new Records(); // by currency
export const notices = new Records();

/** The currency of the person's main wallet. */
export const mainCurrency = signal("USD");

/** How many notices are not seen. */
export const unseen = signal(0);

/** Jobs that came for saved searches and were not looked at: the search's id by the job's. */
export const matched = signal(/** @type {Map<string, string>} */ (new Map()));

const KINDS = [jobs, applications, offers, payments, disputes, chargebacks, withdrawals, wallets, notices];

/** @param {any} wallet */
export const putWallet = (wallet) => wallets.put({ ...wallet, id: wallet.currency });

/** What was seen, in the numbers of the feed: what is listed may come afterwards. */
let seenTo = 0;

/** All notices up to this number were seen. @param {number} seq */
export function sawNotices(seq) {
  seenTo = Math.max(seenTo, seq);
  unseen.value = 0;
}

/** @param {any} notice @param {{seq: number}} push */
function putNotice(notice, { seq }) {
  notices.put({ ...notice, id: String(seq), seq });
  if (notice.own) return;
  if (seq > seenTo) unseen.value += 1;
  say(`${notice.title}.`, { link: notice.path });
}

/** @type {Record<string, (data: any, push: any) => void>} */
const PUSHED = {
  "/account account.updated": putMe,
  "/account notification": putNotice,
  "/account head": ({ head, seen }) => {
    if (seen >= head) sawNotices(seen); // on another device
  },
  "/job job.updated": (job) => tellStarted(job, jobs.put(job)),
  "/job job.matched": ({ search_id, name, job }) => {
    jobs.put(job);
    matched.value = new Map([...matched.value, [job.id, search_id]]);
    say(`New for “${name}”: ${job.title}`, { link: `/jobs/${job.id}` });
  },
  "/job-request application.created": (application) => {
    applications.put(application);
    tellApplied(application);
  },
  "/job-request application.updated": (application) => {
    applications.put(application);
    tellAnswered(application);
  },
  "/chat message": receive,
  "/chat read": mark,
  "/chat typing": hear,
  "/chat presence": putPresence,
  "/payment payment.updated": (payment) => payments.put(payment),
  "/payment dispute.updated": (dispute) => disputes.put(dispute),
  "/payment chargeback.updated": (chargeback) => chargebacks.put(chargeback),
  "/wallet wallet.updated": putWallet,
  "/wallet withdrawal.updated": (withdrawal) => withdrawals.put(withdrawal),
};

let following = false;

/** Connect, and apply whatever is pushed from then on. */
export function startFeed() {
  if (!following) {
    server.on("push", ({ namespace, name, ...push }) => {
      const apply = PUSHED[`${namespace} ${name}`];
      if (apply) apply(push.data, push);
      else if (namespace === "/bidding") offers.put(/** @type {any} */ (push.data));
    });
    server.on("reload", refresh);
  }
  following = true;
  server.connect({ patience: Infinity }).then(refresh, () => {}); // `end` tells why
}

/** What every view wants to know, whatever it shows. */
async function refresh() {
  try {
    const [user, wallet, , marks] = await Promise.all([
      server.account.me(), server.wallet.balance(), readList(),
      server.account.sync({ since: Number.MAX_SAFE_INTEGER, limit: 1 }),
    ]);
    unseen.value = marks.unread;
    putMe(user);
    const { others, ...main } = wallet;
    [main, ...others].forEach(putWallet);
    mainCurrency.value = main.currency;
  } catch (refused) {
    if (server.user) refuse(refused);
  }
}

/** Forget the person who was signed in. */
export function forget() {
  for (const kind of KINDS) kind.clear();
  forgetTalks();
  forgetNews();
  unseen.value = 0;
  seenTo = 0;
  matched.value = new Map();
}
