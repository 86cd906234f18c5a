// The figures over time that the monitor shows: read for a span, and kept up to date by pushes.

import { signal } from "@preact/signals";
import { server } from "../shared/server.js";
import { FACTS, MEASURED, SPANS, merged, secondsOf } from "./figures.js";

/** @typedef {import("./figures.js").Figures} Figures */

/** The figures that are shown. @type {import("@preact/signals").Signal<Figures | null>} */
export const figures = signal(null);
/** @type {import("@preact/signals").Signal<any>} */
export const problem = signal(null);
let readAt = 0;

/** @param {string} span */
export async function load(span) {
  const { seconds: length, points } = SPANS[span];
  const end = Date.now();
  readAt = end;
  const asked = { start: new Date(end - length * 1_000).toISOString(), end: new Date(end).toISOString(), points };
  try {
    const found = await Promise.all([FACTS, MEASURED].map((names) => server.admin.series({ ...asked, names: [...names] })));
    const [{ start, step_seconds: step, values: facts }, { values }] = found;
    const count = Math.max(...Object.values(facts).map((list) => list.length));
    if (readAt === end) figures.value = { span, start: secondsOf(start), step, values: { ...facts, ...values }, count };
    problem.value = null;
  } catch (refused) {
    problem.value = refused;
  }
}

/** Read again what a push of minutes does not tell: a point of a longer span. */
export function loadWhenDue() {
  const { value } = figures;
  if (value && Date.now() - readAt > Math.min(value.step, 900) * 1_000) load(value.span);
}

/** @param {{step_seconds: number, buckets: {at: string, values: Record<string, number>}[]}} push */
export function follow({ step_seconds, buckets }) {
  const { value } = figures;
  if (value?.step === step_seconds && buckets.length) figures.value = merged(value, buckets);
  else loadWhenDue();
}
