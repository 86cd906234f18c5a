// Saved searches: what fits them is pushed as it is posted, and found here.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { shorten } from "../shared/characters.js";
import { DialogHeader, confirm, open } from "../shared/dialog.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { ListEnd } from "../shared/listing.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { server, write } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { useList } from "../shared/use.js";
import { conditions, fits, queryOf } from "./jobs_filters.js";
import { JobRow, loadOwnApplications } from "./jobs_pieces.js";
import { loadCities, nameOf } from "./places.js";
import { jobs, matched } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").SeenSearch} SavedSearch */

const SHOWN = 3;
const MAX_NAME = 80;

/** Null until they are read. @type {import("@preact/signals").Signal<SavedSearch[] | null>} */
export const searches = signal(null);
let owner = "";

/** Read them again. */
export async function loadSearches() {
  const user = server.user?.id ?? "";
  if (owner !== user) searches.value = null;
  owner = user;
  try {
    searches.value = (await server.job.searches({})).items;
  } catch (refused) {
    if (server.user) refuse(refused);
  }
}

/** @param {Omit<SavedSearch, "new_count">} saved */
function keep(saved) {
  const before = (searches.value ?? []).find(({ id }) => id === saved.id);
  const others = (searches.value ?? []).filter(({ id }) => id !== saved.id);
  searches.value = [{ new_count: before?.new_count ?? 0, ...saved }, ...others].sort((one, other) => (one.id < other.id ? 1 : -1));
}

/** What a search is about, in words. @param {any} filters @param {string} [place] */
export function wordsOf(filters, place) {
  const text = conditions(filters, place || (filters.near && nameOf(filters.near)) || "")
    .map((each) => each.text).join(", ");
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** Give a saved search other conditions. @param {SavedSearch} saved @param {any} filters */
export async function changeTo({ id, name }, { sort: _, ...filters }) {
  try {
    keep(await write(() => server.job.search_update({ ...filters, search_id: id })));
    say(`“${name}” looks for this from now on.`, { tone: "good", link: "/searches", more: "Saved searches" });
  } catch (refused) {
    refuse(refused);
  }
}

/**
 * Ask for the name of a search and save it, or for another name of one that is saved.
 *
 * @param {any} filters
 * @param {string} [place]
 * @param {SavedSearch | null} [saved]
 */
export function askName(filters, place = "", saved = null) {
  const named = saved?.name ?? "";
  const words = wordsOf(filters, place);
  const Question = (/** @type {{close: (answer?: any) => void}} */ { close }) => {
    const form = useForm(async ({ name }) => {
      const { sort: _, ...conditionsOnly } = filters;
      keep(await write(() => (saved ? server.job.search_update({ search_id: saved.id, name })
        : server.job.search_save({ ...conditionsOnly, name }))));
      close(true);
      if (!named) say("Saved. What fits it comes to you as it is posted.", { tone: "good", link: "/searches", more: "Saved searches" });
    });
    return html`<form onSubmit=${form.submit}>
      <${DialogHeader} title=${named ? "Rename this search" : "Save this search"} close=${close} />
      <div class="body"><p class="soft">${words}</p>
        <${Field} form=${form} name="name" label="Name" required maxlength=${MAX_NAME} autofocus
          value=${shorten((named || words).replaceAll(/[“”]/g, ""), MAX_NAME)} /></div>
      <footer><button type="button" class="button" onClick=${() => close()}>Cancel</button>
        <${Submit} form=${form}>${named ? "Rename" : "Save"}</${Submit}></footer>
    </form>`;
  };
  return open(Question);
}

/** @param {SavedSearch} saved */
async function remove({ id, name }) {
  const yes = await confirm({
    title: "Delete this search?", yes: "Delete", danger: true,
    body: html`<p>Nothing comes to you for <strong>${name}</strong> any more.</p>`,
  });
  if (!yes) return;
  try {
    await write(() => server.job.search_unsave({ search_id: id }));
    searches.value = (searches.value ?? []).filter((each) => each.id !== id);
  } catch (refused) {
    refuse(refused);
  }
}

export function Searches() {
  useEffect(() => {
    loadSearches();
    loadOwnApplications();
    loadCities();
  }, []);
  useEffect(() => server.job.on("job.matched", () => loadSearches()), []);
  useEffect(() => markSeen, []); // they were seen here
  const all = searches.value;
  const actions = html`<a class="button" href="/jobs"><${Icon} name="search" />New search</a>`;
  return html`<${View} title="Saved searches" back=${{ href: "/jobs", label: "Find work" }} actions=${actions}>
    ${!all && html`<${Skeleton} lines=${8} />`}
    ${all?.length === 0 && html`<${Empty} icon="bookmark" title="No saved searches">
      <p>Search for work, then save the search: what fits it comes to you as it is posted.</p>
      <a class="button primary" href="/jobs">Find work</a></${Empty}>`}
    ${all && all.length > 0 && html`<div class="stack">${all.map((saved) => html`<${Saved} key=${saved.id} saved=${saved} />`)}</div>`}
  </${View}>`;
}

/** What came for the searches was looked at. */
function markSeen() {
  matched.value = new Map();
  for (const { id, new_count } of searches.value ?? []) {
    if (new_count > 0) server.job.search_seen({ search_id: id }).catch(() => {}); // it stays new
  }
}

/** @param {{saved: SavedSearch}} props */
function Saved({ saved }) {
  const { id, name, filters, new_count: came, seen_at, created_at } = saved;
  const since = seen_at ?? created_at;
  const place = filters.near ? nameOf(filters.near) : "";
  const address = `/jobs?${queryOf(filters, place)}`;
  const fields = Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== null));
  const list = useList(jobs, {
    read: (cursor) => server.job.list({ ...fields, limit: SHOWN, ...(cursor && { cursor }) }),
    fits: (job) => fits(fields, job, list.ids.peek().includes(job.id)),
  }, [JSON.stringify(filters)]);
  const ids = list.ids.value;
  return html`<section class="card flush" aria-label=${name}>
    <header class="job-saved"><div class="grow"><h2><a href=${address}>${name}</a></h2>
      <p class="soft small">${wordsOf(filters, place)}</p></div>
      ${came > 0 && html`<span class="badge mine"><${Icon} name="zap" />${came} new</span>`}
      <div class="row tight">
        <button type="button" class="button small quiet icon-only" title="Rename" onClick=${() => askName(filters, place, saved)}>
          <${Icon} name="pencil" /><span class="visually-hidden">Rename ${name}</span></button>
        <a class="button small quiet icon-only" title="Change what it looks for" href=${`${address}&saved=${id}`}>
          <${Icon} name="sliders-horizontal" /><span class="visually-hidden">Change what ${name} looks for</span></a>
        <button type="button" class="button small quiet icon-only" title="Delete" onClick=${() => remove(saved)}>
          <${Icon} name="trash-2" /><span class="visually-hidden">Delete ${name}</span></button></div></header>
    ${list.state.value !== "ready" && !list.problem.value && html`<div class="job-inset"><${Skeleton} lines=${2} /></div>`}
    <ul class="rows">${ids.slice(0, SHOWN).map((each) => html`
      <${JobRow} key=${each} id=${each} plain from=${filters.near} fresh=${matched.value.has(each) || came > 0 && (jobs.peek(each)?.created_at ?? "") > since} />`)}</ul>
    ${list.state.value === "ready" && html`<p class="job-inset small">${ids.length === 0
      ? html`<span class="soft">Nothing fits right now.</span>`
      : html`<a href=${address}>All that fits</a>`}</p>`}
    ${list.problem.value && html`<div class="job-inset"><${ListEnd} list=${list} /></div>`}
  </section>`;
}
