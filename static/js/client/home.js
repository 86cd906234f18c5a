// What needs the person now, with its deadline, then their work and their money at a glance.

import { computed } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { display } from "../shared/money.js";
import { Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { live, me, server } from "../shared/server.js";
import { left } from "../shared/times.js";
import { refuse } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { other } from "./conversations.js";
import { conversations, disputes, jobs, mainCurrency, offers, unread, wallets } from "./world.js";

const PAGE = 50;
const STANDING = new Set(["awaiting_payment", "pending", "accepting", "accepted", "countered"]);

/**
 * @typedef {object} Need
 * @property {string} id
 * @property {import("../shared/icons.js").IconName} icon
 * @property {string} title what to do
 * @property {string} detail about what
 * @property {string} href
 * @property {string | null} [due] until when
 */

/** @typedef {import("../../client/jobsphere.js").Offer} Offer */
/** @typedef {import("../../client/jobsphere.js").Dispute} Dispute */

/** @param {Offer} offer @returns {Need[]} */
function customerNeeds(offer) {
  const href = `/offers/${offer.id}`;
  const detail = `${offer.job_title} · ${display(offer.amount, offer.currency)}`;
  if (offer.status === "awaiting_payment") {
    return [{ id: offer.id, icon: "credit-card", title: "Confirm the payment", detail, href, due: offer.expires_at }];
  }
  if (offer.status === "countered" && offer.counter) {
    const title = `Answer the other terms: ${display(offer.counter.amount, offer.currency)}`;
    return [{ id: offer.id, icon: "reply", title, detail, href }];
  }
  return milestones(offer, "delivered").map(({ milestone, at }) => ({
    id: `${offer.id}.${at}`, icon: "eye", title: `Approve “${milestone.title}”`, href, due: milestone.due_at,
    detail: `${offer.job_title} · ${display(milestone.amount, offer.currency)}`,
  }));
}

/** @param {Offer} offer @returns {Need[]} */
function contractorNeeds(offer) {
  const href = `/offers/${offer.id}`;
  const detail = `${offer.job_title} · ${display(offer.amount, offer.currency)}`;
  if (offer.status === "pending") {
    return [{ id: offer.id, icon: "handshake", title: "Answer an offer", detail, href, due: offer.expires_at }];
  }
  const job = jobs.of(offer.job_id).value;
  if (offer.status === "accepted" && job?.status === "assigned" && job.offer_id === offer.id) {
    return [{ id: offer.id, icon: "zap", title: "Start the work", detail, href }];
  }
  if (job?.status !== "in_progress" || job.offer_id !== offer.id) return [];
  return milestones(offer, "pending").slice(0, 1).map(({ milestone, at }) => ({
    id: `${offer.id}.${at}`, icon: "list-checks", title: `Deliver “${milestone.title}”`, href,
    detail: `${offer.job_title} · ${display(milestone.amount, offer.currency)}`,
  }));
}

/** @param {Offer} offer @param {string} status */
const milestones = (offer, status) =>
  offer.milestones
    .map((milestone, at) => ({ milestone, at }))
    .filter(({ milestone }) => offer.status === "accepted" && milestone.status === status && !milestone.dispute_id);

/** @param {Dispute} dispute @returns {Need[]} */
function disputeNeeds(dispute) {
  const mine = me.value?.id;
  const answer = dispute.status === "open" && dispute.opened_by !== mine;
  const proposed = dispute.status === "proposed" && dispute.proposal?.by !== mine;
  if (!answer && !proposed) return [];
  return [{
    id: dispute.id, icon: "scale", title: proposed ? "Answer a proposed split" : "Answer a dispute",
    detail: `${dispute.job_title} · ${display(dispute.amount, dispute.currency)}`,
    href: `/disputes/${dispute.id}`, due: dispute.answer_by,
  }];
}

/** Money that waits for an account at Stripe. @returns {Need[]} */
function walletNeeds() {
  const user = me.value;
  if (user?.role !== "contractor" || user.payouts_enabled !== false) return [];
  const { available = 0, pending = 0, currency = "USD" } = mainWallet.value ?? {};
  const detail = available + pending > 0
    ? `${display(available + pending, currency)} wait for your bank account`
    : "You can be paid as soon as Stripe knows you";
  return [{ id: "payouts", icon: "landmark", title: "Set up payouts", detail, href: "/wallet" }];
}

const mainWallet = computed(() => wallets.of(mainCurrency.value).value);

/** What has a deadline comes first, the nearest at the top. @param {Need} one @param {Need} other */
const soonest = (one, other) => (one.due ?? "9").localeCompare(other.due ?? "9");

export function Home() {
  const role = me.value?.role;
  const lists = useMemo(() => ({
    offers: offers.list({
      read: (cursor) => server.bidding.list({ cursor, limit: PAGE }), fits: () => true,
    }),
    jobs: jobs.list({
      read: (cursor) => server.job.mine({ cursor, limit: PAGE }),
      fits: (job) => [job.customer_id, job.contractor_id].includes(server.user?.id),
    }),
    disputes: disputes.list({
      read: (cursor) => server.payment.disputes({ cursor, limit: PAGE }), fits: () => true,
    }),
  }), []);
  useEffect(() => () => {
    offers.drop(lists.offers);
    jobs.drop(lists.jobs);
    disputes.drop(lists.disputes);
  }, [lists]);
  const now = live.value;
  useEffect(() => {
    const reading = [lists.jobs, lists.offers, lists.disputes].map((list) => list.load());
    Promise.all(reading).catch(refuse);
  }, [lists, now]); // after a break everything is read again

  const ready = Object.values(lists).every(({ state }) => state.value === "ready");
  const name = me.value?.name?.split(" ")[0];
  return html`<${View} title="Home" heading=${name ? `Hello, ${name}` : "Home"}
    actions=${role === "customer"
      ? html`<a class="button primary" href="/jobs/new"><${Icon} name="plus" />Post a job</a>`
      : html`<a class="button primary" href="/jobs"><${Icon} name="search" />Find work</a>`}>
    ${ready ? html`<${Content} lists=${lists} role=${role} />` : html`<${Skeleton} lines=${8} />`}
  </${View}>`;
}

/** @param {{lists: Record<string, import("../shared/records.js").RecordList>, role: string}} props */
function Content({ lists, role }) {
  const known = lists.offers.ids.value.map((id) => offers.of(id).value).filter(Boolean);
  const needs = [
    ...known.flatMap(role === "customer" ? customerNeeds : contractorNeeds),
    ...lists.disputes.ids.value.map((id) => disputes.of(id).value).filter(Boolean).flatMap(disputeNeeds),
    ...walletNeeds(),
  ].sort(soonest);
  const standing = known.filter(({ status, job_id }) =>
    STANDING.has(status) && jobs.of(job_id).value?.status !== "completed");
  return html`<div class="columns">
    <div class="stack" style=${{ "--gap": "1.5rem" }}>
      <section aria-labelledby="needs"><h2 id="needs" class="home-title">Needs you now</h2>
        ${needs.length ? html`<ul class="rows card flush act">${needs.map(
          (need) => html`<${NeedLine} key=${need.id} ...${need} />`)}</ul>` : html`<${AllDone} role=${role} first=${!known.length && !lists.jobs.ids.value.length} />`}
      </section>
      ${lists.jobs.ids.value.length > 0 && html`<${Jobs} ids=${lists.jobs.ids.value} role=${role} />`}
      ${standing.length > 0 && html`<${Offers} all=${standing} />`}
    </div>
    <aside class="stack"><${Unread} />${role === "contractor" && html`<${Money} />`}</aside>
  </div>`;
}

/** @param {Need} need */
function NeedLine({ icon, title, detail, href, due }) {
  const rest = due ? left(due) : null;
  return html`<li><a class="line need" href=${href}>
    <${Icon} name=${icon} />
    <span class="grow"><span class="strong">${title}</span><br /><span class="soft small">${detail}</span></span>
    ${due && html`<span class="badge wait"><${Icon} name="clock" />${rest ? `${rest} left` : "overdue"}</span>`}
    <${Icon} name="chevron-right" />
  </a></li>`;
}

/** @param {{role: string, first: boolean}} props */
function AllDone({ role, first }) {
  if (!first) return html`<p class="card soft row"><${Icon} name="circle-check" />You are up to date.</p>`;
  return html`<div class="card">${role === "customer"
    ? html`<${Empty} icon="briefcase" title="What do you need done?">
        <p>Post a job. Contractors who do that kind of work hear of it at once, and you choose who gets it.</p>
        <a class="button primary" href="/jobs/new">Post your first job</a></${Empty}>`
    : html`<${Empty} icon="search" title="Find your first job">
        <p>Save a search, and you are told as soon as a job is posted that fits.</p>
        <a class="button primary" href="/jobs">Look at open jobs</a></${Empty}>`}</div>`;
}

/** @param {{ids: string[], role: string}} props */
function Jobs({ ids, role }) {
  return html`<section aria-labelledby="jobs"><h2 id="jobs" class="home-title">${role === "customer" ? "Your jobs" : "Your work"}</h2>
    <ul class="rows card flush">${ids.slice(0, 6).map((id) => html`<${JobLine} key=${id} id=${id} />`)}</ul>
    ${ids.length > 6 && html`<p class="small"><a href=${role === "customer" ? "/jobs" : "/work"}>Show all</a></p>`}
  </section>`;
}

/** @param {{id: string}} props */
function JobLine({ id }) {
  const job = jobs.of(id).value;
  if (!job) return null;
  return html`<li><a class="line" href=${`/jobs/${id}`}><span class="grow truncate strong">${job.title}</span>
    <${Badge} of=${statusOf("job", job.status)} /></a></li>`;
}

/** @param {{all: Offer[]}} props */
function Offers({ all }) {
  return html`<section aria-labelledby="offers"><h2 id="offers" class="home-title">Offers</h2>
    <ul class="rows card flush">${all.slice(0, 6).map((offer) => html`<li key=${offer.id}><a class="line" href=${`/offers/${offer.id}`}>
      <span class="grow truncate">${offer.job_title}</span><span class="amount">${display(offer.amount, offer.currency)}</span>
      <${Badge} of=${statusOf("offer", offer.status)} /></a></li>`)}</ul></section>`;
}

function Unread() {
  const waiting = [...conversations.value.values()].filter((each) => unread(each) > 0);
  return html`<section class="card" aria-labelledby="unread"><header><h2 id="unread">Messages</h2><a class="small" href="/chat">Open the chat</a></header>
    ${waiting.length ? html`<ul class="stack">${waiting.slice(0, 5).map((each) => html`<li key=${each.id}>
      <a class="row" href=${`/chat/${each.id}`}><span class="grow truncate">${other(each).name}</span>
      <span class="count">${unread(each)}</span></a></li>`)}</ul>` : html`<p class="soft small">Nothing unread.</p>`}
  </section>`;
}

function Money() {
  const wallet = mainWallet.value;
  if (!wallet) return null;
  return html`<section class="card" aria-labelledby="money"><header><h2 id="money">Wallet</h2><a class="small" href="/wallet">Open</a></header>
    <p class="amount big">${display(wallet.available, wallet.currency)}</p>
    <p class="soft small">${display(wallet.pending, wallet.currency)} on the way</p></section>`;
}
