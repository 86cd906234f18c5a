// Pieces that the job views share.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { displayRange, grouped } from "../shared/money.js";
import { Ago, Badge } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { displayKm, distanceKm, loadCities, placeOf } from "./places.js";
import { openWith } from "./talks.js";
import { applications, conversations, jobs } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Job} Job */
/** @typedef {import("../../client/jobsphere.js").Application} Application */

const PAGE = 50;
const MOST_PAGES = 10; // of one's own applications

/** "500.00 to 1,000.00 USD". @param {Pick<Job, "budget_min_amount" | "budget_max_amount" | "currency">} job */
export function budgetOf({ budget_min_amount: low, budget_max_amount: high, currency }) {
  return displayRange(low, high, currency);
}

/** "1 day", "5 days". @param {number} number */
export const days = (number) => `${number.toLocaleString()} ${number === 1 ? "day" : "days"}`;

/** @param {Job} job @returns {import("../shared/words.js").Status} */
export function statusOfJob(job) {
  if (job.dispute_id) return { word: "In dispute", icon: "scale", tone: "bad" };
  if (job.status === "in_progress" && job.delivered_at) return { word: "Delivered", icon: "eye", tone: "wait" };
  return statusOf("job", job.status);
}

/**
 * Where the work is to be done. Those who are not its sides see the nearest city.
 *
 * @param {{job: Job, from?: import("./places.js").Point | null}} props
 */
export function Where({ job, from }) {
  const place = job.location;
  useEffect(() => {
    if (place) loadCities();
  }, [!place]);
  if (!place) return html`<span>Anywhere</span>`;
  const name = place.label || placeOf(place) || "At a place";
  const away = from ? displayKm(distanceKm(from, place)) : null;
  return html`<span>${name}${away && html`<span class="number"> (${away} away)</span>`}</span>`;
}

/**
 * A job in a list.
 *
 * @param {{id: string, from?: import("./places.js").Point | null, fresh?: boolean, children?: any,
 *   plain?: boolean, own?: boolean}} props `own`: with its state, `plain`: without its text
 */
export function JobRow({ id, from, fresh, children, plain, own }) {
  const job = /** @type {Job | null} */ (jobs.of(id).value);
  if (!job) return null;
  const mine = applicationTo(id);
  return html`<li><a class="line job-line" href=${`/jobs/${id}`}>
    <span class="job-title"><span class="strong">${job.title}</span>
      ${fresh && html`<${Badge} of=${{ word: "New", icon: "zap", tone: "mine" }} />`}
      ${mine && html`<${Badge} of=${appliedStatus(mine)} />`}
      ${own && html`<${Badge} of=${statusOfJob(job)} />`}</span>
    <span class="amount job-amount">${budgetOf(job)}</span>
    ${!plain && html`<span class="job-text soft small">${job.description}</span>`}
    <span class="job-facts soft small">
      <span>${job.category}</span>
      <span class="job-fact"><${Icon} name="map-pin" /><${Where} job=${job} from=${from} /></span>
      ${!own && html`<span>${job.customer_name}</span>`}
      <${Ago} at=${job.created_at} />
    </span>
    ${children}
  </a></li>`;
}

/** @param {Application} application */
export function appliedStatus({ status }) {
  const known = statusOf("application", status);
  return status === "pending" ? { ...known, word: "You applied" } : known;
}

/** @param {{skills: string[]}} props */
export function Skills({ skills }) {
  if (!skills.length) return null;
  return html`<ul class="tags" aria-label="Skills">${skills.map((skill) =>
    html`<li class="badge" key=${skill}>${skill}</li>`)}</ul>`;
}

// -- one's own applications --------------------------------------------------------------------

/** The newest application of the contractor to a job, by the job's id. */
const own = signal(/** @type {Map<string, string>} */ (new Map()));
/** @type {{user: string, reading: Promise<void>} | null} */
let read = null;

/** Read one's own applications, once. A program of theirs or another tab is followed by pushes. */
export function loadOwnApplications() {
  const user = server.user?.id ?? "";
  if (server.user?.role !== "contractor") return Promise.resolve();
  if (read?.user !== user) {
    own.value = new Map();
    read = { user, reading: readAll().catch(() => { read = null; }) };
  }
  return read.reading;
}

async function readAll() {
  /** @type {string | null | undefined} */
  let cursor;
  for (let page = 0; page < MOST_PAGES && cursor !== null; page += 1) {
    const answer = await server.jobRequest.mine({ limit: PAGE, ...(cursor && { cursor }) });
    noteOwn(answer.items);
    cursor = answer.next_cursor;
  }
}

/** @param {Application[]} found */
export function noteOwn(found) {
  const known = new Map(own.value);
  for (const application of found) {
    applications.put(application);
    const before = applications.peek(known.get(application.job_id) ?? "");
    if (!before || before.created_at <= application.created_at) known.set(application.job_id, application.id);
  }
  own.value = known;
}

/** @param {string} jobId @returns {Application | null} */
export function applicationTo(jobId) {
  const id = own.value.get(jobId);
  return id ? applications.of(id).value : null;
}

/** An application that may still win. @param {Application | null} application */
export const standing = (application) =>
  application !== null && ["pending", "accepted"].includes(application.status);

// -- chat --------------------------------------------------------------------------------------

/**
 * The address of the conversation about a job with somebody; it is opened if it is not known.
 *
 * @param {string} jobId
 * @param {string} userId
 */
export async function chatWith(jobId, userId) {
  const found = knownChat(jobId, userId);
  return found ? `/chat/${found.id}` : openWith(jobId, userId);
}

/** @param {string} jobId @param {string} userId */
export function knownChat(jobId, userId) {
  return [...conversations.value.values()].find(({ job_id, members }) =>
    job_id === jobId && members.includes(userId));
}

/** How an amount lies to a budget, in words. @param {number} amount @param {Job} job */
export function againstBudget(amount, { budget_min_amount: low, budget_max_amount: high, currency }) {
  if (amount > high) return `${grouped(amount - high, currency)} above your budget`;
  return amount < low ? `${grouped(low - amount, currency)} below your budget` : "within your budget";
}
