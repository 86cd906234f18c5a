// The filters of a job search: in the address, as the server takes them, and as a test of one job.

import { shorten } from "../shared/characters.js";
import { display, displayRange, major, minor } from "../shared/money.js";
import { displayPoint, distanceKm, fold, parsePoint } from "./places.js";

/** @typedef {import("../../client/jobsphere.js").Job} Job */
/** @typedef {import("../../client/jobsphere.js").JobListFields} Fields */
/** @typedef {Record<string, string | null>} Query */

export const RADII = [5, 10, 25, 50, 100, 250];
export const RADIUS = 25;
export const MAX_SKILLS = 20;
const NAMES = ["q", "category", "skills", "min", "max", "currency", "near", "place", "radius", "saved"];
const COMMON = new Set(("a about all also am an and any are as at be been but by can could did do does don for from "
  + "had has have he her here him his how i if in into is it its just ll me more my no nor not of on or our out over "
  + "own re s she should so some such t than that the their them then there these they this those through to too "
  + "under until up ve very was we were what when where which while who whom why will with would you your").split(" "));

// Scripts that write words without spaces, and Korean, whose particles are written with the word.
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;

/** "painting, drywall" as names. @param {string | null} text */
export const splitSkills = (text) =>
  (text ?? "").split(",").map((each) => each.trim()).filter(Boolean).slice(0, MAX_SKILLS);

/**
 * What the server takes, of an address. What cannot be read is in `problems`, and left out.
 *
 * @param {URLSearchParams} query
 * @param {string} currency of the budget, if the address has none
 */
export function fieldsOfQuery(query, currency) {
  /** @type {Fields} */
  const fields = {};
  /** @type {Record<string, string>} */
  const problems = {};
  const [q, category] = ["q", "category"].map((name) => query.get(name)?.trim());
  if (q) fields.q = shorten(q, 200);
  if (category) fields.category = shorten(category, 60);
  const skills = splitSkills(query.get("skills"));
  if (skills.length) fields.skills = skills;
  const near = parsePoint(query.get("near") ?? "");
  if (near) {
    fields.near = near;
    fields.radius_km = Math.min(1_000, Number(query.get("radius")) || RADIUS);
  }
  const budget = budgetOf(query, query.get("currency") || currency, problems);
  if (budget) fields.budget = budget;
  return { fields, problems };
}

/** @param {URLSearchParams} query @param {string} currency @param {Record<string, string>} problems */
function budgetOf(query, currency, problems) {
  /** @type {Record<string, number>} */
  const amounts = {};
  for (const name of ["min", "max"]) {
    const text = query.get(name)?.trim();
    if (!text) continue;
    try {
      amounts[`${name}_amount`] = minor(text, currency);
    } catch (refused) {
      problems[name] = /** @type {Error} */ (refused).message;
    }
  }
  if (amounts.max_amount < amounts.min_amount) problems.max = "This is below the lower end.";
  return Object.keys(amounts).length || query.get("currency") ? { ...amounts, currency } : null;
}

/**
 * The address of a search, from what the server has of it.
 *
 * @param {any} filters
 * @param {string} [place] what the person calls the middle of the circle
 */
export function queryOf({ q, category, skills, near, radius_km, budget }, place = "") {
  const { min_amount, max_amount, currency } = budget ?? {};
  const amount = (/** @type {number | null | undefined} */ each) =>
    each !== null && each !== undefined && currency ? major(each, currency) : "";
  const query = new URLSearchParams(Object.entries({
    q: q ?? "", category: category ?? "", skills: (skills ?? []).join(","),
    min: amount(min_amount), max: amount(max_amount), currency: currency ?? "",
    near: near ? `${near.lat},${near.lon}` : "", place: near ? place : "",
    radius: near && radius_km ? String(radius_km) : "",
  }).filter(([, value]) => value));
  return query.toString();
}

/** The address without any filter. @returns {Query} */
export const withoutFilters = () => Object.fromEntries(NAMES.map((name) => [name, null]));

/** The same searches have the same key, however they were typed. @param {any} filters */
export function identity({ q, category, skills, near, radius_km, budget }) {
  const { min_amount = null, max_amount = null, currency = null } = budget ?? {};
  return JSON.stringify([
    fold(q ?? "").split(" ").sort(), fold(category ?? ""), (skills ?? []).map(fold).sort(),
    near ? [near.lat, near.lon, radius_km ?? 50] : null, min_amount, max_amount, currency,
  ]);
}

/**
 * The filters in words, each with the changes of the address that take it away.
 *
 * @param {any} fields
 * @param {string} [place]
 * @returns {{text: string, icon: import("../shared/icons.js").IconName, without: Query}[]}
 */
export function conditions({ q, category, skills, near, radius_km, budget }, place) {
  /** @type {ReturnType<typeof conditions>} */
  const found = [];
  if (q) found.push({ text: `“${q}”`, icon: "search", without: { q: null } });
  if (category) found.push({ text: category, icon: "layers", without: { category: null } });
  for (const skill of skills ?? []) {
    const rest = skills.filter((/** @type {string} */ each) => each !== skill).join(",");
    found.push({ text: skill, icon: "tag", without: { skills: rest || null } });
  }
  if (near) {
    const text = `within ${radius_km ?? 50} km of ${place || displayPoint(near)}`;
    found.push({ text, icon: "map-pin", without: { near: null, place: null, radius: null } });
  }
  if (budget) found.push({ text: budgetText(budget), icon: "banknote", without: { min: null, max: null, currency: null } });
  return found;
}

/** @param {any} budget */
function budgetText({ min_amount, max_amount, currency }) {
  const given = (/** @type {any} */ amount) => amount !== null && amount !== undefined;
  if (given(min_amount) && given(max_amount)) return displayRange(min_amount, max_amount, currency);
  if (given(min_amount)) return `at least ${display(min_amount, currency)}`;
  return given(max_amount) ? `at most ${display(max_amount, currency)}` : `in ${currency}`;
}

/**
 * Whether a job fits, as the server would say. Words are compared by their beginnings: the server
 * knows their stems, this page does not.
 *
 * @param {Fields} fields
 * @param {Job} job
 * @param {boolean} listed the server has found it by its words
 */
export function fits({ q, category, skills, near, radius_km, budget }, job, listed = false) {
  if (job.status !== "open") return false;
  if (category && fold(category) !== fold(job.category)) return false;
  if (skills?.length) {
    const asked = new Set(job.skills.map(fold));
    if (!skills.some((each) => asked.has(fold(each)))) return false;
  }
  if (near && !(job.location && distanceKm(near, job.location) <= (radius_km ?? 50))) return false;
  const { min_amount, max_amount, currency } = budget ?? {};
  if (currency && job.currency !== currency) return false;
  if (typeof min_amount === "number" && job.budget_max_amount < min_amount) return false;
  if (typeof max_amount === "number" && job.budget_min_amount > max_amount) return false;
  return !q || listed || hasWords(q, job);
}

/** @param {string} q @param {Job} job */
function hasWords(q, { title, category, skills, description }) {
  const words = wordsOf([title, category, ...skills, description].join(" "));
  const asked = wordsOf(q);
  const telling = asked.filter((word) => !COMMON.has(word));
  return asked.length > 0 && (telling.length ? telling : asked).every((word) => {
    if (UNSPACED.test(word)) return words.some((each) => each.includes(word));
    const stem = word.replace(/(?:ing|ers?|ed|e?s|ly)$/, "");
    const beginning = stem.length < 3 ? word : stem;
    return words.some((each) => each.startsWith(beginning));
  });
}

/** @param {string} text */
const wordsOf = (text) => fold(text).match(/[\p{L}\p{N}]+[+#]*/gu) ?? [];
