// What can be done with a message: a menu beside it, on a phone a sheet at the lower edge.

import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { confirm } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { me, server } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { report } from "./chat_unwanted.js";

/** @typedef {import("./talk.js").Entry} Entry */
/** @typedef {import("./talk.js").Talk} Talk */

const EMOJIS = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];
const MARGIN = 8;

/** How long a message can be changed, in milliseconds; the server says it. */
let editableMs = 24 * 3_600_000;
server.meta().then(({ chat }) => (editableMs = 1_000 * chat.editable_seconds), () => {});

/** @type {import("@preact/signals").Signal<{entry: Entry, x: number, y: number, before: Element | null} | null>} */
const opened = signal(null);

/** @param {Entry} entry @param {{left: number, bottom: number}} place */
export function openMenu(entry, { left, bottom }) {
  opened.value = { entry, x: left, y: bottom + 4, before: document.activeElement };
}

/** Whether it is one's own and not deleted. @param {Entry} entry */
const isOwn = ({ message }) => {
  const { author_id, deleted_at, kind, seq } = message.peek();
  return seq > 0 && author_id === me.peek()?.id && kind === "text" && !deleted_at;
};

/** Whether its text can still be changed. @param {Entry} entry */
export const editable = (entry) => isOwn(entry) && Boolean(entry.message.peek().text) && Date.now() - entry.at < editableMs;

function closeMenu({ back = true } = {}) {
  const before = opened.peek()?.before;
  opened.value = null;
  if (back && before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
}

/** @param {{talk: Talk}} props */
export function MessageMenu({ talk }) {
  const menu = useRef(/** @type {HTMLDivElement | null} */ (null));
  const at = opened.value;
  useEffect(() => () => void (opened.value = null), []);
  useLayoutEffect(() => {
    const element = menu.current;
    if (!element || !at) return;
    const { width, height } = element.getBoundingClientRect();
    element.style.setProperty("--x", `${Math.max(MARGIN, Math.min(at.x, innerWidth - width - MARGIN))}px`);
    const below = at.y + height + MARGIN <= innerHeight;
    element.style.setProperty("--y", `${Math.max(MARGIN, below ? at.y : innerHeight - height - MARGIN)}px`);
    element.querySelector("button")?.focus({ preventScroll: true });
  }, [at]);
  if (!at) return null;
  const { entry } = at;
  const message = entry.message.value;
  const own = message.author_id === me.value?.id;
  /** @param {() => void} act */
  const step = (act, back = true) => () => {
    closeMenu({ back });
    act();
  };
  return html`<div class="menu-scrim" onClick=${() => closeMenu()} onContextMenu=${(/** @type {Event} */ event) => event.preventDefault()}></div>
    <div class="menu message-menu" role="menu" aria-label="Message" ref=${menu} onKeyDown=${moveFocus}>
      ${message.kind === "text" && !message.deleted_at && html`<div class="emojis" role="group" aria-label="React">${EMOJIS.map((emoji) => html`
        <button type="button" role="menuitem" key=${emoji} aria-label=${`React with ${emoji}`}
          onClick=${step(() => void talk.react(entry, emoji).catch(refuse))}>${emoji}</button>`)}</div>`}
      <button type="button" role="menuitem" onClick=${step(() => (talk.answering.value = entry), false)}><${Icon} name="reply" />Reply</button>
      ${message.text && html`<button type="button" role="menuitem" onClick=${step(() => copy(message.text))}><${Icon} name="copy" />Copy text</button>`}
      ${editable(entry) && html`<button type="button" role="menuitem"
        onClick=${step(() => (talk.editing.value = { entry, text: message.text }), false)}><${Icon} name="pencil" />Edit</button>`}
      ${isOwn(entry) && html`<button type="button" role="menuitem" class="danger" onClick=${step(() => remove(talk, entry))}><${Icon} name="trash-2" />Delete</button>`}
      ${!own && message.kind === "text" && html`<button type="button" role="menuitem" class="danger"
        onClick=${step(() => report(talk.id, message.id))}><${Icon} name="flag" />Report</button>`}
    </div>`;
}

/** @param {KeyboardEvent} event */
function moveFocus(event) {
  const menu = /** @type {HTMLElement} */ (event.currentTarget);
  const items = [...menu.querySelectorAll("button")];
  const now = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
  /** @type {Record<string, number>} */
  const to = { ArrowDown: now + 1, ArrowRight: now + 1, ArrowUp: now - 1, ArrowLeft: now - 1, Home: 0, End: items.length - 1 };
  if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else if (event.key in to) items.at(to[event.key] % items.length)?.focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.", { tone: "good" });
  } catch {
    say("The browser did not allow that.", { tone: "bad" });
  }
}

/** @param {Talk} talk @param {Entry} entry */
async function remove(talk, entry) {
  const body = html`<p>Both of you will see that a message was deleted. If the job is disputed, JobSphere can still read it.</p>`;
  if (!(await confirm({ title: "Delete this message?", body, yes: "Delete", danger: true }))) return;
  const asked = { conversation_id: talk.id, message_id: entry.message.peek().id };
  await talk.change(() => server.chat.delete(asked)).catch(refuse);
}
