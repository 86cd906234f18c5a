// What needs the person now, with its deadline, then their work and their money at a glance.

import { computed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Avatar, Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { me, server } from "../shared/server.js";
import { Loading } from "../shared/shell.js";
import { left } from "../shared/times.js";
import { onReturn, useList } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { activeAt, ordered, other, unread } from "./conversations.js";
import { listed, readList } from "./talks.js";
import { wantedOf } from "./wallet_waiting.js";
import { applications, jobs, mainCurrency, offers, wallets } from "./world.js";

const PAGE = 20;
const APPLICATIONS = 5;
const UNREAD = 3; // conversations with a line each
const RECENT = 5; // conversations
const PAUSE_MS = 400; // after a push, as one step makes several
const STANDING = new Set(["awaiting_payment", "pending", "accepting", "accepted", "countered"]);
const NEWS = new Set(["/bidding", "/job-request", "/payment", "/wallet"]);

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
/** @typedef {import("../../client/jobsphere.js").Home} HomeAnswer */
/** @typedef {HomeAnswer["waiting"][number]["subjects"][number]} Subject */

/** What is to be done, by its kind. @type {Record<string, [import("../shared/icons.js").IconName, string, (subject: Subject) => string]>} */
const TO_DO = {
  offers_to_pay: ["credit-card", "Confirm the payment", ({ id }) => `/offers/${id}`],
  work_to_approve: ["eye", "Approve the work", ({ id }) => `/offers/${id}`],
  counter_offers: ["reply", "Answer the other terms", ({ id }) => `/offers/${id}`],
  offers_to_answer: ["handshake", "Answer an offer", ({ id }) => `/offers/${id}`],
  jobs_to_start: ["zap", "Start the work", ({ id }) => `/jobs/${id}`],
  work_to_deliver: ["list-checks", "Deliver the work", ({ id }) => `/offers/${id}`],
  disputes: ["scale", "Answer in a dispute", ({ id }) => `/disputes/${id}`],
  money_to_set_up: ["landmark", "Set up payouts: money waits for it", () => "/wallet"],
  failed_withdrawals: ["circle-alert", "A withdrawal came back", () => "/wallet"],
};

/**
 * What was said and not read: a line for each of the newest conversations, and one for the others.
 * Only the server counts those that are on no page of the list yet.
 *
 * @param {HomeAnswer} home
 * @returns {Need[]}
 */
function unreadOf({ unread_conversations }) {
  const waiting = ordered.value.filter((each) => unread(each) > 0);
  const all = listed.value.cursor ? Math.max(unread_conversations, waiting.length) : waiting.length;
  /** @type {Need[]} */
  const lines = waiting.slice(0, UNREAD).map((each) => ({
    id: each.id, icon: "messages-square", title: `Read ${unread(each)} ${unread(each) === 1 ? "message" : "messages"}`,
    detail: `${other(each).name} · ${each.job_title}`, href: `/chat/${each.id}`,
  }));
  const more = all - lines.length;
  if (more > 0) {
    const title = `Read ${more} more ${more === 1 ? "conversation" : "conversations"}`;
    lines.push({ id: "chat", icon: "messages-square", title, detail: "In the chat", href: "/chat" });
  }
  return lines;
}

/** @param {HomeAnswer} home @returns {Need[]} */
function needsOf(home) {
  const { waiting } = home;
  const found = waiting.flatMap(({ kind, subjects }) => subjects.flatMap((subject, at) => {
    const [icon, title, href] = TO_DO[kind] ?? [];
    if (!icon || !title || !href) return [];
    const amount = subject.amount === null || !subject.currency ? "" : display(subject.amount, subject.currency);
    const detail = [subject.title, amount].filter(Boolean).join(" · ");
    return [{ id: `${kind}.${subject.id ?? at}`, icon, title, detail, href: href(subject), due: subject.due_at }];
  }));
  const user = me.value;
  if (user?.payout_setup === "rejected") {
    found.push({ id: "payouts", icon: "circle-alert", title: "Stripe has rejected your account", detail: "Please get in touch with JobSphere about what you have earned", href: "/wallet", due: null });
  } else if (user?.payouts_enabled && user.payout_requirements?.length) {
    found.push({ id: "payouts", icon: "circle-alert", title: "Stripe has questions", detail: wantedOf(user.payout_requirements).join(", "), href: "/wallet", due: user.payout_deadline ?? null });
  } else if (user?.role === "contractor" && user.payouts_enabled === false && !waiting.some(({ kind }) => kind === "money_to_set_up")) {
    found.push({ id: "payouts", icon: "landmark", title: "Set up payouts", detail: "You can be paid as soon as Stripe knows you", href: "/wallet", due: null });
  }
  return [...unreadOf(home), ...found].sort(soonest);
}

/** How much waits that is not shown. @param {HomeAnswer} home */
const hidden = ({ waiting }) => waiting.filter(({ kind }) => kind in TO_DO)
  .reduce((sum, { count, subjects }) => sum + count - subjects.length, 0);

/** What the server says is to be done; read again after pushes that may change it. */
function useHome() {
  const home = useSignal(/** @type {HomeAnswer | null} */ (null));
  const problem = useSignal(/** @type {any} */ (null));
  const read = async () => {
    try {
      const [found] = await Promise.all([server.account.home({}), listed.peek().ready || readList()]);
      home.value = found;
      problem.value = null;
    } catch (refused) {
      problem.value = refused;
    }
  };
  useEffect(() => {
    let timer = 0;
    const soon = () => {
      clearTimeout(timer);
      timer = window.setTimeout(read, PAUSE_MS);
    };
    read();
    const stops = [server.on("reload", read), onReturn(read), server.on("push", ({ namespace, name }) => {
      if (NEWS.has(namespace) || name === "job.updated" || name === "account.updated") soon();
    })];
    return () => {
      clearTimeout(timer);
      for (const stop of stops) stop();
    };
  }, []);
  return { home: home.value, problem: home.value ? null : problem.value, read };
}

const mainWallet = computed(() => wallets.of(mainCurrency.value).value);

/** What has a deadline comes first, the nearest at the top. @param {Need} one @param {Need} other */
const soonest = (one, other) => (one.due ?? "9").localeCompare(other.due ?? "9");

export function Home() {
  const role = me.value?.role;
  const { home, problem, read } = useHome();
  const known = useList(offers, { read: (cursor) => server.bidding.list({ cursor, limit: PAGE }), fits: () => true }, []);
  const own = useList(jobs, {
    read: (cursor) => server.job.mine({ cursor, limit: PAGE }),
    fits: (job) => [job.customer_id, job.contractor_id].includes(server.user?.id),
  }, []);
  const name = me.value?.name?.split(" ")[0];
  const ready = home && [known, own].every((list) => list.state.value === "ready" || list.problem.value);
  if (name === undefined) return html`<${Loading} />`; // the heading is of another width without it
  return html`<${View} title="Home" heading=${name ? `Hello, ${name}` : "Home"}
    actions=${role === "customer"
      ? html`<a class="button primary" href="/jobs/new"><${Icon} name="plus" />Post a job</a>`
      : html`<a class="button primary" href="/jobs"><${Icon} name="search" />Find work</a>`}>
    ${problem ? html`<${Problem} problem=${problem} again=${read} />`
      : ready ? html`<${Content} home=${home} own=${own} known=${known} role=${role} />` : html`<${Skeleton} lines=${8} />`}
  </${View}>`;
}

/**
 * @param {{home: HomeAnswer, role: string, own: import("../shared/records.js").RecordList,
 *   known: import("../shared/records.js").RecordList}} props
 */
function Content({ home, own, known, role }) {
  const needs = needsOf(home);
  const more = hidden(home);
  const applied = home.waiting.find(({ kind }) => kind === "applications")?.count ?? 0;
  const standing = known.ids.value.map((id) => offers.of(id).value).filter((offer) =>
    offer && STANDING.has(offer.status) && jobs.of(offer.job_id).value?.status !== "completed");
  const first = !known.ids.value.length && !own.ids.value.length;
  return html`<div class="columns">
    <div class="stack" style=${{ "--gap": "1.5rem" }}>
      <section aria-labelledby="needs"><h2 id="needs" class="home-title">Needs you now</h2>
        ${needs.length ? html`<ul class="rows card flush act">${needs.map((need) => html`<${NeedLine} key=${need.id} ...${need} />`)}</ul>
          ${more > 0 && html`<p class="soft small home-more">and ${more} more</p>`}` : applied === 0 && html`<${AllDone} role=${role} first=${first} />`}
        ${!needs.length && applied > 0 && html`<p class="card soft row"><${Icon} name="users" />Only the applications below wait for you.</p>`}
      </section>
      ${role === "customer" && applied > 0 && html`<${Applications} count=${applied} />`}
      ${own.ids.value.length > 0 && html`<${Jobs} ids=${own.ids.value} role=${role} />`}
      ${standing.length > 0 && html`<${Offers} all=${standing} />`}
    </div>
    <aside class="stack"><${Recent} />${role === "contractor" && html`<${Money} />`}</aside>
  </div>`;
}

/** Who has applied, to any job. @param {{count: number}} props */
function Applications({ count }) {
  const list = useList(applications, {
    read: (cursor) => server.jobRequest.received({ status: "pending", cursor, limit: APPLICATIONS }),
    fits: ({ customer_id, status }) => customer_id === server.user?.id && status === "pending",
  }, []);
  const found = list.ids.value.map((id) => applications.of(id).value).filter(Boolean).slice(0, APPLICATIONS);
  if (list.problem.value || (!found.length && list.state.value === "ready")) return null;
  return html`<section aria-labelledby="applied" aria-busy=${found.length ? undefined : "true"}><h2 id="applied" class="home-title">Applications (${count > 99 ? "99+" : count})</h2>
    ${!found.length && html`<ul class="rows card flush" aria-hidden="true">${Array.from({ length: Math.min(count, APPLICATIONS) }, () =>
      html`<li><span class="line"><span class="grow">\u00a0<br /><span class="small">\u00a0</span></span></span></li>`)}</ul>`}
    <ul class="rows card flush" hidden=${!found.length}>${found.map((each) => html`<li key=${each.id}><a class="line" href=${`/jobs/${each.job_id}`}>
      <${Avatar} id=${each.contractor_id} name=${each.contractor_name} size="small" />
      <span class="grow"><span class="strong">${each.contractor_name}</span><br /><span class="soft small">${each.job_title} · <span class="number">${display(each.proposed_amount, each.currency)}</span></span></span>
      <${Icon} name="chevron-right" /></a></li>`)}</ul>
    ${count > found.length && html`<p class="soft small home-more">and ${count - found.length} more, on the pages of your jobs</p>`}</section>`;
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
    <ul class="rows card flush">${all.slice(0, 6).map((offer) => html`<li key=${offer.id}><a class="line home-offer" href=${`/offers/${offer.id}`}>
      <span class="grow truncate">${offer.job_title}</span><span class="amount">${display(offer.amount, offer.currency)}</span>
      <${Badge} of=${statusOf("offer", offer.status)} /></a></li>`)}</ul></section>`;
}

/** The latest conversations, read or not. */
function Recent() {
  const latest = ordered.value.slice(0, RECENT);
  return html`<section aria-labelledby="recent"><h2 id="recent" class="home-title">Conversations</h2>
    ${latest.length ? html`<ul class="rows card flush">${latest.map((each) => html`<li key=${each.id}><a class="line" href=${`/chat/${each.id}`}>
      <${Avatar} id=${other(each).id} name=${other(each).name} size="small" />
      <span class="grow truncate"><span class="strong">${other(each).name}</span><br /><span class="soft small">${each.job_title}</span></span>
      <span class="soft small"><${Ago} at=${activeAt(each)} /></span></a></li>`)}</ul>
      ${ordered.value.length > RECENT && html`<p class="small home-more"><a href="/chat">Show all</a></p>`}`
      : html`<p class="card soft">None yet.</p>`}</section>`;
}

function Money() {
  const wallet = mainWallet.value;
  if (!wallet) return null;
  return html`<section class="card" aria-labelledby="money"><header><h2 id="money">Wallet</h2><a class="small" href="/wallet">Open</a></header>
    <p class="amount big">${display(wallet.available, wallet.currency)}</p>
    <p class="soft small">${display(wallet.pending, wallet.currency)} on the way</p></section>`;
}
