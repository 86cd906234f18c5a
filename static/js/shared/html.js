// Templates: html`<p>${text}</p>` makes Preact nodes. Text is never parsed as markup.

import htm from "htm";
import { h } from "preact";

/** @type {(strings: TemplateStringsArray, ...values: unknown[]) => any} */
export const html = htm.bind(h);
