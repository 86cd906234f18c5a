// Times for people.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ago, dayOf, left } from '../../static/js/shared/times.js';

const NOW = new Date(2026, 10, 29, 12, 0, 0);
const before = (milliseconds) => new Date(NOW.getTime() - milliseconds).toISOString();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test('what was a moment ago, minutes ago, today and earlier', () => {
  assert.equal(ago(before(1_000), NOW), 'just now');
  assert.match(ago(before(5 * MINUTE), NOW), /5 min/);
  assert.match(ago(before(3 * HOUR), NOW), /09:00/);
  assert.match(ago(before(20 * HOUR), NOW), /28/); // yesterday evening
});

test('days have names when they are near', () => {
  assert.equal(dayOf(before(0), NOW), 'today');
  assert.equal(dayOf(before(DAY), NOW), 'yesterday');
  assert.doesNotMatch(dayOf(before(40 * DAY), NOW), /2026/);
  assert.match(dayOf(before(400 * DAY), NOW), /2025/);
});

test('what is left of a deadline', () => {
  const until = (milliseconds) => left(new Date(NOW.getTime() + milliseconds).toISOString(), NOW.getTime());
  assert.equal(until(3 * DAY), '3 days');
  assert.equal(until(5 * HOUR + 20 * MINUTE), '5 h 20 min');
  assert.equal(until(4 * MINUTE + 59_000), '4:59');
  assert.equal(until(0), null);
  assert.equal(until(-DAY), null);
});
