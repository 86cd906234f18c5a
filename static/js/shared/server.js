// The one way to the server: the typed client, and signals of what every view wants to know of it.

import { signal } from "@preact/signals";
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

/** How many commands that write wait for their answers. */
export const pending = signal(0);

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
 * Run a command that writes, counted while it waits.
 *
 * @template T
 * @param {() => Promise<T>} command
 * @returns {Promise<T>}
 */
export async function write(command) {
  pending.value += 1;
  try {
    return await command();
  } finally {
    pending.value -= 1;
  }
}
