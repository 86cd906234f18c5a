// The command palette (Ctrl-K): goes to any view, and finds records where the page can look them up.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { open } from "./dialog.js";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { go } from "./router.js";

/**
 * @typedef {object} Entry
 * @property {string} path where it leads
 * @property {string} label
 * @property {import("./icons.js").IconName} icon
 * @property {string} [more] what it is
 */

/** @typedef {(text: string) => Promise<Entry[]>} Find */

const TYPED_MS = 250; // after the last key
const SHORTEST = 2; // characters that are looked up
const MOST = 30;

let shown = false;

/** @param {Entry[]} views @param {Find} [find] */
export async function openPalette(views, find) {
  if (shown) return;
  shown = true;
  const path = await open((/** @type {any} */ props) => html`<${Palette} views=${views} find=${find} ...${props} />`, { kind: "palette" });
  shown = false;
  if (path) go(path);
}

/** Those whose words begin with all words of `text`. @param {Entry[]} entries @param {string} text */
export function fitting(entries, text) {
  const wanted = text.toLowerCase().split(/\s+/u).filter(Boolean);
  return entries.filter(({ label, more = "" }) => {
    const words = `${label} ${more}`.toLowerCase().split(/[^\p{L}\p{N}]+/u);
    return wanted.every((each) => words.some((word) => word.startsWith(each)));
  });
}

/** @param {{views: Entry[], find?: Find, close: (path?: string) => void}} props */
function Palette({ views, find, close }) {
  const text = useSignal("");
  const found = useSignal(/** @type {Entry[]} */ ([]));
  const busy = useSignal(false);
  const at = useSignal(0);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const typed = text.value.trim();
  useEffect(() => {
    at.value = 0;
    found.value = [];
    busy.value = Boolean(find) && typed.length >= SHORTEST;
    if (!find || typed.length < SHORTEST) return undefined;
    let here = true;
    const timer = setTimeout(() => find(typed).then((entries) => here && (found.value = entries), () => {}).finally(() => here && (busy.value = false)), TYPED_MS);
    return () => {
      here = false;
      clearTimeout(timer);
    };
  }, [typed]);
  const entries = [...fitting(views, typed), ...found.value].slice(0, MOST);
  const chosen = Math.min(at.value, entries.length - 1);
  useEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [chosen]);
  const move = (/** @type {number} */ by) => (at.value = entries.length ? (chosen + by + entries.length) % entries.length : 0);
  const press = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Enter" && entries[chosen]) close(entries[chosen].path);
    else if (event.key !== "Enter") return;
    event.preventDefault();
  };
  const nothing = typed && !entries.length && !busy.value;
  return html`<div class="sheet">
    <h2 id="dialog-title" class="visually-hidden">Go to</h2>
    <div class="palette-field"><${Icon} name="search" /><input type="text" autofocus placeholder=${find ? "Find a view, a person, a job or an id" : "Go to"} aria-label=${find ? "Find a view, a person, a job or an id" : "Go to"}
      role="combobox" aria-expanded="true" aria-controls="palette-list" aria-autocomplete="list" aria-activedescendant=${entries[chosen] ? `palette-${chosen}` : undefined}
      autocomplete="off" spellcheck=${false} maxlength="254" value=${text.value} onInput=${(/** @type {any} */ { target }) => (text.value = target.value)} onKeyDown=${press} /><kbd>Esc</kbd></div>
    <ul id="palette-list" class="palette-list" role="listbox" aria-label="Where to go" ref=${list}>${entries.map(({ path, label, icon, more }, index) => html`
      <li key=${path + label} id=${`palette-${index}`} role="option" aria-selected=${index === chosen ? "true" : "false"} onPointerMove=${() => (at.value = index)} onClick=${() => close(path)}>
        <${Icon} name=${icon} /><span class="grow truncate">${label}</span>${more && html`<span class="small soft truncate">${more}</span>`}</li>`)}</ul>
    <p class="palette-state small soft" role="status">${busy.value ? "Looking…" : nothing ? "Nothing is called that." : ""}</p>
  </div>`;
}
