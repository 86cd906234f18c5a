// Search in a conversation. What is found opens where it was said.

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { shorten } from "../shared/characters.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Skeleton } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { me, server } from "../shared/server.js";
import { dayOf, timeOf } from "../shared/times.js";
import { conversations, saying } from "./conversations.js";

/** @typedef {import("./conversations.js").Message} Message */

const PAUSE_MS = 250;
const MOST = 100; // characters that are searched for
const PAGE = 20;
const BEFORE = 40; // characters of a text before the word that was found

/** @param {{talk: import("./talk.js").Talk}} props */
export function Find({ talk }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const found = useSignal(/** @type {{q: string, items: Message[], cursor: string | null} | null} */ (null));
  const problem = useSignal(/** @type {string | null} */ (null));
  const q = shorten((place.value.query.get("find") ?? "").trim(), MOST);
  useLayoutEffect(() => field.current?.focus(), []);
  useEffect(() => {
    if (!q) {
      found.value = null;
      return undefined;
    }
    const timer = setTimeout(() => read(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [q]);
  /** @param {string | null} [cursor] */
  const read = async (cursor) => {
    problem.value = null;
    try {
      const page = await server.chat.search({ q, conversation_id: talk.id, limit: PAGE, ...(cursor && { cursor }) });
      if (shorten(place.peek().query.get("find")?.trim() ?? "", MOST) !== q) return;
      const before = cursor ? found.peek()?.items ?? [] : [];
      found.value = { q, items: [...before, ...page.items], cursor: page.next_cursor };
    } catch (refused) {
      problem.value = /** @type {any} */ (refused).message;
    }
  };
  const close = () => setQuery({ find: null });
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    close();
  };
  const items = found.value?.items ?? [];
  const jump = (/** @type {Message} */ { seq }) => {
    close();
    talk.jump(seq);
  };
  return html`<div class="find" role="search" onKeyDown=${keys}>
    <div class="row tight find-row"><div class="find-field grow"><${Icon} name="search" /><input class="input" type="search" ref=${field} aria-label="Words to be found" placeholder="Words in this conversation"
      value=${place.value.query.get("find")?.trimStart() ?? ""} onInput=${(/** @type {any} */ { target }) => setQuery({ find: target.value || " " })} /></div>
      <button type="button" class="button quiet icon-only" onClick=${close}><${Icon} name="x" /><span class="visually-hidden">Close the search</span></button></div>
    ${q && html`<div class="results">
      <p class="visually-hidden" role="status">${found.value ? `${items.length} found` : ""}</p>
      ${problem.value && html`<p class="note bad"><${Icon} name="circle-alert" />${problem.value}</p>`}
      ${!found.value && !problem.value && html`<${Skeleton} />`}
      ${found.value && !items.length && html`<p class="soft small">No message has all of these words.</p>`}
      <ul>${items.map((message) => html`<li key=${message.id}><button type="button" onClick=${() => jump(message)}>
        <span class="row spread small soft"><span>${nameOf(talk.id, message)}</span><span>${dayOf(message.created_at)}, ${timeOf(message.created_at)}</span></span>
        <span class="words"><${Marked} text=${saying(message)} words=${q} /></span></button></li>`)}</ul>
      ${found.value?.cursor && html`<button type="button" class="button quiet block" onClick=${() => read(found.value?.cursor)}>More</button>`}
    </div>`}
  </div>`;
}

/** @param {string} id @param {Message} message */
function nameOf(id, { author_id }) {
  return author_id === me.value?.id ? "You" : conversations.peek().get(id)?.names[author_id] ?? "JobSphere";
}

/** @param {{text: string, words: string}} props */
function Marked({ text, words }) {
  const sought = words.split(/\s+/u).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(${sought.join("|")})`, "giu");
  const at = Math.max(0, text.search(pattern) - BEFORE);
  const parts = ((at ? "…" : "") + text.slice(at)).split(pattern);
  return parts.map((part, index) => (index % 2 ? html`<mark>${part}</mark>` : part));
}
