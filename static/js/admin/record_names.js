// What records are called whose ids a view shows: asked for together, and once.

import { signal } from "@preact/signals";
import { server } from "../shared/server.js";

/** @typedef {import("../../client/jobsphere.js").RecordLine} RecordLine */

const AGAIN_MS = 10_000;
const MOST = 100; // in one question
const NAMED = new Set(["usr", "job", "ofr", "pay", "dsp", "cbk", "trf", "wdr", "txn", "rep", "evt"]);

/** @type {Map<string, import("@preact/signals").Signal<RecordLine | null | undefined>>} */
const known = new Map();
/** @type {Set<string>} */
let wanted = new Set();

/** The line of a record; undefined until it is known, null for what has none. @param {string} id */
export function lineOf(id) {
  let line = known.get(id);
  if (!line) {
    const named = NAMED.has(id.split("_")[0]);
    known.set(id, (line = signal(/** @type {RecordLine | null | undefined} */ (named ? undefined : null))));
    if (named) want(id);
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
      for (const item of items) put(item.id, item);
    } catch {
      for (const id of ids.slice(at, at + MOST)) setTimeout(() => known.delete(id), AGAIN_MS);
    }
    for (const id of ids.slice(at, at + MOST)) put(id, known.get(id)?.peek() ?? null); // its id is shown
  }
}

/** @param {string} id @param {RecordLine | null} line */
function put(id, line) {
  const place = known.get(id);
  if (place) place.value = line;
}

server.on("end", () => known.clear());
