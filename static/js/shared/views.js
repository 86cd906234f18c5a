// Views by their addresses: each is a module of its own, which comes when it is asked for.

import { signal } from "@preact/signals";
import { html } from "./html.js";
import { View } from "./pieces.js";
import { place } from "./router.js";
import { Loading } from "./shell.js";
import { say } from "./toasts.js";

/** @typedef {{load: () => Promise<any>, name: string, open: boolean}} Wanted */

/** @type {(load: () => Promise<any>, name: string) => Wanted} */
export const view = (load, name) => ({ load, name, open: false });

/** A view without a sign-in and without the frame. @type {typeof view} */
export const openView = (load, name) => ({ load, name, open: true });

/** Components that have come. @type {import("@preact/signals").Signal<Record<string, any>>} */
const loaded = signal({});

/** @param {Wanted} wanted */
function componentOf({ name, load }) {
  const found = loaded.value[name];
  if (!found) {
    load().then(
      (module) => (loaded.value = { ...loaded.peek(), [name]: module[name] }),
      () => say("A part of this page could not be loaded. Try again when you are online.", { tone: "bad" }),
    );
  }
  return found;
}

/** What the address shows. @param {{Frame: any}} props */
export function Views({ Frame }) {
  const { view: wanted, params, path } = place.value;
  if (!wanted) return html`<${Frame}><${View} title="There is no such page"><p><code>${path}</code></p></${View}></${Frame}>`;
  const Component = componentOf(wanted);
  const content = Component ? html`<${Component} ...${params} key=${wanted.key ?? path} />` : html`<${Loading} />`;
  return wanted.open ? content : html`<${Frame}>${content}</${Frame}>`;
}
