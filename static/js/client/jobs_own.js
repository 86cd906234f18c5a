// A customer's own jobs, by their state.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { ListEnd } from "../shared/listing.js";
import { Empty, Skeleton, View, showCurrent } from "../shared/pieces.js";
import { place } from "../shared/router.js";
import { me, server } from "../shared/server.js";
import { useList, useReady } from "../shared/use.js";
import { JobRow } from "./jobs_pieces.js";
import { applications, jobs } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").JobStatus} JobStatus */

const PAGE = 20;
const WAITING = 100;
const STATES = /** @type {const} */ ([
  ["", "All"], ["open", "Open"], ["assigned", "Assigned"], ["in_progress", "In progress"],
  ["completed", "Completed"], ["cancelled", "Cancelled"],
]);

export function OwnJobs() {
  const asked = place.value.query.get("state") ?? "";
  const state = STATES.some(([name]) => name === asked) ? asked : "";
  const user = me.value?.id;
  const list = useReady(useList(jobs, {
    read: (cursor) => server.job.mine({
      limit: PAGE, ...(state && { status: /** @type {JobStatus} */ (state) }), ...(cursor && { cursor }),
    }),
    fits: (job) => job.customer_id === user && (!state || job.status === state),
  }, [`${user} ${state}`]));
  const post = html`<a class="button primary" href="/jobs/new"><${Icon} name="plus" />Post a job</a>`;
  return html`<${View} title="My jobs" actions=${post}>
    <div class="stack">
      <nav class="segments" aria-label="By state" ref=${showCurrent}>${STATES.map(([name, label]) => html`
        <a href=${name ? `/jobs?state=${name}` : "/jobs"} aria-current=${name === state ? "page" : undefined} key=${name}>${label}</a>`)}</nav>
      <${Rows} list=${list} state=${state} />
      <${ListEnd} list=${list} />
    </div>
  </${View}>`;
}

/** @param {{list: import("../shared/records.js").RecordList, state: string}} props */
function Rows({ list, state }) {
  const counts = useWaiting();
  const ids = list.ids.value;
  if (list.state.value !== "ready") return list.problem.value ? null : html`<${Skeleton} lines=${8} />`;
  if (!ids.length && state) return html`<${Empty} icon="briefcase" title="No jobs in this state" />`;
  if (!ids.length) {
    return html`<${Empty} icon="briefcase" title="You have not posted a job yet">
      <p>Say what you need in two minutes. Contractors who look for that kind of work hear of it at once.</p>
      <a class="button primary" href="/jobs/new">Post your first job</a></${Empty}>`;
  }
  return html`<ul class="rows card flush">${ids.map((id) => html`<${JobRow} key=${id} id=${id} own plain>
    <${Waiting} id=${id} counts=${counts} /></${JobRow}>`)}</ul>`;
}

/** What waits for an answer of the customer at an open job. @param {{id: string, counts: Counts}} props */
function Waiting({ id, counts }) {
  if (jobs.of(id).value?.status !== "open") return null;
  const count = counts.of.get(id) ?? 0;
  if (!count) return html`<span class="job-waiting soft small">${counts.all ? "No application to answer" : "\u00a0"}</span>`;
  return html`<span class="job-waiting small strong"><${Icon} name="users" />
    ${count}${counts.all ? "" : "+"} ${count === 1 ? "application" : "applications"} to answer</span>`;
}

/** @typedef {{of: Map<string, number>, all: boolean}} Counts by job; `all`: there are no more */

/** How many applications wait at each job, of the newest 100. @returns {Counts} */
function useWaiting() {
  const list = useList(applications, {
    read: (cursor) => server.jobRequest.received({ status: "pending", limit: WAITING, ...(cursor && { cursor }) }),
    fits: ({ status }) => status === "pending",
  }, []);
  const of = new Map();
  for (const id of list.ids.value) {
    const job = applications.of(id).value?.job_id;
    of.set(job, (of.get(job) ?? 0) + 1);
  }
  return { of, all: list.state.value === "ready" && !list.more.value };
}
