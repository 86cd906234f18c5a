// The frame around all views: navigation beside them, the bell, the bar when the server is away.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { DialogHeader, Dialogs, open } from "./dialog.js";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { Skeleton } from "./pieces.js";
import { place } from "./router.js";
import { live, pending } from "./server.js";
import { Toasts } from "./toasts.js";

const OFFLINE_MS = 2_000; // a shorter break is no news
const SLOW_MS = 8_000; // to connect at first may take so long

/**
 * @typedef {object} Section
 * @property {string} path
 * @property {string} label
 * @property {import("./icons.js").IconName} icon
 * @property {() => number} [count] what waits there
 * @property {boolean} [more] not in the tab bar of a phone
 * @property {boolean} [exact] what is below its path belongs to other sections
 */

const offline = signal(false);

/** Say that the server is away only when it stays away. */
function useOffline() {
  useEffect(() => {
    let timer = 0;
    let patience = SLOW_MS;
    const stop = live.subscribe((now) => {
      clearTimeout(timer);
      if (now) {
        offline.value = false;
        patience = OFFLINE_MS;
      } else timer = window.setTimeout(() => (offline.value = true), patience);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
}

function OfflineBar() {
  if (!offline.value) return null;
  const waiting = pending.value;
  const what = waiting ? ` ${waiting} ${waiting === 1 ? "change waits" : "changes wait"} to be sent.` : "";
  return html`<div class="bar" role="status"><${Icon} name="wifi-off" />
    The server cannot be reached. What you see may be old.${what}</div>`;
}

/** @param {{sections: Section[], kind: string}} props */
function Links({ sections, kind }) {
  return sections.map(({ path, label, icon, count, exact }) => {
    const here = place.value.path === path || (!exact && place.value.path.startsWith(`${path}/`));
    const waiting = count?.() ?? 0;
    return html`<a class=${kind} href=${path} aria-current=${here ? "page" : undefined} key=${path}>
      <${Icon} name=${icon} /><span class="label">${label}</span>
      ${waiting > 0 && html`<span class="count">${waiting > 99 ? "99+" : waiting}<span class="visually-hidden"> waiting</span></span>`}
    </a>`;
  });
}

/** All sections: a phone has room for a few only. @param {{title?: string, sections: Section[]}[]} groups */
function openMenu(groups) {
  open((/** @type {any} */ { close }) => html`<div class="sheet"><${DialogHeader} title="Sections" close=${close} />
    <nav class="body" aria-label="All sections" onClick=${(/** @type {any} */ { target }) => target.closest("a") && close()}>
      ${groups.map(({ title, sections }) => html`<div class="stack" style=${{ "--gap": "2px" }}>
        ${title && html`<h3 class="soft small">${title}</h3>`}<${Links} sections=${sections} kind="nav-link" /></div>`)}</nav></div>`);
}

/**
 * `bar` is what the bar on top of a phone has, `menu` what is below in the sidebar. The command
 * palette has all sections, `more` views, and what `find` finds.
 *
 * @param {{home: string, groups: {title?: string, sections: Section[]}[], bar: any, menu: any,
 *   more?: import("./palette.js").Entry[], find?: import("./palette.js").Find, children: any}} props
 */
export function Shell({ home, groups, bar, menu, more = [], find, children }) {
  useOffline();
  const entries = () => [...groups.flatMap(({ title, sections }) => sections.map(({ path, label, icon }) => ({ path, label, icon, more: title }))), ...more];
  const search = () => import("./palette.js").then(({ openPalette }) => openPalette(entries(), find));
  useShortcut(search);
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const { path } = place.value;
  useEffect(() => focusView(main.current), [path]);
  const tabs = groups.flatMap(({ sections }) => sections).filter(({ more }) => !more);
  return html`<a class="skip" href="#main">Skip to the content</a>
    <div class="shell">
      <div class="bars"><${OfflineBar} /></div>
      <header class="sidebar">
        <a class="brand" href=${home}><img src=${LOGO} alt="" /><span>JobSphere</span></a>
        <button type="button" class="find-button" onClick=${search}><${Icon} name="search" /><span class="label">Find</span><span class="visually-hidden"> anything</span><kbd>${SHORTCUT}</kbd></button>
        <nav aria-label="Sections">${groups.map(({ title, sections }) => html`
          ${title && html`<h2>${title}</h2>`}<${Links} sections=${sections} kind="nav-link" />`)}</nav>
        <div class="me">${menu}</div>
      </header>
      <header class="topbar"><div class="row tight"><button class="button quiet icon-only" type="button" onClick=${() => openMenu(groups)}>
          <${Icon} name="menu" class="large" /><span class="visually-hidden">All sections</span></button>
        <a class="brand" href=${home}><img src=${LOGO} alt="" /><span>JobSphere</span></a></div>
        <div class="row tight"><button type="button" class="button quiet icon-only" aria-label="Find anything" onClick=${search}><${Icon} name="search" class="large" /></button>${bar}</div></header>
      <main id="main" tabindex="-1" ref=${main}>${children}</main>
      <nav class="tabbar" aria-label="Sections"><${Links} sections=${tabs} kind="tab" /></nav>
    </div>
    <${Toasts} /><${Dialogs} />`;
}

/** Ctrl-K or Cmd-K. @param {() => void} run */
function useShortcut(run) {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    const press = (/** @type {KeyboardEvent} */ event) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      latest.current();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

const SHORTCUT = /Mac|iP(?:hone|ad)/.test(navigator.platform) ? "⌘K" : "Ctrl K";
const LOGO = new URL("../../favicon.svg", import.meta.url).href;
let first = true; // in this document

/** The field where a view that opened begins, or its heading, so that a screen reader says where one is. */
export function focusView(/** @type {HTMLElement | null} */ main) {
  if (first) {
    first = false; // the browser reads a page that it has loaded
    return;
  }
  const before = document.activeElement;
  requestAnimationFrame(() => {
    const now = document.activeElement;
    if (now !== before && main?.contains(now)) return; // one is in a field of it already
    const start = main?.querySelector("[autofocus]") ?? main?.querySelector("h1");
    (start instanceof HTMLElement ? start : main)?.focus({ preventScroll: true });
  });
}

/** A view whose module is on its way. */
export function Loading() {
  return html`<div class="view" aria-busy="true"><${Skeleton} lines=${6} /></div>`;
}
