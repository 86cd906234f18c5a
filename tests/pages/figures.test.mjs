// The figures of the monitor: minutes that are pushed, sums in words, and what charts are made of.

import assert from "node:assert/strict";
import { test } from "node:test";
import { chartsOf, currenciesOf, duration, merged, reasonsOf, timesOf } from "../../static/js/admin/figures.js";
import { display, displayRange } from "../../static/js/shared/amounts.js";

const START = Date.parse("2026-03-01T12:00:00Z") / 1_000;
const at = (place) => new Date((START + 60 * place) * 1_000).toISOString();

function hour(values, count = 60) {
  return { span: "hour", start: START, step: 60, count, values };
}

const list = (...last) => [...new Array(60 - last.length).fill(0), ...last];

test("a minute that is pushed replaces the same one, and a new one moves the hour", () => {
  const known = hour({ "captured:USD": list(5, 7), sockets: list(2, 3) });
  const found = merged(known, [
    { at: at(59), values: { "captured:USD": 9, sockets: 4 } },
    { at: at(60), values: { sockets: 6, "payments_failed:expired_card": 1, unknown: 1 } },
  ]);
  assert.equal(found.start, START + 60);
  assert.equal(found.count, 60);
  assert.deepEqual(found.values["captured:USD"].slice(-3), [5, 9, 0]);
  assert.deepEqual(found.values.sockets.slice(-2), [4, 6]);
  assert.deepEqual(found.values["payments_failed:expired_card"], list(1));
  assert.ok(!("unknown" in found.values));
  assert.equal(timesOf(found).at(-1), START + 60 * 60);
});

test("what was missed is not known of what is measured, and zero of what happened", () => {
  const { values } = merged(hour({ captured: list(), sockets: list(3) }), [{ at: at(62), values: { sockets: 5 } }]);
  assert.deepEqual(values.sockets.slice(-4), [3, null, null, 5]);
  assert.deepEqual(values.captured.slice(-3), [0, 0, 0]);
});

test("charts sum up what they show", () => {
  const of = hour({
    payments_captured: list(3), "captured:USD": list(300_000), "captured:JPY": list(500),
    "payments_failed:expired_card": list(1, 0), "payments_failed:generic_decline": list(1, 1),
    capture_seconds: list(90), messages: list(120, 60, 1), "escrow:USD": list(1_000, null),
  });
  assert.deepEqual(currenciesOf(of), ["USD", "JPY"]);
  assert.deepEqual(reasonsOf(of), [["generic_decline", 2], ["expired_card", 1]]);
  const shown = (title, currency = "USD") => chartsOf(of, currency).flatMap(({ charts }) => charts).find((chart) => chart.title.startsWith(title));
  assert.equal(shown("Payments").now, "3 captured, 3 failed in the last hour");
  assert.deepEqual(shown("Payments").lines[1].values.slice(-2), [2, 1]);
  assert.match(shown("Payments that").now, /^50\s?% in the last hour$/);
  assert.equal(shown("Gross volume").now, "3,000.00 USD in the last hour");
  assert.equal(shown("Gross volume", "JPY").now, "500 JPY in the last hour");
  assert.equal(shown("From offer to capture").now, "30 s on average");
  assert.equal(shown("From offer to the wallet").now, "None in the last hour");
  assert.equal(shown("Messages").now, "1 messages, 0 pushes a second");
  assert.ok(shown("Wallets").now.endsWith("10.00 USD in escrow"));
});

test("durations are told in the unit that fits", () => {
  const told = [0, 0.25, 45, 600, 7_200, 300_000].map(duration);
  assert.deepEqual(told, ["0 s", "250 ms", "45 s", "10 min", "2 h", "3.5 days"]);
});

test("both ends of a range are grouped, and equal ends are one amount", () => {
  assert.equal(display(-123_456_789, "USD"), "-1,234,567.89 USD");
  assert.equal(displayRange(100_000, 250_000, "USD"), "1,000.00 to 2,500.00 USD");
  assert.equal(displayRange(1_000, 25_000, "JPY"), "1,000 to 25,000 JPY");
  assert.equal(displayRange(1_500, 1_500, "KWD"), "1.500 KWD");
});
