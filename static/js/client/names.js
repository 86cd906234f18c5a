// Who the other side is: records of offers and disputes have its name; older ones have only ids.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { me, server } from "../shared/server.js";
import { conversations, jobs } from "./world.js";

/** Names that were read, by user id. @type {import("@preact/signals").Signal<Map<string, string>>} */
const known = signal(new Map());
const asked = new Set();

/** Those whose names could not be read. @type {import("@preact/signals").Signal<Set<string>>} */
const nameless = signal(new Set());

server.on("end", () => {
  known.value = new Map();
  nameless.value = new Set();
  asked.clear();
});

/** @typedef {{job_id: string, customer_id: string, contractor_id: string, customer_name?: string, contractor_name?: string}} Sides */

/** A name, or null while it is not known. @param {string} id @returns {string | null} */
export function nameOf(id) {
  if (id === me.value?.id && me.value.name) return me.value.name;
  for (const { names } of conversations.value.values()) if (names[id]) return names[id];
  return known.value.get(id) ?? null;
}

/** The other side of something. @param {Sides} sides */
export const otherOf = ({ customer_id, contractor_id }) =>
  (customer_id === me.value?.id ? contractor_id : customer_id);

/** Whether the name of the other side is known, or cannot be. @param {Sides} sides */
export const isNamed = (sides) => nameOf(otherOf(sides)) !== null || nameless.value.has(otherOf(sides));

/** The conversation about it, if there is one. @param {Sides} sides */
export function chatOf(sides) {
  for (const talk of conversations.value.values()) {
    if (talk.job_id === sides.job_id && talk.members.includes(otherOf(sides))) return talk;
  }
  return null;
}

/**
 * The name of the other side; it is looked for once.
 *
 * @param {Sides | null} sides
 * @returns {string}
 */
export function useOther(sides) {
  const id = sides && otherOf(sides);
  const customer = sides?.customer_id === me.value?.id;
  const name = id && ((customer ? sides.contractor_name : sides.customer_name) || nameOf(id));
  useEffect(() => {
    if (!sides || !id || name || asked.has(id)) return;
    asked.add(id);
    find(sides, customer).then((found) => {
      if (found) known.value = new Map([...known.peek(), [id, found]]);
      else nameless.value = new Set([...nameless.peek(), id]);
    }, () => {
      asked.delete(id);
      nameless.value = new Set([...nameless.peek(), id]);
    });
  }, [id, Boolean(name)]);
  return name ?? (customer ? "the contractor" : "the customer");
}

/** A contractor reads it on the job, a customer on the application. @param {Sides} sides @param {boolean} customer */
async function find({ job_id, contractor_id }, customer) {
  if (!customer) {
    const job = await server.job.get({ job_id });
    jobs.put(job);
    return job.customer_name;
  }
  const { items } = await server.jobRequest.list({ job_id, limit: 100 });
  return items.find((each) => each.contractor_id === contractor_id)?.contractor_name;
}

/** At the beginning of a sentence. @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
