// Ways to pay: saved cards, and the sandbox's test cards where there is no real Stripe key.

import { signal } from "@preact/signals";
import { server } from "../shared/server.js";

/** @typedef {import("../../client/jobsphere.js").SavedMethod} SavedMethod */

/** What the sandbox knows without a form. */
const TEST_METHODS = [
  { id: "pm_card_visa", label: "Visa •••• 4242" },
  { id: "pm_card_authenticationRequired", label: "Visa with 3-D Secure •••• 3184" },
  { id: "pm_card_chargeDeclined", label: "Declined card •••• 0002" },
];

/** The saved methods; null while they are not read. @type {import("@preact/signals").Signal<SavedMethod[] | null>} */
export const saved = signal(null);

server.on("end", () => (saved.value = null));

export async function readSaved() {
  saved.value = (await server.payment.methods({})).items;
}

/** "Visa •••• 4242, 12/2030". @param {SavedMethod} method */
export function labelOf({ type, brand, last4, exp_month, exp_year }) {
  const name = (brand ?? type).replaceAll("_", " ");
  const until = exp_month && exp_year ? `, ${String(exp_month).padStart(2, "0")}/${exp_year}` : "";
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}${last4 ? ` •••• ${last4}` : ""}${until}`;
}

/** The key for Stripe's form; null in the sandbox, which has none. @param {any} meta @returns {string | null} */
export const stripeKey = (meta) => (meta?.payments.sandbox ? null : meta?.payments.stripe_publishable_key || null);

/** @param {any} meta @returns {{id: string, label: string}[]} */
export const testMethods = (meta) =>
  (meta && !stripeKey(meta) ? meta.payments.test_methods ?? TEST_METHODS : []);
