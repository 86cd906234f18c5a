// Lists of records and single ones: waiting for them, nothing there, more of them, or a refusal.

import { html } from "./html.js";
import { Empty, Skeleton } from "./pieces.js";
import { fullTime, left } from "./times.js";
import { useNow } from "./use.js";

/**
 * @param {{list: import("./records.js").RecordList, row: (record: any) => any, empty: any,
 *   label: string, kind?: string, keep?: (record: any) => boolean}} props `keep` leaves others out
 */
export function Listing({ list, row, empty, label, kind = "rows card flush", keep = () => true }) {
  const { value: ids } = list.ids;
  if (list.problem.value) return html`<${Problem} problem=${list.problem.value} again=${() => list.load()} />`;
  if (list.state.value !== "ready") return html`<div aria-busy="true"><${Skeleton} lines=${4} /></div>`;
  const found = ids.map((id) => list.records.of(id).value).filter((each) => each && keep(each));
  return html`
    ${found.length > 0 && html`<ul class=${kind} aria-label=${label}>${found.map((each) =>
      html`<li key=${each.id}>${row(each)}</li>`)}</ul>`}
    ${!found.length && !list.more.value && empty}
    ${list.more.value && html`<p class="row more"><button class="button" type="button" onClick=${() => list.loadMore()}>Show more</button></p>`}`;
}

/** Why something cannot be shown. @param {{problem: any, again?: () => void}} props */
export function Problem({ problem, again }) {
  const gone = problem.code === "not_found" || problem.code === "forbidden";
  return html`<${Empty} icon=${gone ? "circle-help" : "circle-alert"}
    title=${gone ? "There is nothing here for you" : "This could not be read"}>
    <p>${gone ? "It may have been removed, or it belongs to others." : problem.message}</p>
    ${again && !gone && html`<button class="button" type="button" onClick=${again}>Try again</button>`}
  </${Empty}>`;
}

/** What follows a list: a way to its next page, or why it could not be read. @param {{list: import("./records.js").RecordList}} props */
export function ListEnd({ list }) {
  const problem = list.problem.value;
  if (problem) return html`<${Problem} problem=${problem} again=${() => list.load()} />`;
  if (!list.more.value) return null;
  return html`<p class="row more"><button class="button" type="button" onClick=${() => list.loadMore()}>Show more</button></p>`;
}

/**
 * What is left until a time, counted down.
 *
 * @param {{until: string, over?: string}} props `over` is said when it has passed
 */
export function Countdown({ until, over = "over" }) {
  const now = useNow();
  return html`<time datetime=${until} title=${fullTime(until)} class="number">${left(until, now) ?? over}</time>`;
}
