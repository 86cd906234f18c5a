// The activity of the market: pages backwards and pushes in front, without a gap and within bounds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PUSHED, activityList } from "../../static/js/admin/activity_list.js";

const PAGE = 50;
const line = (number) => ({ id: `act_${String(number).padStart(6, "0")}`, at: new Date(number * 1_000).toISOString() });

/** A server with `count` lines, which gives them newest first; its cursor is the last one's number. */
function market(count) {
  const asked = [];
  const known = { count, asked };
  known.list = activityList(async (cursor) => {
    asked.push(cursor);
    const top = cursor === null ? known.count : Number(cursor);
    const items = Array.from({ length: Math.min(PAGE, top) }, (_, at) => line(top - at));
    const bottom = top - items.length;
    return { items, next_cursor: bottom ? String(bottom) : null };
  });
  known.happen = (times) => {
    for (let each = 0; each < times; each += 1) known.list.push(line((known.count += 1)));
  };
  return known;
}

const withoutGap = ({ list, count }) => assert.deepEqual(list.items.value, Array.from(list.items.value, (_, at) => line(count - at)));

test("older pages stay, however many there are", async () => {
  const all = market(2 * PUSHED);
  await all.list.load();
  while (all.list.cursor.value) await all.list.load(all.list.cursor.value);
  assert.equal(all.list.items.value.length, 2 * PUSHED);
  all.happen(PUSHED);
  assert.equal(all.list.items.value.length, 3 * PUSHED);
  withoutGap(all);
});

test("after many pushes the newest page is read again, with what comes meanwhile", async () => {
  const all = market(120);
  await all.list.load();
  all.happen(PUSHED + 5);
  assert.deepEqual(all.asked, [null, null]);
  await new Promise(setImmediate);
  assert.equal(all.list.items.value.length, PAGE + 4);
  withoutGap(all);
});

test("who reads older pages keeps them, and asks for what is newer", async () => {
  const all = market(120);
  await all.list.load();
  await all.list.load(all.list.cursor.value);
  all.happen(PUSHED + 3);
  assert.equal(all.list.waiting.value, 3);
  assert.equal(all.list.items.value.length, 2 * PAGE + PUSHED);
  assert.equal(all.asked.length, 2);
  await all.list.load();
  assert.equal(all.list.waiting.value, 0);
  assert.equal(all.list.items.value.length, PAGE);
  withoutGap(all);
});
