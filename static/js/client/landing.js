// Open jobs for those who are not signed in. Plain elements, so that visitors do not load the client.

import { displayRange } from "../shared/amounts.js";

/** @typedef {import("../../client/jobsphere.js").PublicJob} PublicJob */

const SHOWN = 6;

/**
 * An element with a class, and what is in it. Text stays text.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} kind
 * @param {...(Node | string)} content
 */
function element(tag, kind, ...content) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...content);
  return made;
}

/** @param {string} href @param {string} kind @param {...(Node | string)} content */
function link(href, kind, ...content) {
  const made = element("a", kind, ...content);
  made.href = href;
  return made;
}

/** @param {string} path */
async function read(path) {
  const response = await fetch(`/api/job/public${path}`);
  return response.ok ? response.json() : null;
}

/** "500.00 to 1,000.00 USD". @param {PublicJob} job */
function budgetOf({ budget_min_amount: low, budget_max_amount: high, currency }) {
  return displayRange(low, high, currency);
}

/** Skills that only repeat the category are left out. @param {PublicJob} job */
function factsOf({ category, customer_name, skills }) {
  const others = skills.filter((each) => each.toLowerCase() !== category.toLowerCase()).slice(0, 3);
  return [category, ...others, customer_name && `posted by ${customer_name}`].filter(Boolean).join(" · ");
}

/** The jobs that were posted last. */
export async function showJobs() {
  const page = await read(`?limit=${SHOWN}`).catch(() => null);
  const list = /** @type {HTMLElement} */ (document.getElementById("posted"));
  if (!page?.items.length) {
    list.replaceWith(element("p", "soft", page ? "No job is open right now: yours can be the next." : "They cannot be shown right now."));
    return;
  }
  list.append(...page.items.map((/** @type {PublicJob} */ job) =>
    element("li", "card", element("h3", "", link(`/jobs/${job.id}`, "", job.title)), element("p", "amount", budgetOf(job)),
      element("p", "soft small clip", job.description), element("p", "soft small", factsOf(job)))));
}

/** One open job, in place of what the page says. @param {string} id */
export async function showJob(id) {
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  const job = await read(`/${encodeURIComponent(id)}`).catch(() => null);
  const heading = element("h1", "", job ? job.title : "This job is not open");
  heading.tabIndex = -1;
  const sign = `/sign-in?next=${encodeURIComponent(`/jobs/${id}`)}`;
  const content = job
    ? [element("p", "amount big", budgetOf(job)), element("p", "soft", factsOf(job)), element("p", "prose", job.description),
      element("p", "row", link("/register?role=contractor", "button primary", "Apply for this job"), link(sign, "button", "Sign in"))]
    : [element("p", "soft", "Somebody may do it already. If it is yours, or you have applied for it, sign in to see it."),
      element("p", "row", link(sign, "button primary", "Sign in"), link("/", "button", "Open jobs"))];
  main.append(element("article", "stack one-job", heading, ...content));
  document.title = `${heading.textContent} · JobSphere`;
  heading.focus({ preventScroll: true });
}
