// Real paths: which view an address shows, going to another one without loading the page again.

import { signal } from "@preact/signals";

/**
 * @typedef {object} Place
 * @property {string} path
 * @property {Record<string, string>} params of the pattern that fits
 * @property {URLSearchParams} query
 * @property {any} view what the table has for that pattern; undefined if none fits
 */

/** Where the page is. @type {import("@preact/signals").Signal<Place>} */
export const place = signal({ path: "", params: {}, query: new URLSearchParams(), view: undefined });

/** @type {{names: string[], fits: RegExp, view: any}[]} */
let table = [];
let opened = (/** @type {boolean} */ _back) => {};

/**
 * Follow addresses. `routes` has views by patterns such as "/jobs/:id"; the first that fits counts.
 * `onOpen(back)` is called after each change of the path.
 *
 * @param {Record<string, any>} routes
 * @param {(back: boolean) => void} onOpen
 */
export function startRouter(routes, onOpen) {
  table = Object.entries(routes).map(([pattern, view]) => {
    const names = [...pattern.matchAll(/:(\w+)/g)].map(([, name]) => name);
    return { names, fits: new RegExp(`^${pattern.replace(/:\w+/g, "([^/]+)")}/?$`), view };
  });
  opened = onOpen;
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => {
    read(true);
    scrollTo(0, history.state?.scroll ?? 0);
  });
  addEventListener("click", follow);
  read(false);
}

/**
 * Show another address. `replace` leaves no way back to the present one.
 *
 * @param {string} address
 * @param {{replace?: boolean}} [options]
 */
export function go(address, { replace = false } = {}) {
  if (!replace) history.replaceState({ ...history.state, scroll: scrollY }, "");
  history[replace ? "replaceState" : "pushState"]({}, "", address);
  const before = place.value.path;
  read(false);
  if (place.value.path !== before) scrollTo(0, 0);
}

/**
 * Change the query of the present address; empty values leave it. Typing in a filter is no step
 * in the history.
 *
 * @param {Record<string, string | number | null | undefined>} changes
 */
export function setQuery(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  go(location.pathname + (text && `?${text}`), { replace: true });
}

/** @param {string} path */
export function viewOf(path) {
  for (const { names, fits, view } of table) {
    const found = fits.exec(path);
    if (!found) continue;
    const params = Object.fromEntries(names.map((name, at) => [name, decode(found[at + 1])]));
    return { params, view };
  }
  return { params: {}, view: undefined };
}

/** @param {boolean} back */
function read(back) {
  const { pathname, search } = location;
  const moved = pathname !== place.value.path;
  place.value = { path: pathname, query: new URLSearchParams(search), ...viewOf(pathname) };
  if (moved) opened(back);
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Links to our own views are followed here. @param {MouseEvent} event */
function follow(event) {
  const { target, button, metaKey, ctrlKey, shiftKey, altKey } = event;
  if (button || metaKey || ctrlKey || shiftKey || altKey || event.defaultPrevented) return;
  const link = target instanceof Element ? target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
  const address = new URL(link.href);
  if (address.origin !== location.origin || !viewOf(address.pathname).view) return;
  if (address.hash && address.pathname === location.pathname) return;
  event.preventDefault();
  go(address.pathname + address.search + address.hash);
}
