// Hooks for views: a record that is read when the view opens, a list, the time as it passes.

import { signal, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { live, server } from "./server.js";

/**
 * A record, read again when the view opens and when pushes were missed. `record` is null and
 * `problem` a Refusal if it cannot be read.
 *
 * @param {import("./records.js").Records} records
 * @param {string | null | undefined} id nothing is read without one
 * @param {(id: string) => Promise<any>} read
 */
export function useRecord(records, id, read) {
  const problem = useSignal(/** @type {any} */ (null));
  useEffect(() => {
    if (!id) return undefined;
    let here = true;
    const load = async () => {
      try {
        records.put(await read(id));
        if (here) problem.value = null;
      } catch (refused) {
        if (here) problem.value = refused;
      }
    };
    load();
    const stop = server.on("reload", load);
    return () => {
      here = false;
      stop();
    };
  }, [id]);
  return { record: id ? records.of(id).value : null, problem: problem.value };
}

/**
 * A list of records that follows pushes; it is read again when one of `inputs` changes. Pushes that
 * are not numbered are missed while the connection is lost, so it is read again after that, too.
 *
 * @param {import("./records.js").Records} records
 * @param {import("./records.js").ListOptions} options
 * @param {any[]} inputs
 */
export function useList(records, options, inputs) {
  const list = useMemo(() => records.list(options), inputs);
  useEffect(() => {
    list.load();
    const stops = [server.on("reload", () => list.load()), onReturn(() => list.load())];
    return () => {
      for (const stop of stops) stop();
      records.drop(list);
    };
  }, [list]);
  return list;
}

/** A list that is ready: the earlier one stays until a new one is. @param {import("./records.js").RecordList} list */
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

const now = signal(Date.now());
let watching = 0;
let timer = 0;

/** The time in milliseconds; the component is drawn again each second. */
export function useNow() {
  useEffect(() => {
    watching += 1;
    if (watching === 1) timer = window.setInterval(() => (now.value = Date.now()), 1_000);
    now.value = Date.now();
    return () => {
      watching -= 1;
      if (!watching) clearInterval(timer);
    };
  }, []);
  return now.value;
}
