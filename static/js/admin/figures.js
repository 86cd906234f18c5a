// Figures over time: which ones are shown, how pushes go into them, and the charts made of them.

import { display, exponent } from "../shared/money.js";

/**
 * @typedef {object} Figures of a span: the values of each figure, `null` where it was not measured
 * @property {string} span
 * @property {number} start in seconds, as all times here
 * @property {number} step
 * @property {Record<string, (number | null)[]>} values
 * @property {number} count how many values each has
 *
 * @typedef {import("./charts.js").Chart} Chart
 * @typedef {(number | null)[]} List
 */

const HOUR = 3_600;

/** @type {Record<string, {label: string, seconds: number, points: number, words: string}>} */
export const SPANS = {
  hour: { label: "Hour", seconds: HOUR, points: 60, words: "in the last hour" },
  day: { label: "Day", seconds: 24 * HOUR, points: 300, words: "in the last 24 hours" },
  month: { label: "Month", seconds: 30 * 24 * HOUR, points: 250, words: "in the last 30 days" },
};

/** What has happened: where nothing is stored, nothing happened. */
export const FACTS = /** @type {const} */ ([
  "payments_captured", "payments_failed", "captured", "refunded", "commission", "paid_out", "capture_seconds", "capture_seconds_max",
  "transfers_arrived", "arrival_seconds", "arrival_seconds_max", "payouts_paid", "payout_seconds", "payout_seconds_max",
]);
/** What was measured or counted. */
export const MEASURED = /** @type {const} */ ([
  "wallets", "debt", "escrow", "commands", "refused", "messages", "deliveries", "stripe_calls", "stripe_errors", "stripe_seconds", "stripe_p95",
  "loop_stalls", "sockets", "processes", "queue", "queue_age", "outbox", "dead_letters",
]);

/** @param {string} at */
export const secondsOf = (at) => Math.floor(Date.parse(at) / 1_000);

/**
 * The figures with the minutes of a push: those known are replaced, new ones move the span.
 *
 * @param {Figures} known of an hour, by minute
 * @param {{at: string, values: Record<string, number>}[]} buckets
 * @returns {Figures}
 */
export function merged(known, buckets) {
  const { step } = known;
  const most = SPANS[known.span].points;
  const last = Math.max(known.start + (known.count - 1) * step, ...buckets.map(({ at }) => secondsOf(at)));
  const count = Math.max(known.count, Math.min(most, (last - known.start) / step + 1));
  const start = last - (count - 1) * step;
  const moved = (start - known.start) / step;
  const names = new Set([...Object.keys(known.values), ...buckets.flatMap(({ values }) => Object.keys(values))]);
  const pushed = new Map(buckets.map(({ at, values }) => [secondsOf(at), values]));
  /** @type {Figures["values"]} */
  const values = {};
  for (const name of names) {
    const fact = isFact(name);
    if (!fact && !isMeasured(name)) continue;
    values[name] = Array.from({ length: count }, (_, place) => {
      const told = pushed.get(start + place * step);
      const before = known.values[name]?.[place + moved];
      return told ? (told[name] ?? (fact ? 0 : before ?? null)) : (before ?? (fact ? 0 : null));
    });
  }
  return { ...known, start, count, values };
}

const seriesOf = (/** @type {string} */ name) => /** @type {any} */ (name.split(":", 1)[0]);
const isFact = (/** @type {string} */ name) => FACTS.includes(seriesOf(name));
const isMeasured = (/** @type {string} */ name) => MEASURED.includes(seriesOf(name));

/** The times of the values. @param {Figures} of */
export const timesOf = ({ start, step, count }) => Array.from({ length: count }, (_, place) => start + place * step);

// -- sums ----------------------------------------------------------------------------------------

const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const axisNumber = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });

export const sum = (/** @type {List} */ list) => list.reduce((/** @type {number} */ all, value) => all + (value ?? 0), 0);
const last = (/** @type {List} */ list) => list.findLast((value) => value !== null) ?? null;
const text = (/** @type {number} */ value) => number.format(value);
const shortNumber = (/** @type {number} */ value) => axisNumber.format(value);
const share = (/** @type {number} */ value) => percent.format(value);

/** Each value divided by that of another list; null where there is nothing to divide by. @param {List} list @param {List} by */
export const ratio = (list, by) => list.map((value, place) => (value !== null && by[place] ? value / /** @type {number} */ (by[place]) : null));

/** For people: "0.25 s", "45 s", "12 min", "3.5 h", "2.1 days". @param {number} value */
export function duration(value) {
  if (value === 0) return "0 s";
  if (value < 1) return `${Math.round(value * 1_000)} ms`;
  if (value < 90) return `${number.format(value)} s`;
  if (value < 90 * 60) return `${number.format(value / 60)} min`;
  if (value < 48 * HOUR) return `${number.format(value / HOUR)} h`;
  return `${number.format(value / 24 / HOUR)} days`;
}

/** The currencies that figures exist of, those with most first. @param {Figures} of */
export function currenciesOf({ values }) {
  const sums = new Map();
  for (const [name, list] of Object.entries(values)) {
    const [series, label] = name.split(":");
    if (label && series !== "payments_failed") sums.set(label, (sums.get(label) ?? 0) + sum(list.map((value) => Math.abs(value ?? 0))) / 10 ** exponent(label));
  }
  return [...sums].sort(([, one], [, other]) => other - one).map(([currency]) => currency);
}

/** Why payments failed, the most common reason first. @param {Figures} of @returns {[string, number][]} */
export function reasonsOf({ values }) {
  const found = Object.entries(values).filter(([name]) => name.startsWith("payments_failed:"));
  const counts = found.map(([name, list]) => /** @type {[string, number]} */ ([name.slice("payments_failed:".length), sum(list)]));
  return counts.filter(([, count]) => count > 0).sort(([, one], [, other]) => other - one);
}

// -- charts --------------------------------------------------------------------------------------

/** @param {Figures} of @param {string} currency @returns {{title: string, charts: Chart[]}[]} */
export function chartsOf(of, currency) {
  const { count, step, span } = of;
  const nothing = /** @type {List} */ (new Array(count).fill(null));
  const get = (/** @type {string} */ name) => of.values[name] ?? nothing;
  const inMoney = (/** @type {string} */ name) => of.values[`${name}:${currency}`] ?? get(name);
  const labelled = Object.keys(of.values).filter((name) => name.startsWith("payments_failed:")).map(get);
  const failed = labelled.length ? nothing.map((_, place) => sum(labelled.map((list) => list[place]))) : get("payments_failed");
  const { words } = SPANS[span];
  const money = (/** @type {number} */ amount) => display(Math.round(amount), currency);
  const short = (/** @type {number} */ amount) => compact.format(amount / 10 ** exponent(currency));

  /** @param {string} title @param {string[]} names @param {string[]} labels @returns {Chart} */
  const amounts = (title, names, labels = names) => ({
    title: `${title}, ${currency}`, kind: "bars", format: money, axis: short, top: 10 ** exponent(currency),
    now: `${names.map((name, at) => (names.length > 1 ? `${labels[at]} ` : "") + money(sum(inMoney(name)))).join(", ")} ${words}`,
    lines: names.map((name, at) => ({ label: labels[at], values: inMoney(name) })),
  });
  /** @param {string} title @param {string} name @param {string} counted @returns {Chart} */
  const times = (title, name, counted) => {
    const all = sum(get(counted));
    return {
      title, joined: true, format: duration, now: all ? `${duration(sum(get(name)) / all)} on average` : `None ${words}`,
      lines: [{ label: "Average", values: ratio(get(name), get(counted)) }, { label: "Longest", values: get(`${name}_max`).map((value) => value || null), dashed: true }],
    };
  };
  /** @param {string} title @param {[string, string][]} names @returns {Chart} */
  const speeds = (title, names) => {
    const lines = names.map(([name, label]) => ({ label, values: get(name).map((value) => (value === null ? null : value / step)) }));
    const now = lines.map(({ label, values }) => `${text(last(values.slice(0, -1)) ?? 0)}${lines.length > 1 ? ` ${label.toLowerCase()}` : ""}`).join(", ");
    return { title, format: text, axis: shortNumber, now: `${now} a second`, lines };
  };
  /** @param {string} title @param {[string, string][]} names @param {(value: number) => string} [format] @returns {Chart} */
  const states = (title, names, format = text) => ({
    title, format, joined: format === money, axis: format === money ? short : format === text ? shortNumber : format, whole: format === text,
    now: names.map(([name, label]) => { const value = last(get(name)); return `${value === null ? "not known" : format(value)}${names.length > 1 ? ` ${label.toLowerCase()}` : ""}`; }).join(", "),
    lines: names.map(([name, label]) => ({ label, values: get(name) })),
  });
  const captured = get("payments_captured");
  const attempts = captured.map((value, place) => (value ?? 0) + (failed[place] ?? 0));
  const all = sum(attempts);
  return [
    { title: "Money", charts: [
      { title: "Payments", kind: "bars", whole: true, format: text, axis: shortNumber, now: `${text(sum(captured))} captured, ${text(sum(failed))} failed ${words}`, lines: [{ label: "Captured", values: captured }, { label: "Failed", values: failed, bad: true }] },
      { title: "Payments that succeed", joined: true, format: share, now: all ? `${share(sum(captured) / all)} ${words}` : `None ${words}`, lines: [{ label: "Succeed", values: ratio(captured, attempts) }] },
      amounts("Gross volume", ["captured"], ["Captured"]), amounts("Commission", ["commission"], ["Commission"]),
      amounts("Refunded and paid out", ["refunded", "paid_out"], ["Refunded", "Paid out"]),
      states(`Wallets and escrow, ${currency}`, [[`wallets:${currency}`, "In wallets"], [`escrow:${currency}`, "In escrow"], ...(of.values[`debt:${currency}`] ? [/** @type {[string, string]} */ ([`debt:${currency}`, "Owed"])] : [])], money),
      times("From offer to capture", "capture_seconds", "payments_captured"), times("From offer to the wallet", "arrival_seconds", "transfers_arrived"),
      times("From withdrawal to the bank", "payout_seconds", "payouts_paid"),
    ] },
    { title: "Servers", charts: [
      states("Connections", [["sockets", "Connections"]]), speeds("Messages and pushes", [["messages", "Messages"], ["deliveries", "Pushes"]]),
      speeds("Commands", [["commands", "Commands"], ["refused", "Refused"]]), states("Queue", [["queue", "Due"], ["outbox", "In the outbox"]]),
      states("Age of the queue", [["queue_age", "Oldest"]], duration), states("Dead letters", [["dead_letters", "Dead letters"]]),
      { title: "Stripe's speed", joined: true, format: duration, now: stripeWords(get), lines: [{ label: "Average", values: ratio(get("stripe_seconds"), get("stripe_calls")) }, { label: "95 % within", values: get("stripe_p95"), dashed: true }] },
      { title: "Requests to Stripe", kind: "bars", whole: true, format: text, axis: shortNumber, now: `${text(sum(get("stripe_calls")))}, ${text(sum(get("stripe_errors")))} without success ${words}`, lines: [{ label: "Requests", values: get("stripe_calls") }, { label: "Without success", values: get("stripe_errors"), bad: true }] },
      { title: "Stalls of event loops", kind: "bars", whole: true, format: text, axis: shortNumber, now: `${text(sum(get("loop_stalls")))} ${words}`, lines: [{ label: "Stalls", values: get("loop_stalls"), bad: true }] },
    ] },
  ];
}

/** @param {(name: string) => List} get */
function stripeWords(get) {
  const calls = sum(get("stripe_calls"));
  return calls ? `${duration(sum(get("stripe_seconds")) / calls)} on average` : "No request";
}
