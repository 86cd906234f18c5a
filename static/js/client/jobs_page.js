// One job: what it is about, who looks at it now, and what either side can do with it.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Attachments } from "../shared/attachments.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { ListEnd } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Avatar, Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { viewOf } from "../shared/router.js";
import { me, server } from "../shared/server.js";
import { fullTime } from "../shared/times.js";
import { refuse } from "../shared/toasts.js";
import { useList } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { Applicants } from "./jobs_applicants.js";
import { Applying } from "./jobs_apply.js";
import { askCancel } from "./jobs_cancel.js";
import { Skills, Where, budgetOf, loadOwnApplications, statusOfJob } from "./jobs_pieces.js";
import { jobs, matched, offers } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Job} Job */
/** @typedef {import("../../client/jobsphere.js").Offer} Offer */

/** Follow a job while it is shown. @param {string} id */
function useWatched(id) {
  const viewers = useSignal(0);
  const gone = useSignal(false);
  useEffect(() => {
    let shown = true;
    const watch = async () => {
      try {
        const answer = await server.job.watch({ job_id: id });
        if (!shown) return;
        jobs.put(answer.job);
        viewers.value = answer.viewers;
        gone.value = false;
      } catch (refused) {
        if (!shown) return;
        if (/** @type {any} */ (refused).code === "not_found") gone.value = true;
        else refuse(refused);
      }
    };
    const stops = [
      server.job.on("job.viewers", (now) => { if (now.job_id === id) viewers.value = now.viewers; }),
      server.job.on("job.closed", ({ job_id }) => { if (job_id === id) watch(); }),
    ];
    watch();
    return () => {
      shown = false;
      for (const stop of stops) stop();
      server.job.unwatch({ job_id: id }).catch(() => {}); // the connection may be lost, and that ends it, too
    };
  }, [id]);
  return { viewers, gone };
}

/** @param {{id: string}} props */
export function JobPage({ id }) {
  const job = /** @type {Job | null} */ (jobs.of(id).value);
  const { viewers, gone } = useWatched(id);
  const list = useOffers(id);
  const applied = useSignal(false);
  useEffect(() => {
    loadOwnApplications().then(() => (applied.value = true));
    if (matched.peek().has(id)) matched.value = new Map([...matched.peek()].filter(([each]) => each !== id));
  }, [id]);
  const user = me.value;
  const customer = user?.role === "customer";
  const back = { href: "/jobs", label: customer ? "My jobs" : "Find work" };
  if (gone.value) {
    return html`<${View} title=${job?.title ?? "This job"} back=${back}><${Empty} icon="briefcase" title="This job is not open any more">
      <p>It was given to somebody, or its customer has cancelled it.</p>
      <a class="button primary" href="/jobs">${customer ? "My jobs" : "Find other work"}</a></${Empty}></${View}>`;
  }
  const settled = applied.value && (list.state.value === "ready" || list.problem.value);
  if (!job || !settled) return html`<${View} title="Job" back=${back}><${Skeleton} lines=${8} /></${View}>`;
  const owner = job.customer_id === user?.id;
  return html`<${View} title=${job.title} back=${back} actions=${owner && html`<${OwnerActions} job=${job} />`}>
    <div class="stack">
      <div class="columns">
        <article class="card stack">
          <${Facts} job=${job} viewers=${viewers.value} />
          <p class="prose">${job.description}</p>
          <${Skills} skills=${job.skills} />
          <${Files} job=${job} />
        </article>
        <aside class="stack">
          <${Next} job=${job} owner=${owner} />
          ${!owner && user?.role === "contractor" && html`<${Applying} job=${job} />`}
          ${(owner || user?.id === job.contractor_id || user?.role === "contractor") && html`<${Offers} list=${list} />`}
          ${job.status !== "open" && (owner || user?.id === job.contractor_id) && html`<${Progress} job=${job} />`}
        </aside>
      </div>
      ${owner && html`<${Applicants} job=${job} />`}
    </div>
  </${View}>`;
}

/** @param {{job: Job}} props */
function OwnerActions({ job }) {
  const cancellable = ["open", "assigned"].includes(job.status);
  return html`
    ${job.status === "open" && html`<a class="button" href=${`/jobs/${job.id}/edit`}><${Icon} name="pencil" />Edit</a>`}
    ${cancellable && html`<button type="button" class="button" onClick=${() => askCancel(job)}><${Icon} name="circle-x" />Cancel the job</button>`}`;
}

/** @param {{job: Job, viewers: number}} props */
function Facts({ job, viewers }) {
  const others = viewers - 1;
  const watching = others > 0 && job.status === "open";
  return html`<div class="row spread"><div class="row tight"><${Badge} of=${statusOfJob(job)} />
      <span class="soft small">Posted <${Ago} at=${job.created_at} /></span></div>
    <span class="soft small row tight" role="status">${watching && html`<${Icon} name="eye" />
      ${others === 1 ? "1 other person looks at it now" : `${others} others look at it now`}`}</span></div>
    <dl class="facts job-about">
      <div><dt>Budget</dt><dd class="amount">${budgetOf(job)}</dd></div>
      <div><dt>Where</dt><dd><${Where} job=${job} /></dd></div>
      <div><dt>Category</dt><dd>${job.category}</dd></div>
      ${job.customer_id !== me.value?.id && html`<div><dt>Customer</dt><dd class="row tight">
        <${Avatar} id=${job.customer_id} name=${job.customer_name} size="small" />${job.customer_name}</dd></div>`}
    </dl>`;
}

/** Other customers learn only that there are some. @param {{job: Job}} props */
function Files({ job: { files, customer_id } }) {
  if (!files.length) return null;
  if (me.value?.role === "customer" && me.value.id !== customer_id) {
    return html`<p class="soft small"><${Icon} name="paperclip" /> ${files.length === 1 ? "A file" : `${files.length} files`} for contractors</p>`;
  }
  return html`<section class="stack" aria-labelledby="files"><h2 id="files">Pictures and files</h2><${Attachments} files=${files} /></section>`;
}

/** What is to be done now, by whom. @param {{job: Job, owner: boolean}} props */
function Next({ job, owner }) {
  const won = job.contractor_id === me.value?.id;
  if (!owner && !won) return null;
  const text = nextStep(job, owner);
  if (!text) return null;
  const address = job.offer_id && `/offers/${job.offer_id}`;
  const mine = job.status === "assigned" ? won : Boolean(job.delivered_at) === owner;
  return html`<section class=${`card stack ${mine ? "act" : ""}`} aria-label="Next step"><p>${text}</p>
    ${address && viewOf(address).view && html`<p><a class=${`button ${mine ? "primary" : ""}`} href=${address}>
      ${owner ? "See the work" : "Open the work"}<${Icon} name="arrow-right" /></a></p>`}</section>`;
}

/** @param {Job} job @param {boolean} owner */
function nextStep(job, owner) {
  if (job.dispute_id) return "There is a dispute: the money stays where it is until it is resolved.";
  if (job.status === "assigned") {
    return owner ? "The money is safe. The contractor has not begun yet; until then you can cancel and get all of it back."
      : "The job is yours, and the money is safe. Start when you begin to work.";
  }
  if (job.status !== "in_progress") return null;
  if (job.delivered_at) {
    return owner ? "Work was delivered. Look at it, then approve it or say what is wrong."
      : "You have delivered. The customer looks at it now.";
  }
  return owner ? "The contractor is at work. A job on which work has begun cannot be cancelled."
    : "You are at work. Deliver when you have something to show.";
}

const STEPS = /** @type {const} */ (["open", "assigned", "in_progress", "delivered", "completed"]);
const STEP_NAMES = ["Posted", "Given to a contractor", "Work begun", "Delivered", "Completed"];

/** @param {{job: Job}} props */
function Progress({ job }) {
  const cancelled = job.status === "cancelled";
  const delivered = job.status === "in_progress" && job.delivered_at;
  const now = cancelled ? 0 : STEPS.indexOf(delivered ? "delivered" : /** @type {any} */ (job.status));
  const times = [job.created_at, null, null, job.delivered_at, job.completed_at];
  const step = (/** @type {string} */ name, /** @type {number} */ at) => html`<li key=${name}
    class=${at < now || job.status === "completed" || cancelled ? "done" : ""} aria-current=${at === now && job.status !== "completed" && !cancelled ? "step" : undefined}>
    <span>${name}</span>${times[at] && html`<span class="number soft" title=${fullTime(/** @type {string} */ (times[at]))}><${Ago} at=${times[at]} /></span>`}</li>`;
  return html`<section class="card" aria-label="Progress"><header><h2>Progress</h2></header>
    <ol class="timeline">${(cancelled ? STEP_NAMES.slice(0, 1) : STEP_NAMES).map(step)}
      ${cancelled && html`<li class="done"><span>Cancelled</span>${job.cancelled_at && html`<span class="soft"><${Ago} at=${job.cancelled_at} /></span>`}</li>`}</ol></section>`;
}

/** The offers on this job that the person may see. @param {string} id */
const useOffers = (id) => useList(offers, {
  read: (cursor) => server.bidding.list({ job_id: id, limit: 20, ...(cursor && { cursor }) }),
  fits: (offer) => offer.job_id === id,
}, [id]);

/** @param {{list: import("../shared/records.js").RecordList}} props */
function Offers({ list }) {
  const all = list.ids.value;
  if (!all.length && !list.problem.value) return null;
  return html`<section class="card flush" aria-label="Offers"><header class="job-inset"><h2>Offers</h2></header>
    <ul class="rows">${all.map((each) => html`<${OfferRow} key=${each} id=${each} />`)}</ul><${ListEnd} list=${list} /></section>`;
}

/** @param {{id: string}} props */
function OfferRow({ id }) {
  const offer = /** @type {Offer | null} */ (offers.of(id).value);
  if (!offer) return null;
  const address = `/offers/${id}`;
  const content = html`<span class="grow"><span class="amount">${display(offer.amount, offer.currency)}</span><br />
    <span class="soft small"><${Ago} at=${offer.created_at} /></span></span><${Badge} of=${statusOf("offer", offer.status)} />`;
  return html`<li>${viewOf(address).view ? html`<a class="line" href=${address}>${content}</a>` : html`<div class="line">${content}</div>`}</li>`;
}
