// Times for people, in their own time zone and language.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** "14:05". @param {string} at */
export const timeOf = (at) => clock.format(new Date(at));

/** The whole of it, for titles. @param {string} at */
export const fullTime = (at) => whole.format(new Date(at));

/** "today", "yesterday", "5 March" or "5 March 2024". @param {string} at */
export function dayOf(at, now = new Date()) {
  const date = new Date(at);
  const days = Math.round((midnight(now) - midnight(date)) / DAY);
  if (days === 0 || days === 1) return relative.format(-days, "day");
  return (date.getFullYear() === now.getFullYear() ? day : dayOfYear).format(date);
}

/** "just now", "5 minutes ago", "14:05" or "5 Mar". @param {string} at */
export function ago(at, now = new Date()) {
  const passed = now.getTime() - new Date(at).getTime();
  if (passed < MINUTE) return "just now";
  if (passed < HOUR) return relative.format(-Math.floor(passed / MINUTE), "minute");
  if (passed < DAY && dayOf(at, now) === dayOf(now.toISOString(), now)) return timeOf(at);
  return short.format(new Date(at));
}

/** What is left until then: "3 days", "5 h 20 min", "4:59". Null when it is over. @param {string} at */
export function left(at, now = Date.now()) {
  const rest = new Date(at).getTime() - now;
  if (rest <= 0) return null;
  if (rest >= 2 * DAY) return `${Math.floor(rest / DAY)} days`;
  if (rest >= HOUR) return `${Math.floor(rest / HOUR)} h ${Math.floor((rest % HOUR) / MINUTE)} min`;
  const seconds = Math.floor(rest / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
