// The saved ways to pay of the person who is signed in.

import { signal } from "@preact/signals";
import { server } from "../shared/server.js";

/** @typedef {import("../../client/jobsphere.js").SavedMethod} SavedMethod */

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
