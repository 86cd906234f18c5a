// What records are called whose ids a view shows: asked for together, and once.

import { signal } from "@preact/signals";
import { server } from "../shared/server.js";

/** @typedef {import("../../client/jobsphere.js").RecordLine} RecordLine */

const MOST = 100; // in one question
const NAMED = new Set(["usr", "job", "ofr", "pay", "dsp", "cbk", "trf", "wdr", "txn", "rep", "evt"]);

/** @type {Map<string, import("@preact/signals").Signal<RecordLine | null>>} */
const known = new Map();
/** @type {Set<string>} */
let wanted = new Set();

/** The line of a record; null until it is known, and for what has none. @param {string} id */
export function lineOf(id) {
  let line = known.get(id);
  if (!line) {
    known.set(id, (line = signal(/** @type {RecordLine | null} */ (null))));
    if (NAMED.has(id.split("_")[0])) want(id);
  }
  return line.value;
}

/** @param {string} id */
function want(id) {
  if (!wanted.size) setTimeout(ask, 0);
  wanted.add(id);
}

async function ask() {
  const ids = [...wanted];
  wanted = new Set();
  for (let at = 0; at < ids.length; at += MOST) {
    try {
      const { items } = await server.admin.names({ ids: ids.slice(at, at + MOST) });
      for (const item of items) /** @type {any} */ (known.get(item.id)).value = item;
    } catch {
      for (const id of ids.slice(at, at + MOST)) known.delete(id); // its id is shown
    }
  }
}

server.on("end", () => known.clear());
