// Icons out of one sprite. They are decoration: a word or a label beside them says the same.

import { html } from "./html.js";

const SPRITE = new URL("../../vendor/icons.svg", import.meta.url).href;

/** @param {{name: import("./icons.js").IconName, class?: string}} props */
export function Icon({ name, class: extra = "" }) {
  return html`<svg class=${`icon ${extra}`} aria-hidden="true" fill="none" stroke="currentColor"
    stroke-linecap="round" stroke-linejoin="round"><use href=${`${SPRITE}#${name}`} /></svg>`;
}
