// Short news at the edge of the page: each is said once, and waits while the pointer is on it.

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icon.js";

const SHOWN_MS = 6_000;
const PROBLEM_MS = 12_000;
const MOST = 3;
const NEXT = "said.next";

/** @typedef {{id: number, text: string, tone: "good" | "bad" | "news", link?: string, more?: string}} Toast */

const toasts = signal(/** @type {Toast[]} */ ([]));
const timers = new Map();
let numbers = 0;

/**
 * Say something. The same text is not said again while it is there.
 *
 * @param {string} text
 * @param {{tone?: Toast["tone"], link?: string, more?: string}} [options] `more` names the link
 */
export function say(text, { tone = "news", link, more = "Show" } = {}) {
  if (toasts.peek().some((each) => each.text === text)) return;
  const id = (numbers += 1);
  toasts.value = [...toasts.peek().slice(1 - MOST), { id, text, tone, link, more }];
  count(id, tone);
}

/** Say something on the page that this tab opens next. @type {typeof say} */
export function sayNext(text, options) {
  sessionStorage.setItem(NEXT, JSON.stringify([text, options]));
}

/** Say what the page before has left to say. */
export function sayLeft() {
  const [text, options] = JSON.parse(sessionStorage.getItem(NEXT) ?? "[]");
  sessionStorage.removeItem(NEXT);
  if (text) say(text, options);
}

/** Say why something was refused. @param {any} refused */
export function refuse(refused) {
  if (refused?.code === undefined) reportError(refused);
  say(refused?.message ?? "Something went wrong here. Please try again.", { tone: "bad" });
}

/** @param {number} id */
export function unsay(id) {
  clearTimeout(timers.get(id));
  timers.delete(id);
  toasts.value = toasts.peek().filter((each) => each.id !== id);
}

/** @param {number} id @param {Toast["tone"]} tone */
function count(id, tone) {
  timers.set(id, setTimeout(unsay, tone === "bad" ? PROBLEM_MS : SHOWN_MS, id));
}

/** The field that a person types in, or the writing field of a conversation. */
function writingField() {
  const focused = document.activeElement;
  return focused?.matches("main :is(input, textarea)") ? focused : document.querySelector(".composer textarea");
}

/**
 * Keep toasts at the edge of the window that is farther from the field that a person types in.
 *
 * @param {{current: HTMLElement | null}} box
 * @param {boolean} shown
 */
function useFarEdge(box, shown) {
  useLayoutEffect(() => {
    if (!shown) return undefined;
    const place = () => {
      const field = writingField()?.getBoundingClientRect();
      box.current?.classList.toggle("above", field !== undefined && field.top > innerHeight - field.bottom);
    };
    place();
    const events = ["focusin", "focusout", "scroll", "resize"];
    for (const name of events) addEventListener(name, place, { capture: true, passive: true });
    return () => {
      for (const name of events) removeEventListener(name, place, { capture: true });
    };
  }, [shown]);
}

const ICONS = /** @type {const} */ ({ good: "circle-check", bad: "circle-alert", news: "info" });

export function Toasts() {
  const all = toasts.value;
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  useFarEdge(box, all.length > 0);
  const shown = (/** @type {Toast} */ { id, text, tone, link, more }) => html`
    <div class=${`toast ${tone}`} key=${id}
      onPointerEnter=${() => clearTimeout(timers.get(id))} onPointerLeave=${() => count(id, tone)}
      onFocusIn=${() => clearTimeout(timers.get(id))} onFocusOut=${() => count(id, tone)}>
      <${Icon} name=${ICONS[tone]} />
      <p class="grow">${text} ${link && html`<a href=${link} onClick=${() => unsay(id)}>${more}</a>`}</p>
      <button class="button quiet small icon-only" type="button" onClick=${() => unsay(id)}>
        <${Icon} name="x" /><span class="visually-hidden">Dismiss</span>
      </button>
    </div>`;
  return html`<div class="toasts" ref=${box}>
    <div role="status" class="stack" style=${{ "--gap": "0.5rem" }}>${all.filter(({ tone }) => tone !== "bad").map(shown)}</div>
    <div role="alert" class="stack" style=${{ "--gap": "0.5rem" }}>${all.filter(({ tone }) => tone === "bad").map(shown)}</div>
  </div>`;
}
