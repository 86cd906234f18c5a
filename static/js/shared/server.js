// The one way to the server: the typed client, and signals of what every view wants to know of it.

import { computed, signal } from "@preact/signals";
import { JobSphere, Refusal } from "../../client/jobsphere.js";

export { Refusal };

const PATIENCE_MS = 60_000;

/** @type {import("../../client/jobsphere.js").JobSphere} */
export const server = new JobSphere({
  patience: PATIENCE_MS,
  storage: localStorage, // all tabs share one sign-in
});

/** Whether all namespaces are connected. */
export const live = signal(false);

/** Who is signed in; null for nobody. @type {import("@preact/signals").Signal<any>} */
export const me = signal(server.user);

/** Changes that are not on the server yet. @type {import("@preact/signals").Signal<Set<object>>} */
const waiting = signal(new Set());

/** How many commands that write wait for their answers, or to be sent again. */
export const pending = computed(() => waiting.value.size);

server.on("live", (now) => (live.value = now));

/**
 * Keep the newest facts about the person who is signed in.
 *
 * @param {any} user
 */
export function putMe(user) {
  if ((me.value?.version ?? -1) <= (user.version ?? 0)) me.value = { ...me.value, ...user };
}

/** Whether the session can do no more than set up a second factor, as one of an administrator at first. */
export const settingUp = () => Boolean(/** @type {any} */ (server).session.current?.second_factor_setup_required);

/** Make such a session a full one, once there is a second factor. */
export async function lift() {
  const { session } = /** @type {any} */ (server);
  await session.renew();
  session.adopt({ second_factor_setup_required: false });
}

/**
 * Count a change among those that wait, or no longer. It counts once, however often it is set.
 *
 * @param {object} change
 * @param {boolean} waits
 */
export function setPending(change, waits) {
  const now = new Set(waiting.peek());
  if (waits) now.add(change);
  else now.delete(change);
  waiting.value = now;
}

/**
 * Run a command that writes, counted while it waits.
 *
 * @template T
 * @param {() => Promise<T>} command
 * @param {object} [change] what the command is part of, if that may be counted already
 * @returns {Promise<T>}
 */
export async function write(command, change = {}) {
  setPending(change, true);
  try {
    return await command();
  } finally {
    setPending(change, false);
  }
}
