// A list of what happened: pages backwards, and pushes in front.

import { signal } from "@preact/signals";

/** @typedef {import("../../client/jobsphere.js").ActivityItem} Item */

export const PUSHED = 500; // lines that pushes add before the list starts over

/** @type {(one: Item, other: Item) => number} newest first */
const order = (one, other) => (one.at < other.at || (one.at === other.at && one.id < other.id) ? 1 : -1);

/**
 * Its lines follow each other without a gap: what pages have brought stays, and of pushes there are
 * at most `PUSHED`. After these the newest page is read again, unless someone reads older pages:
 * then what comes is counted in `waiting`.
 *
 * @param {(cursor: string | null) => Promise<{items: Item[], next_cursor: string | null}>} read
 */
export function activityList(read) {
  const items = signal(/** @type {Item[] | null} */ (null));
  const problem = signal(/** @type {any} */ (null));
  const cursor = signal(/** @type {string | null} */ (null));
  const waiting = signal(0);
  let turn = 0; // of the question whose answer counts
  let older = false; // whether it has more than the newest page
  /** @type {Item[]} since the newest page was asked for */
  let pushed = [];
  /** @param {Item[]} all */
  const show = (all) => (items.value = [...new Map(all.map((each) => [each.id, each])).values()].sort(order));
  const load = async (/** @type {string | null} */ from = null) => {
    const asked = (turn += 1);
    if (!from) pushed = [];
    try {
      const page = await read(from);
      if (asked !== turn) return; // else an older page could follow another first one
      show([...((from ? items.peek() : pushed) ?? []), ...page.items]);
      if (!from) waiting.value = 0;
      older = from !== null;
      cursor.value = page.next_cursor;
      problem.value = null;
    } catch (refused) {
      problem.value = refused;
    }
  };
  /** @param {Item} item */
  const push = (item) => {
    if (pushed.length < PUSHED) {
      pushed.push(item);
      show([...(items.peek() ?? []), item]);
    } else if (older) waiting.value += 1;
    else load();
  };
  return { items, problem, cursor, waiting, load, push };
}
