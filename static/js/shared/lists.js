// A list of records in a view: read when it is shown, and again after the connection was lost.

import { useEffect, useMemo, useRef } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { live } from "./server.js";

/**
 * A list for as long as the view shows it; another one when `key` changes. Pushes that are not
 * numbered are missed while the connection is lost, so it is read again after that.
 *
 * @param {import("./records.js").Records} records
 * @param {() => import("./records.js").ListOptions} options
 * @param {string} key what the options depend on
 * @returns {import("./records.js").RecordList}
 */
export function useList(records, options, key) {
  const list = useMemo(() => records.list(options()), [records, key]);
  useEffect(() => {
    list.load();
    const stop = onReturn(() => list.load());
    return () => {
      stop();
      records.drop(list);
    };
  }, [list]);
  return list;
}

/** The list that is ready: the earlier one stays until a new one has come. @param {import("./records.js").RecordList} list */
export function useReady(list) {
  const shown = useRef(list);
  if (list.state.value === "ready" || shown.current.state.value !== "ready") shown.current = list;
  return shown.current;
}

/**
 * Call this whenever the connection is back. Returns a function that ends it.
 *
 * @param {() => void} back
 */
export function onReturn(back) {
  let lost = false;
  let before = live.peek();
  return live.subscribe((now) => {
    if (before && !now) lost = true;
    before = now;
    if (!now || !lost) return;
    lost = false;
    back();
  });
}

/** What follows a list: a way to its next page, or why it could not be read. @param {{list: import("./records.js").RecordList}} props */
export function ListEnd({ list }) {
  const problem = list.problem.value;
  if (problem) {
    return html`<div class="note bad" role="alert"><${Icon} name="circle-alert" />
      <p class="grow">${problem.message ?? "This could not be loaded."}</p>
      <button type="button" class="button small" onClick=${() => list.load()}>Try again</button></div>`;
  }
  if (!list.more.value) return null;
  return html`<p class="row"><button type="button" class="button quiet" onClick=${() => list.loadMore()}>
    <${Icon} name="chevron-down" />Show more</button></p>`;
}
