// Addresses in what people write become links; all else stays text. No markup is made of text.

import { html } from "./html.js";

const ADDRESS = /\b(?:https?:\/\/|www\.)[^\s<>"'`]+/giu;
const AFTER = /[.,;:!?…*_~]+$/u; // belongs to the sentence, not to the address

/**
 * The parts of a text: strings, and addresses with what was written of them.
 *
 * @param {string} text
 * @returns {(string | {href: string, shown: string})[]}
 */
export function parts(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const shown = trimmed(match[0]);
    const href = addressOf(shown);
    if (!href) continue;
    if (match.index > end) found.push(text.slice(end, match.index));
    found.push({ href, shown });
    end = match.index + shown.length;
  }
  if (end < text.length) found.push(text.slice(end));
  return found;
}

/** Without the punctuation after it, and without a bracket that was opened before it. @param {string} written */
function trimmed(written) {
  for (let shown = written; ; ) {
    const bare = shown.replace(AFTER, "");
    const open = bare.split("(").length;
    const rest = bare.endsWith(")") && bare.split(")").length > open ? bare.slice(0, -1) : bare;
    if (rest === shown) return shown;
    shown = rest;
  }
}

/** @param {string} shown */
function addressOf(shown) {
  try {
    const { protocol, hostname, href } = new URL(shown.toLowerCase().startsWith("www.") ? `https://${shown}` : shown);
    const known = hostname.includes(".") || hostname === "localhost";
    return known && /^https?:$/.test(protocol) ? href : null;
  } catch {
    return null;
  }
}

/** A text whose addresses can be followed; those of this site stay in this tab. @param {{text: string}} props */
export function Linked({ text }) {
  return parts(text).map((part) => {
    if (typeof part === "string") return part;
    const own = new URL(part.href).origin === location.origin;
    return html`<a href=${part.href} target=${own ? undefined : "_blank"}
      rel=${own ? undefined : "noopener noreferrer nofollow"}>${part.shown}</a>`;
  });
}
