// Pauses, and how long to wait before something is tried again.

const FIRST_MS = 200;
const LONGEST_MS = 5_000;

export const LONGEST_TIMER_MS = 2 ** 31 - 1; // a longer one would be over at once

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Resolves when `waited` does, or after as many milliseconds; a timer may be one of them early. */
export async function within(waited, milliseconds) {
  if (milliseconds > LONGEST_TIMER_MS) return waited;
  let timer;
  const late = new Promise((done) => (timer = setTimeout(done, milliseconds + 1)));
  return Promise.race([waited, late]).finally(() => clearTimeout(timer));
}

/** Twice as long each time, and spread, so that many clients do not come back at once. */
export function backoff(attempt) {
  const most = Math.min(FIRST_MS * 2 ** (attempt - 1), LONGEST_MS);
  return most * (0.5 + Math.random() / 2);
}

/** An id that nobody else uses. */
export function unique() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
