// Small pieces that all views share.

import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { ago, fullTime } from "./times.js";

const LATEST_MS = 3_000;
const TONES = 8; // avatar colours in pieces.css

/** The same colour for the same person everywhere. @param {string} id */
export function toneOf(id) {
  let sum = 0;
  for (let at = 0; at < id.length; at += 1) sum = (sum * 31 + id.charCodeAt(at)) % 9_973;
  return sum % TONES;
}

/** "Ada Lovelace" is "AL". @param {string} name */
export function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const picked = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return picked.map((word) => [...word][0]).join("") || "?";
}

/** @param {{id: string, name: string, size?: "small" | "large", online?: boolean}} props */
export function Avatar({ id, name, size, online }) {
  return html`<span class=${`avatar tone-${toneOf(id)} ${size ?? ""} ${online ? "online" : ""}`}
    aria-hidden="true">${initials(name)}</span>`;
}

/**
 * A status: an icon and a word in the colour of its tone.
 *
 * @param {{of: import("./words.js").Status}} props
 */
export function Badge({ of: { word, icon, tone } }) {
  return html`<span class=${`badge ${tone}`}><${Icon} name=${icon} />${word}</span>`;
}

/** @param {{at: string}} props */
export function Ago({ at }) {
  return html`<time datetime=${at} title=${fullTime(at)}>${ago(at)}</time>`;
}

/**
 * A view: its title is the page's title and its heading, which gets the focus when the view opens.
 *
 * @param {{title: string, heading?: any, back?: {href: string, label: string}, actions?: any,
 *   kind?: string, children: any}} props
 */
export function View({ title, heading = title, back, actions, kind = "", children }) {
  const element = useRef(/** @type {HTMLHeadingElement | null} */ (null));
  useEffect(() => {
    document.title = `${title} · JobSphere`;
  }, [title]);
  useEffect(() => {
    // It took the focus in place of a heading whose module was on its way.
    if (document.activeElement?.id === "main") element.current?.focus({ preventScroll: true });
  }, []);
  return html`<div class=${`view ${kind}`}>
    <header class="view-header">
      ${back && html`<a class="back row small" href=${back.href}><${Icon} name="arrow-left" />${back.label}</a>`}
      <h1 ref=${element} tabindex="-1">${heading}</h1>
      ${actions && html`<div class="row">${actions}</div>`}
    </header>
    ${kind === "wide" ? html`<${Together}>${children}</${Together}>` : children}
  </div>`;
}

/** Scroll tabs that are wider than their place to the current one. @param {HTMLElement | null} tabs */
export function showCurrent(tabs) {
  const current = tabs?.querySelector("[aria-current]");
  if (tabs && current instanceof HTMLElement) tabs.scrollLeft = current.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - current.offsetWidth) / 2;
}

/** A place with nothing in it yet, which says what to do. @param {{icon: any, title: string, children?: any}} props */
export function Empty({ icon, title, children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${children}</div>`;
}

/** @param {{lines?: number}} props */
export function Skeleton({ lines = 3 }) {
  return html`<div class="stack" aria-hidden="true">${Array.from({ length: lines }, (_, at) =>
    html`<div class="skeleton" style=${{ width: `${100 - 17 * (at % 3)}%`, height: "1.25rem" }} />`)}</div>`;
}

/** Parts that come one after the other: they are shown when all have come, so that none moves. @param {{children: any}} props */
export function Together({ children }) {
  const [shown, show] = useState(false);
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  useEffect(() => {
    const element = box.current;
    if (shown || !element) return undefined;
    const look = () => element.querySelector(".skeleton, [aria-busy=true]") || show(true);
    const watch = new MutationObserver(look);
    watch.observe(element, { childList: true, subtree: true, attributes: true });
    const timer = setTimeout(show, LATEST_MS, true);
    look();
    return () => {
      watch.disconnect();
      clearTimeout(timer);
    };
  }, [shown]);
  return html`${!shown && html`<${Skeleton} lines=${8} />`}<div class=${`together ${shown ? "" : "coming"}`} ref=${box}>${children}</div>`;
}
