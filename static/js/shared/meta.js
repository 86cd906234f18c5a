// What this server enforces: currencies, fees, limits, countries. Read once, when first wanted.

import { signal } from "@preact/signals";
import { server } from "./server.js";

/** @type {import("@preact/signals").Signal<any>} */
const known = signal(null);
let reading = false;

/** `GET /api/meta`; null until it is there. */
export function useMeta() {
  if (!known.value && !reading) {
    reading = true;
    server.meta().then((meta) => (known.value = meta), () => (reading = false));
  }
  return known.value;
}

/** The same outside of a view. @returns {Promise<any>} */
export async function readMeta() {
  return known.peek() ?? (known.value = await server.meta());
}

/**
 * The least amount and the step of a currency, in minor units.
 *
 * @param {any} meta
 * @param {string} currency
 * @returns {{minimum: number, step: number, minimum_withdrawal: number}}
 */
export function limitsOf(meta, currency) {
  const found = meta?.money.currencies.find((/** @type {any} */ each) => each.code === currency);
  return found ?? { minimum: 1, step: 1, minimum_withdrawal: 0 };
}
