// What is said beside the notices, which are about money: applications, and work that begins.

import { me } from "../shared/server.js";
import { say } from "../shared/toasts.js";

/** @typedef {import("../../client/jobsphere.js").Application} Application */
/** @typedef {import("../../client/jobsphere.js").Job} Job */

/** The status that was pushed last, by id: a list may have had it before its push came. @type {Map<string, string>} */
const heard = new Map();

/** Returns the status that was pushed before. @param {{id: string, status: string}} record */
function hear({ id, status }) {
  const before = heard.get(id);
  heard.set(id, status);
  return before;
}

const isCustomer = () => me.peek()?.role === "customer";

/** @param {Application} application */
export function tellApplied(application) {
  hear(application);
  const { contractor_name, job_title, job_id } = application;
  if (isCustomer()) say(`${contractor_name} applied to “${job_title}”.`, { link: `/jobs/${job_id}` });
}

/** @param {Application} application */
export function tellAnswered(application) {
  const { status, job_title, job_id } = application;
  if (hear(application) === status || isCustomer()) return;
  const link = `/jobs/${job_id}`;
  if (status === "accepted") say(`You are on the shortlist for “${job_title}”.`, { tone: "good", link });
  if (status === "rejected") say(`Your application to “${job_title}” was declined.`, { link });
}

/** @param {Job} job @param {Job | null} known what the page knew of it */
export function tellStarted(job, known) {
  const before = hear(job) ?? known?.status;
  if (!isCustomer() || before !== "assigned" || job.status !== "in_progress") return;
  say(`The work on “${job.title}” has started.`, { link: `/jobs/${job.id}` });
}

export function forgetNews() {
  heard.clear();
}
