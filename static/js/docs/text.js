// Texts of the documents as elements: paragraphs, lists, and `names` that lead to their places.

import { el } from "./element.js";
import { copy, page } from "./page.js";

let known = null; // the reference, in which names are looked up

export function linkInto(reference) {
  known = reference;
}

/** The place of a name on these pages, or null. */
export function placeOf(name) {
  if (!known) return null;
  if (known.operations.has(name)) return `#${name}`;
  if (name.includes(".") && known.pushes.has(`push.${name}`)) return `#push.${name}`;
  if (name.includes("_") && known.errors.has(name)) return `#errors.${name}`; // others are words
  return known.schemas.has(name) ? `#schema.${name}` : null;
}

export function link(place, ...children) {
  return el("a", { href: place }, ...children);
}

/** One line, in which what stands in backticks is code. */
export function line(text) {
  return text.split("`").map((part, number) => {
    if (number % 2 === 0) return part;
    const place = placeOf(part);
    const code = el("code", {}, part);
    return place ? link(place, code) : code;
  });
}

/** Paragraphs, parted by empty lines. */
export function paragraphs(text) {
  return text.trim().split(/\n\s*\n/).map((part) => el("p", {}, line(part.replace(/\s+/g, " "))));
}

/** A block of code with a button that copies it. */
export function code(text, label) {
  return el(
    "div.code", {},
    el("pre", { tabindex: "0", "aria-label": label, role: "region" }, el("code", {}, text)),
    el("button.button.small.copy", { type: "button", onClick: () => copy(text), "aria-label": `Copy: ${label}` },
      page.copied === text ? "Copied" : "Copy"),
  );
}

export const json = (value) => JSON.stringify(value, null, 2);
