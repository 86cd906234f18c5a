// A contractor's work: offers to answer, jobs by their next step, applications, and what is over.

import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { isOpen, splitAll } from "../shared/fees.js";
import { Countdown, Listing, Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Badge, Empty, Skeleton, View, showCurrent } from "../shared/pieces.js";
import { go, place } from "../shared/router.js";
import { me, server } from "../shared/server.js";
import { useList } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { applications, jobs, offers } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Offer} Offer */

const PAGE = 50;
const TABS = [["", "Now"], ["applications", "Applications"], ["offers", "Offers"], ["done", "Done"]];
const STANDING = new Set(["assigned", "in_progress"]);

export function Work() {
  useEffect(() => {
    if (me.value?.role === "customer") go("/jobs", { replace: true });
  }, []);
  const tab = place.value.query.get("show") ?? "";
  const views = /** @type {Record<string, any>} */ ({ "": Now, applications: Applications, offers: Offers, done: Done });
  return html`<${View} title="My work" actions=${html`<a class="button" href="/jobs"><${Icon} name="search" />Find work</a>`}>
    <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      <nav class="segments" aria-label="Show" ref=${showCurrent}>${TABS.map(([name, label]) => html`<a key=${name} href=${`/work${name && `?show=${name}`}`}
        aria-current=${tab === name ? "page" : undefined}>${label}</a>`)}</nav>
      <${views[tab] ?? Now} key=${tab} />
    </div>
  </${View}>`;
}

const useOffers = () => useList(offers, {
  read: (cursor) => server.bidding.list({ cursor, limit: PAGE }), fits: () => true,
}, []);

const useJobs = () => useList(jobs, {
  read: (cursor) => server.job.mine({ cursor, limit: PAGE }),
  fits: (job) => job.contractor_id === server.user?.id,
}, []);

/** The offer whose work a job is, read when it is not known. @param {any} job */
const offerOf = (job) => (job.offer_id ? offers.of(job.offer_id).value : null);

/** What is to be done next: 0 comes first. @param {any} job @returns {{rank: number, word: string, icon: any, tone: string}} */
function nextStep(job) {
  const offer = offerOf(job);
  if (job.dispute_id) return { rank: 0, word: "In dispute", icon: "scale", tone: "bad" };
  if (job.status === "assigned") return { rank: 1, word: "Start the work", icon: "zap", tone: "mine" };
  const open = offer?.milestones.filter(isOpen) ?? [];
  const next = open.find((/** @type {any} */ each) => each.status === "pending");
  if (next) return { rank: 2, word: `Deliver “${next.title}”`, icon: "upload", tone: "mine" };
  if (open.length) return { rank: 3, word: "Waits to be approved", icon: "hourglass", tone: "wait" };
  return { rank: 2, word: "Deliver", icon: "upload", tone: "mine" };
}

function Now() {
  const found = useOffers();
  const mine = useJobs();
  const ready = [found, mine].every(({ state }) => state.value === "ready");
  const problem = found.problem.value ?? mine.problem.value;
  const standing = mine.ids.value.map((id) => jobs.of(id).value).filter((job) => job && STANDING.has(job.status));
  const missing = standing.filter((job) => job.offer_id && !offerOf(job)).map(({ offer_id }) => offer_id).join(" ");
  useEffect(() => {
    if (!ready || !missing) return;
    for (const offer_id of missing.split(" ")) server.bidding.get({ offer_id }).then((offer) => offers.put(offer), () => {});
  }, [ready, missing]);
  if (problem) return html`<${Problem} problem=${problem} again=${() => [found, mine].forEach((list) => list.load())} />`;
  if (!ready) return html`<${Skeleton} lines=${6} />`;
  const answer = found.ids.value.map((id) => offers.of(id).value).filter((offer) => offer?.status === "pending" || offer?.status === "accepting");
  if (!answer.length && !standing.length) {
    return html`<${Empty} icon="briefcase" title="No work at the moment"><p>Apply to jobs; when you agree on an offer, the work is here.</p>
      <a class="button primary" href="/jobs">Find work</a></${Empty}>`;
  }
  const ordered = standing.map((job) => ({ job, step: nextStep(job) })).sort((one, other) => one.step.rank - other.step.rank);
  return html`
    ${answer.length > 0 && html`<section aria-labelledby="answer"><h2 id="answer" class="list-title">Offers to answer</h2>
      <ul class="rows card flush act">${answer.map((offer) => html`<li key=${offer.id}><${OfferLine} offer=${offer} /></li>`)}</ul></section>`}
    ${ordered.length > 0 && html`<section aria-labelledby="standing"><h2 id="standing" class="list-title">Jobs</h2>
      <ul class="rows card flush">${ordered.map(({ job, step }) => html`<li key=${job.id}><${JobLine} job=${job} step=${step} /></li>`)}</ul>
      ${mine.more.value && html`<p class="row more"><button class="button" type="button" onClick=${() => mine.loadMore()}>Show more</button></p>`}</section>`}`;
}

/** @param {{offer: Offer}} props */
function OfferLine({ offer }) {
  const { currency, amount, schedule } = offer;
  return html`<a class="line tall" href=${`/offers/${offer.id}`}>
    <span class="grow"><span class="strong">${offer.job_title}</span><br />
      <span class="soft small">${offer.status === "pending" ? html`Answer within <${Countdown} until=${offer.expires_at} over="no more time" />`
        : html`<${Ago} at=${offer.updated_at} />`} · you get ${display(splitAll(amount, schedule).contractor, currency)}</span></span>
    <span class="side"><span class="amount">${display(amount, currency)}</span><${Badge} of=${statusOf("offer", offer.status)} /></span></a>`;
}

/** @param {{job: any, step?: {word: string, icon: any, tone: any}}} props */
function JobLine({ job, step }) {
  const offer = offerOf(job);
  const href = job.dispute_id ? `/disputes/${job.dispute_id}` : job.offer_id ? `/offers/${job.offer_id}` : `/jobs/${job.id}`;
  const approved = offer?.milestones.filter((/** @type {any} */ each) => each.status === "completed").length ?? 0;
  return html`<a class="line tall" href=${href}>
    <span class="grow"><span class="strong">${job.title}</span><br /><span class="soft small">${job.customer_name}${offer?.milestones.length > 1
      ? ` · ${approved} of ${offer.milestones.length} milestones approved` : ""}</span></span>
    <span class="side">${offer && html`<span class="amount">${display(offer.amount, offer.currency)}</span>`}
      <${Badge} of=${step ?? statusOf("job", job.status)} /></span></a>`;
}

function Applications() {
  const list = useList(applications, {
    read: (cursor) => server.jobRequest.mine({ cursor, limit: PAGE }), fits: (each) => each.contractor_id === server.user?.id,
  }, []);
  return html`<${Listing} list=${list} label="Applications"
    empty=${html`<${Empty} icon="send" title="You have not applied yet"><a class="button primary" href="/jobs">Find work</a></${Empty}>`}
    row=${(/** @type {any} */ each) => html`<a class="line tall" href=${`/jobs/${each.job_id}`}>
      <span class="grow"><span class="strong">${each.job_title}</span><br /><span class="soft small"><${Ago} at=${each.created_at} /></span></span>
      <span class="side"><span class="amount">${display(each.proposed_amount, each.currency)}</span><${Badge} of=${statusOf("application", each.status)} /></span></a>`} />`;
}

function Offers() {
  const list = useOffers();
  return html`<${Listing} list=${list} label="Offers" row=${(/** @type {Offer} */ offer) => html`<${OfferLine} offer=${offer} />`}
    empty=${html`<${Empty} icon="handshake" title="No offers yet"><p>Customers make offers to those who have applied.</p></${Empty}>`} />`;
}

function Done() {
  const list = useJobs();
  return html`<${Listing} list=${list} label="Jobs that are over" keep=${(/** @type {any} */ job) => !STANDING.has(job.status)}
    row=${(/** @type {any} */ job) => html`<${JobLine} job=${job} />`}
    empty=${html`<${Empty} icon="circle-check" title="Nothing yet"><p>Jobs that you have finished are here.</p></${Empty}>`} />`;
}
