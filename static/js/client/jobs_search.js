// Finding work: filters that live in the address, and what fits them, also what is posted meanwhile.

import { useSignal } from "@preact/signals";
import { useEffect, useId, useState } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { ListEnd } from "../shared/listing.js";
import { CURRENCIES, display, displayRange, major } from "../shared/money.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { server } from "../shared/server.js";
import { useList, useReady } from "../shared/use.js";
import { RADII, RADIUS, conditions, fieldsOfQuery, fits, identity, splitSkills, withoutFilters } from "./jobs_filters.js";
import { JobRow, loadOwnApplications } from "./jobs_pieces.js";
import { askName, changeTo, loadSearches, searches } from "./jobs_saved.js";
import { PlaceField } from "./place_field.js";
import { displayPoint, distanceKm, fold, parsePoint } from "./places.js";
import { jobs, mainCurrency } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").JobListFields} Fields */
/** @typedef {import("../../client/jobsphere.js").JobFacets} JobFacets */

const PAGE = 20;
const TYPING_MS = 250;
const SUGGESTED = 8;
const BANDS = 6;
/** @type {[import("../../client/jobsphere.js").JobSort, string][]} */
const ORDERS = [["newest", "Newest first"], ["budget", "Highest budget first"]];
/** @type {typeof ORDERS[number]} */
const NEAREST = ["distance", "Nearest first"];
/** @type {typeof ORDERS[number]} */
const RELEVANT = ["relevance", "Best match first"];

/** A value once it has not changed for a moment. @template T @param {string} key @param {T} value @returns {T} */
function useSettled(key, value) {
  const [settled, settle] = useState({ key, value });
  useEffect(() => {
    if (settled.key === key) return undefined;
    const timer = setTimeout(settle, TYPING_MS, { key, value });
    return () => clearTimeout(timer);
  }, [key, settled.key]);
  return settled.value;
}

/** The ids of jobs that were posted while this is shown. */
function useFresh() {
  const fresh = useSignal(/** @type {Set<string>} */ (new Set()));
  useEffect(() => server.job.on("job.updated", ({ id, created_at, updated_at }) => {
    if (created_at === updated_at) fresh.value = new Set([...fresh.peek(), id]);
  }), []);
  return fresh;
}

export function FindWork() {
  const { query } = place.value;
  const { fields: given, problems } = fieldsOfQuery(query, mainCurrency.value);
  const orders = [...(given.q ? [RELEVANT] : []), ...ORDERS, ...(given.near ? [NEAREST] : [])];
  const [usual] = orders[0];
  const sort = orders.find(([name]) => name === query.get("sort"))?.[0] ?? usual;
  const typed = { ...given, sort };
  const fields = useSettled(JSON.stringify(typed), typed);
  const fresh = useFresh();
  const facets = useFacets(fields);
  const completions = useCompletions(query.get("q") ?? "");
  const [open, setOpen] = useState(false);
  const panel = useId();
  useEffect(() => {
    loadOwnApplications();
    loadSearches();
  }, []);

  const wanted = useList(jobs, searchOptions(fields), [JSON.stringify(fields)]);
  const list = useReady(wanted);
  const stale = list !== wanted || fields !== typed && JSON.stringify(fields) !== JSON.stringify(typed);
  const chosen = conditions(given, query.get("place") ?? "");
  const known = searches.value?.find(({ filters }) => identity(filters) === identity(given));
  const edited = known ? null : searches.value?.find(({ id }) => id === query.get("saved"));
  const actions = html`<a class="button" href="/searches"><${Icon} name="bookmark" />Saved searches</a>`;

  return html`<${View} title="Find work" actions=${actions}>
    <div class="job-search">
      <div class="job-bar" role="search">
        <div class="job-words"><${Icon} name="search" />
          <label class="visually-hidden" for=${`${panel}-q`}>Search jobs</label>
          <input class="input" id=${`${panel}-q`} type="search" placeholder="Search by words, such as garden fence"
            list=${`${panel}-texts`} value=${query.get("q") ?? ""} onInput=${(/** @type {any} */ { target }) => setQuery({ q: target.value })} />
          <datalist id=${`${panel}-texts`}>${completions.map((text) => html`<option value=${text} key=${text} />`)}</datalist></div>
        <button type="button" class="button job-toggle" aria-expanded=${String(open)} aria-controls=${panel} onClick=${() => setOpen(!open)}>
          <${Icon} name="sliders-horizontal" />Filters${chosen.length > 0 && html`<span class="count">${chosen.length}</span>`}</button>
        <label class="visually-hidden" for=${`${panel}-sort`}>Order</label>
        <select class="input job-sort" id=${`${panel}-sort`} value=${sort}
          onChange=${(/** @type {any} */ { target }) => setQuery({ sort: target.value === usual ? null : target.value })}>
          ${orders.map(([name, label]) => html`<option value=${name} key=${name}>${label}</option>`)}</select>
      </div>
      <div class="job-columns">
        <aside id=${panel} class=${`job-filters card ${open ? "open" : ""}`} aria-label="Filters">
          ${facets === undefined ? html`<${Skeleton} lines=${10} />` : html`<${Filters} query=${query} problems=${problems} facets=${facets} />`}</aside>
        <section class="stack" aria-label="Jobs that fit" aria-busy=${stale ? "true" : undefined}>
          <${Chosen} chosen=${chosen} fields=${given} place=${query.get("place") ?? ""} known=${known} edited=${edited} />
          <${Found} list=${list} fresh=${fresh.value} from=${fields.near} filtered=${chosen.length > 0} />
          <${ListEnd} list=${wanted} />
        </section>
      </div>
    </div>
  </${View}>`;
}

/** @param {Fields} fields */
function searchOptions(fields) {
  /** @type {Set<string>} */
  const found = new Set(); // by the server, which knows the words' stems
  /** @type {import("../shared/records.js").ListOptions} */
  const options = {
    read: async (cursor) => {
      const page = await server.job.list({ ...fields, limit: PAGE, ...(cursor && { cursor }) });
      for (const { id } of page.items) found.add(id);
      return page;
    },
    fits: (job) => fits(fields, job, found.has(job.id)),
  };
  const { near } = fields;
  if (fields.sort === "distance" && near) {
    const away = (/** @type {any} */ { location }) => (location ? distanceKm(near, location) : Infinity);
    options.order = (one, other) => away(one) - away(other) || (one.id < other.id ? -1 : 1);
  }
  if (fields.sort === "relevance") options.order = () => -1; // only the server can tell; what is new is shown first
  if (fields.sort === "budget") {
    options.order = (one, other) => other.budget_max_amount - one.budget_max_amount
      || (one.created_at < other.created_at ? 1 : -1);
  }
  return options;
}

/** @param {{chosen: ReturnType<typeof conditions>, fields: Fields, place: string, known: any, edited: any}} props */
function Chosen({ chosen, fields, place: name, known, edited }) {
  if (!chosen.length) return null;
  return html`<div class="row tight">
    ${chosen.map(({ text, icon, without }) => html`<button type="button" class="chip" key=${text} onClick=${() => setQuery(without)}>
      <${Icon} name=${icon} /><span>${text}</span><${Icon} name="x" /><span class="visually-hidden">Remove</span></button>`)}
    ${chosen.length > 1 && html`<button type="button" class="button quiet small" onClick=${() => setQuery(withoutFilters())}>Clear all</button>`}
    ${known
      ? html`<span class="badge good"><${Icon} name="bookmark" />Saved as ${known.name}</span>`
      : html`${edited && html`<button type="button" class="button small primary" onClick=${() => changeTo(edited, fields)}>
          <${Icon} name="check" />Change “${edited.name}” to this</button>`}
        <button type="button" class="button small" onClick=${() => askName(fields, name)}><${Icon} name="bookmark" />Save this search</button>`}
  </div>`;
}

/**
 * @param {{list: import("../shared/records.js").RecordList, fresh: Set<string>, filtered: boolean,
 *   from?: import("./places.js").Point | null}} props
 */
function Found({ list, fresh, from, filtered }) {
  const ids = list.ids.value;
  if (list.state.value !== "ready") return list.problem.value ? null : html`<${Skeleton} lines=${10} />`;
  const arrived = ids.filter((id) => fresh.has(id)).length;
  const count = `${ids.length}${list.more.value ? "+" : ""} open ${ids.length === 1 && !list.more.value ? "job" : "jobs"}`;
  return html`<p class="soft small" role="status">${count}${arrived > 0 && html`, ${arrived} posted since you opened this`}</p>
    ${ids.length > 0 && html`<ul class="rows card flush">${ids.map((id) => html`
      <${JobRow} key=${id} id=${id} from=${from} fresh=${fresh.has(id)} />`)}</ul>`}
    ${ids.length === 0 && (filtered
      ? html`<${Empty} icon="search" title="Nothing fits right now">
          <p>Take a filter away, or save this search: what is posted later comes to you at once.</p></${Empty}>`
      : html`<${Empty} icon="search" title="No open jobs right now"><p>New ones appear here as they are posted.</p></${Empty}>`)}`;
}

/** What the jobs that fit have: undefined at first, null if it cannot be read; the earlier one stays until the next is known. @param {Fields} fields */
function useFacets(fields) {
  const facets = useSignal(/** @type {JobFacets | null | undefined} */ (undefined));
  const { sort: _, ...wanted } = fields;
  const key = JSON.stringify(wanted);
  useEffect(() => {
    let here = true;
    server.job.facets(wanted).then((found) => here && (facets.value = found), () => here && (facets.value ??= null)); // the list says why
    return () => {
      here = false;
    };
  }, [key]);
  return facets.value;
}

/** What may be meant, as it is typed. @param {string} typed @returns {string[]} */
function useCompletions(typed) {
  const settled = useSettled(typed, typed.trim());
  const texts = useSignal(/** @type {string[]} */ ([]));
  useEffect(() => {
    if (!settled) {
      texts.value = [];
      return undefined;
    }
    let here = true;
    server.job.suggest({ q: settled.slice(0, 100) }).then(({ items }) => {
      if (here) texts.value = [...new Set(items.map(({ text }) => text))];
    }, () => {}); // the search goes on without
    return () => {
      here = false;
    };
  }, [settled]);
  return texts.value;
}

/**
 * Values that the jobs have, with their numbers, to choose from.
 *
 * @param {{label: string, values: {value: string, count: number}[], pick: (value: string) => void}} props
 */
function Suggestions({ label, values, pick }) {
  if (!values.length) return null;
  return html`<ul class="row tight suggested" aria-label=${label}>${values.slice(0, SUGGESTED).map(({ value, count }) => html`<li key=${value}>
    <button type="button" class="chip" onClick=${() => pick(value)}><span>${value}</span><span class="soft number">${count}</span></button></li>`)}</ul>`;
}

/** @param {{query: URLSearchParams, problems: Record<string, string>, facets: JobFacets | null}} props */
function Filters({ query, problems, facets }) {
  const id = useId();
  const value = (/** @type {string} */ name) => query.get(name) ?? "";
  const near = parsePoint(value("near"));
  const changed = (/** @type {string} */ name) => (/** @type {any} */ { target }) => setQuery({ [name]: target.value });
  const amount = (/** @type {"min" | "max"} */ name, /** @type {string} */ label) => html`<div class="field">
    <label for=${`${id}-${name}`}>${label}</label>
    <input class="input" id=${`${id}-${name}`} inputmode="decimal" maxlength="14" value=${value(name)}
      aria-invalid=${problems[name] ? "true" : undefined} aria-describedby=${problems[name] ? `${id}-${name}-problem` : undefined}
      onInput=${(/** @type {any} */ { target }) => setQuery({ [name]: target.value, currency: value("currency") || mainCurrency.value })} />
    ${problems[name] && html`<p class="problem" id=${`${id}-${name}-problem`}><${Icon} name="circle-alert" />${problems[name]}</p>`}</div>`;
  const skills = splitSkills(value("skills"));
  const more = (facets?.skills ?? []).filter((each) => !skills.some((skill) => fold(skill) === fold(each.value)));
  const budget = facets?.budgets.find(({ currency }) => currency === (value("currency") || mainCurrency.value));
  const bands = value("min") || value("max") ? []
    : (facets?.bands ?? []).filter(({ currency }) => currency === (value("currency") || mainCurrency.value)).slice(0, BANDS);
  const pickBand = (/** @type {typeof bands[number]} */ { min_amount, below_amount, currency }) => setQuery({
    currency, min: min_amount ? major(min_amount, currency) : null, max: below_amount ? major(below_amount, currency) : null,
  });
  const pickPlace = (/** @type {any} */ picked) => setQuery(picked
    ? { near: displayPoint(picked.point).replace(" ", ""), place: picked.text, radius: value("radius") || RADIUS }
    : { near: null, place: null, radius: null });
  return html`
    <div class="field"><label for=${`${id}-category`}>Category</label>
      <input class="input" id=${`${id}-category`} list=${`${id}-categories`} placeholder="Any" value=${value("category")} onInput=${changed("category")} />
      <datalist id=${`${id}-categories`}>${facets?.categories.map((each) => html`<option value=${each.value} key=${each.value} />`)}</datalist>
      ${!value("category") && html`<${Suggestions} label="Categories of these jobs" values=${facets?.categories ?? []} pick=${(/** @type {string} */ category) => setQuery({ category })} />`}</div>
    <div class="field"><label for=${`${id}-skills`}>Skills</label>
      <input class="input" id=${`${id}-skills`} placeholder="Any" value=${value("skills")} onInput=${changed("skills")} aria-describedby=${`${id}-skills-hint`} />
      <p class="hint" id=${`${id}-skills-hint`}>Separated by commas; one of them must be asked for.</p>
      <${Suggestions} label="Skills that these jobs ask for" values=${more} pick=${(/** @type {string} */ skill) => setQuery({ skills: [...skills, skill].join(", ") })} /></div>
    <fieldset class="stack job-budget"><legend>Budget</legend>
      <div class="fields">${amount("min", "At least")}${amount("max", "At most")}</div>
      ${bands.length > 0 && html`<ul class="row tight suggested" aria-label="Budgets of these jobs">${bands.map((band) => html`<li key=${band.min_amount}>
        <button type="button" class="chip" onClick=${() => pickBand(band)}><span>${bandText(band)}</span>
          <span class="soft number">${band.count}</span></button></li>`)}</ul>`}
      ${budget && html`<p class="soft small">These jobs: ${displayRange(budget.min_amount, budget.max_amount, budget.currency)}.</p>`}
      <div class="field"><label for=${`${id}-currency`}>Currency</label>
        <select class="input" id=${`${id}-currency`} value=${value("currency")} onChange=${(/** @type {any} */ { target }) =>
          setQuery(target.value ? { currency: target.value } : { currency: null, min: null, max: null })}>
          <option value="">Any</option>${CURRENCIES.map((code) => html`<option value=${code} key=${code}>${code}</option>`)}</select></div>
    </fieldset>
    <${PlaceField} label="Near" value=${near && { point: near, text: value("place") || displayPoint(near) }} onChange=${pickPlace} />
    ${near && html`<div class="field"><label for=${`${id}-radius`}>Distance</label>
      <select class="input" id=${`${id}-radius`} value=${value("radius") || String(RADIUS)} onChange=${changed("radius")}>
        ${radii(value("radius")).map((km) => html`<option value=${String(km)} key=${km}>Within ${km} km</option>`)}</select></div>`}`;
}

/** @param {JobFacets["bands"][number]} band */
function bandText({ min_amount, below_amount, currency }) {
  if (!below_amount) return `${display(min_amount, currency)} and more`;
  return min_amount ? displayRange(min_amount, below_amount, currency) : `below ${display(below_amount, currency)}`;
}

/** The usual distances, and the one of the address. @param {string} given */
function radii(given) {
  const other = Math.min(1_000, Number(given));
  return other > 0 && !RADII.includes(other) ? [...RADII, other].sort((a, b) => a - b) : RADII;
}
