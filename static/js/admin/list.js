// A list of the back office, with its filters in the address.

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { refuse } from "../shared/toasts.js";
import { onReturn } from "../shared/use.js";
import { LISTS } from "./lists.js";
import { readAssignments } from "./work.js";

const PAGE = 50;
const TYPED_MS = 400; // after the last key

/** @param {{list: string}} props */
export function List({ list: name }) {
  const list = LISTS[name];
  if (!list) return html`<${View} title="There is no such list" />`;
  return html`<${Rows} list=${list} key=${name} />`;
}

/** @param {{list: import("./lists.js").List}} props */
function Rows({ list }) {
  const { query } = place.value;
  const text = query.toString();
  const rows = useMemo(() => signal(/** @type {any[] | null} */ (null)), []);
  const cursor = useMemo(() => signal(/** @type {string | null} */ (null)), []);
  const turn = useRef(0);
  const fields = Object.fromEntries(list.filters.map(({ name }) => [name, query.get(name)]).filter(([, value]) => value));
  const load = async (/** @type {string | null} */ from = null) => {
    const asked = (turn.current += 1);
    try {
      const page = await list.read({ ...fields, limit: PAGE, ...(from && { cursor: from }) });
      if (asked !== turn.current) return; // another filter was chosen meanwhile
      rows.value = from ? [...(rows.peek() ?? []), ...page.items] : page.items;
      cursor.value = page.next_cursor;
      if (list.assigned) readAssignments(page.items.map(({ id }) => id));
    } catch (refused) {
      rows.value ??= [];
      refuse(refused);
    }
  };
  useEffect(() => {
    load();
    const stops = [...(list.follow?.(() => load()) ?? []), onReturn(() => load())];
    return () => stops.forEach((stop) => stop());
  }, [text]);
  const again = () => load();
  const all = rows.value;
  return html`<${View} title=${list.title} kind="wide" actions=${html`${list.actions?.(again)}<button class="button" type="button" onClick=${() => load()}>
      <${Icon} name="refresh-cw" />Read again</button>`}>
    ${list.head && html`<${list.head} />`}
    ${list.filters.length > 0 && html`<${Filters} filters=${list.filters} query=${query} />`}
    ${!all ? html`<${Skeleton} lines=${8} />` : !all.length ? html`<${Empty} icon="inbox" title="Nothing here" />`
      : html`<div class="card flush table" tabindex="0" role="region" aria-label=${list.title}><table>
        <thead><tr>${list.columns.map(([heading]) => html`<th key=${heading} scope="col">${heading}</th>`)}</tr></thead>
        <tbody>${all.map((row) => html`<tr key=${row.id}>${list.columns.map(([heading, content]) => html`<td key=${heading} data-label=${heading}><div class="cell">${content(row, again)}</div></td>`)}</tr>`)}</tbody>
      </table></div>`}
    ${cursor.value && html`<p><button class="button" type="button" onClick=${() => load(cursor.value)}>Show more</button></p>`}
  </${View}>`;
}

/** @param {{filters: import("./lists.js").Filter[], query: URLSearchParams}} props */
function Filters({ filters, query }) {
  const field = (/** @type {import("./lists.js").Filter} */ filter) => html`<${FilterField} key=${filter.name} ...${filter} value=${query.get(filter.name) ?? ""} />`;
  const rare = filters.filter(({ more }) => more);
  return html`<form role="search" class="all-filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <div class="filters">${filters.filter(({ more }) => !more).map(field)}</div>
    ${rare.length > 0 && html`<details open=${rare.some(({ name }) => query.get(name))}><summary class="small">More filters</summary><div class="filters">${rare.map(field)}</div></details>`}
  </form>`;
}

let typing = 0;

/** @param {import("./lists.js").Filter & {value: string}} props */
function FilterField({ name, label, choices, type, value }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const shown = useRef(value);
  useEffect(() => {
    if (shown.current === value) return;
    shown.current = value;
    // A link to the same list changes it; what one types stays.
    if (input.current && document.activeElement !== input.current) input.current.value = value;
  }, [value]);
  const set = (/** @type {Event} */ event) => setQuery({ [name]: /** @type {HTMLInputElement} */ (event.target).value.trim() });
  const later = (/** @type {Event} */ event) => {
    clearTimeout(typing);
    typing = window.setTimeout(set, TYPED_MS, event);
  };
  const id = `filter-${name}`;
  return html`<div class="field"><label for=${id}>${label}</label>${choices
    ? html`<select class="input" id=${id} value=${value} onChange=${set}><option value="">All</option>
        ${choices.map((choice) => html`<option key=${choice} value=${choice}>${choice.replaceAll("_", " ")}</option>`)}</select>`
    : html`<input class="input" id=${id} type=${type ?? "search"} ref=${input} defaultValue=${value} onInput=${later} />`}</div>`;
}
