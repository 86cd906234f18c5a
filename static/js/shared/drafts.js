// What a person has typed and not sent yet, kept in this browser for the next time.

import { server } from "./server.js";

const KEPT_MS = 30 * 24 * 3_600_000;

/** @param {string} name */
const key = (name) => `jobsphere.draft.${server.user?.id ?? ""}.${name}`;

/**
 * The draft of this name, or null.
 *
 * @param {string} name
 * @returns {any}
 */
export function readDraft(name) {
  try {
    const { at, draft } = JSON.parse(localStorage.getItem(key(name)) ?? "null") ?? {};
    return Date.now() - at < KEPT_MS ? draft : null;
  } catch {
    return null;
  }
}

/** @param {string} name @param {any} draft */
export function keepDraft(name, draft) {
  try {
    localStorage.setItem(key(name), JSON.stringify({ at: Date.now(), draft }));
  } catch {
    // No room: then it is not kept.
  }
}

/** @param {string} name */
export function dropDraft(name) {
  localStorage.removeItem(key(name));
}
