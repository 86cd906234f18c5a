// One conversation: who it is with, its messages, and where one writes.

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useDrop } from "../shared/file_picker.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Avatar, Empty, Skeleton } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { live, me } from "../shared/server.js";
import { ago } from "../shared/times.js";
import { attach, Composer } from "./chat_composer.js";
import { Find } from "./chat_find.js";
import { MessageMenu, openMenu } from "./chat_menu.js";
import { Line } from "./chat_message.js";
import { askToBlock, report } from "./chat_unwanted.js";
import { conversations, other, saying, unread } from "./conversations.js";
import { markRead, presenceOf, shown, talkOf } from "./talks.js";

/** @typedef {import("./talk.js").Entry} Entry */
/** @typedef {import("./talk.js").Talk} Talk */

const NEAR_PX = 80; // from the end: one reads along
const AHEAD_PX = 800; // from the edges: the next page is read
const JOINED_MS = 5 * 60_000;
const LONG_PRESS_MS = 450;
const HIGHLIGHT_MS = 1_600;
const MANY = 30; // unread messages: one begins at the first of them

/** @param {{id: string}} props */
export function Room({ id }) {
  const talk = talkOf(id);
  const { over, dropping } = useDrop((files) => attach(talk, files));
  useLayoutEffect(() => { // before the timeline looks at what has been read
    shown.value = id;
    open(talk);
    return () => {
      shown.value = null;
      talk.marker.value = null;
    };
  }, [id]);
  const finding = place.value.query.has("find");
  return html`<section class="room" aria-label="Conversation" ...${dropping} onKeyDown=${typeAnywhere}>
    <${Header} id=${id} />
    ${finding && html`<${Find} talk=${talk} />`}
    <${Timeline} talk=${talk} />
    <${Composer} talk=${talk} />
    <${MessageMenu} talk=${talk} />
    ${over.value && html`<div class="drop"><${Icon} name="upload" class="large" /><p>Drop files here to attach them</p></div>`}
  </section>`;
}

/** Show the newest messages, or the first of many that are new. @param {Talk} talk */
async function open(talk) {
  const conversation = conversations.peek().get(talk.id);
  if (!conversation) return;
  const read = conversation.read[me.peek()?.id ?? ""] ?? 0;
  const waiting = unread(conversation);
  const last = conversation.last_message;
  if (waiting && last?.author_id !== me.peek()?.id) talk.marker.value = read;
  const seq = Number(place.peek().query.get("at"));
  talk.opening = true;
  try {
    if (seq) await talk.jump(seq);
    else if (waiting > MANY) await talk.jump(read + 1);
    else if (talk.state.peek() === "idle" || talk.behind.peek()) await talk.load();
  } finally {
    talk.opening = false;
  }
}

/** What one types goes to the writing field, wherever the focus is. @param {KeyboardEvent} event */
function typeAnywhere(event) {
  const { target, key, ctrlKey, metaKey, altKey, currentTarget } = event;
  if (key.length !== 1 || key === " " || ctrlKey || metaKey || altKey) return;
  if (target instanceof Element && target.closest("input, textarea, select, [role=menu]")) return;
  const room = /** @type {Element} */ (currentTarget);
  /** @type {HTMLTextAreaElement | null} */ (room.querySelector(".composer textarea"))?.focus();
}

/** @param {{id: string}} props */
function Header({ id }) {
  const menu = useSignal(false);
  const conversation = conversations.value.get(id);
  const all = conversations.value;
  if (!conversation) return null;
  const { id: userId, name } = other(conversation);
  const elsewhere = [...all.values()].filter((each) => each.id !== id && unread(each)).length;
  const mine = conversation.blocked_by.includes(me.value?.id);
  return html`<header class="room-header">
    <a class="button quiet icon-only room-back" href="/chat"><${Icon} name="arrow-left" /><span class="visually-hidden">All conversations</span>
      ${elsewhere > 0 && html`<span class="count">${elsewhere}<span class="visually-hidden"> with unread messages</span></span>`}</a>
    <${Avatar} id=${userId} name=${name} online=${Boolean(presenceOf(userId).value?.online)} />
    <div class="grow"><${Heading} name=${name} />
      <p class="small soft truncate"><${Presence} id=${id} userId=${userId} /><a href=${`/jobs/${conversation.job_id}`}>${conversation.job_title}</a></p></div>
    <button type="button" class="button quiet icon-only" title="Search in this conversation" aria-pressed=${place.value.query.has("find") ? "true" : "false"}
      onClick=${() => (place.value.query.has("find") ? setQuery({ find: null }) : setQuery({ find: " " }))}><${Icon} name="search" /><span class="visually-hidden">Search in this conversation</span></button>
    <div class="with-menu" onKeyDown=${(/** @type {KeyboardEvent} */ { key }) => key === "Escape" && (menu.value = false)}
      onFocusOut=${(/** @type {any} */ { currentTarget, relatedTarget }) => relatedTarget && !currentTarget.contains(relatedTarget) && (menu.value = false)}>
      <button type="button" class="button quiet icon-only" aria-expanded=${menu.value ? "true" : "false"} title="More"
        onClick=${() => (menu.value = !menu.value)}><${Icon} name="ellipsis" /><span class="visually-hidden">More</span></button>
      ${menu.value && html`<div class="menu-scrim" onClick=${() => (menu.value = false)}></div><div class="menu" onClick=${() => (menu.value = false)}>
        <a href=${`/jobs/${conversation.job_id}`}><${Icon} name="briefcase" />Open the job</a>
        <hr />
        <button type="button" onClick=${() => report(id)}><${Icon} name="flag" />Report</button>
        ${mine ? html`<button type="button" onClick=${() => askToBlock(id, name, false)}><${Icon} name="undo-2" />Unblock</button>`
          : html`<button type="button" class="danger" onClick=${() => askToBlock(id, name, true)}><${Icon} name="ban" />Block</button>`}
      </div>`}
    </div>
  </header>`;
}

/** @param {{name: string}} props */
function Heading({ name }) {
  useEffect(() => {
    document.title = `${name} · Chat · JobSphere`;
  }, [name]);
  return html`<h1 tabindex="-1" class="truncate">${name}</h1>`;
}

/** @param {{id: string, userId: string}} props */
function Presence({ id, userId }) {
  const presence = presenceOf(userId).value;
  if (talkOf(id).typing.value) return html`<span class="typing">typing…</span> · `;
  if (presence?.online) return html`<span class="online-word">online</span> · `;
  if (presence?.last_seen_at) return `seen ${ago(presence.last_seen_at)} · `;
  return null;
}

// -- the messages ----------------------------------------------------------------------------

/** The node of a message; the same as before if nothing about its place has changed. @param {Talk} talk @param {Entry} entry @param {Entry | undefined} before @param {number | null} marker */
function nodeOf(talk, entry, before, marker) {
  const { seq, author_id, kind } = entry.message.peek();
  const above = before?.message.peek();
  const day = before?.day !== entry.day;
  const marked = marker !== null && marker > 0 && seq > marker && (!above || above.seq <= marker);
  const joined = !day && !marked && kind === "text" && above?.kind === "text" && above.author_id === author_id
    && entry.at - /** @type {Entry} */ (before).at < JOINED_MS;
  const { drawn } = entry;
  if (drawn && drawn.day === day && drawn.marked === marked && drawn.joined === joined) return drawn.node;
  const node = html`<${Line} entry=${entry} talk=${talk} day=${day} joined=${joined} marked=${marked} key=${entry.key} />`;
  entry.drawn = { day, joined, marked, node };
  return node;
}

/** @param {{talk: Talk}} props */
function Timeline({ talk }) {
  const scroller = useRef(/** @type {HTMLDivElement | null} */ (null));
  const list = useRef(/** @type {HTMLOListElement | null} */ (null));
  const away = useSignal(false); // whether the newest messages are out of view
  useScrolling(talk, scroller, list, away);
  const pointer = useMemo(() => handlers(talk), [talk]);
  const entries = talk.entries.value;
  const marker = talk.marker.value;
  const problem = talk.problem.value;
  const loading = talk.state.value !== "ready";
  return html`<div class="timeline-frame">
    <div class="messages" role="log" aria-live="off" aria-label="Messages: arrow keys move, Enter opens what can be done" tabindex="0" ref=${scroller}
      ...${pointer}>
      ${loading && !problem && html`<div class="waiting"><${Skeleton} lines=${6} /></div>`}
      ${problem && html`<div class="waiting stack"><p class="note bad"><${Icon} name="circle-alert" />${problem.message}</p>
        <button type="button" class="button" onClick=${() => talk.load()}>Try again</button></div>`}
      ${!loading && talk.earlier.value !== "none" && html`<p class="earlier small soft" aria-hidden="true"><${Icon} name="loader-circle" />Earlier messages</p>`}
      ${!loading && !entries.length && html`<${Empty} icon="message-circle" title="Say hello"><p>Nothing has been said here yet.</p></${Empty}>`}
      <ol ref=${list}>${entries.map((entry, at) => nodeOf(talk, entry, entries[at - 1], marker))}</ol>
      <${Typing} talk=${talk} />
    </div>
    ${away.value && html`<${Jump} talk=${talk} toEnd=${() => toEnd(talk, scroller.current)} />`}
    <${Heard} talk=${talk} />
  </div>`;
}

/** @param {{talk: Talk}} props */
function Typing({ talk }) {
  if (!talk.typing.value) return null;
  return html`<p class="typing-line"><span class="dots" aria-hidden="true"><i /><i /><i /></span><span class="visually-hidden">is typing</span></p>`;
}

/** @param {{talk: Talk, toEnd: () => void}} props */
function Jump({ talk, toEnd: go }) {
  const conversation = conversations.value.get(talk.id);
  const waiting = conversation ? unread(conversation) : 0;
  return html`<button type="button" class="button jump" onClick=${go}><${Icon} name="arrow-down" />
    ${waiting ? html`<span>${waiting === 1 ? "1 new message" : `${waiting} new messages`}</span>` : html`<span class="visually-hidden">To the newest messages</span>`}</button>`;
}

/** What comes in, for those who do not see it. @param {{talk: Talk}} props */
function Heard({ talk }) {
  const last = talk.entries.value.at(-1)?.message.value;
  const before = useRef(last?.seq ?? 0);
  const words = useRef("");
  if (last && last.seq > before.current && talk.state.value === "ready") {
    if (before.current && last.author_id !== me.peek()?.id) words.current = saying(last);
    before.current = last.seq;
  }
  return html`<p class="visually-hidden" role="status">${words.current}</p>`;
}

/** @param {Talk} talk @param {HTMLElement | null} scroller */
async function toEnd(talk, scroller) {
  if (talk.behind.peek()) await talk.load();
  requestAnimationFrame(() => scroller && (scroller.scrollTop = scroller.scrollHeight));
}

/**
 * Reading along at the end, staying where one is when earlier messages come, and reading further
 * pages near the edges. Heights are looked at after the layout only, so that none is forced.
 *
 * @param {Talk} talk
 * @param {{current: HTMLDivElement | null}} scroller
 * @param {{current: HTMLOListElement | null}} list
 * @param {import("@preact/signals").Signal<boolean>} away
 */
function useScrolling(talk, scroller, list, away) {
  const now = useRef({ pinned: true, height: 0, first: "", entries: 0, sought: false });
  const target = talk.target.value;
  useEffect(() => {
    const box = scroller.current;
    const content = list.current;
    if (!box || !content) return undefined;
    const state = now.current;
    const rest = () => box.scrollHeight - box.scrollTop - box.clientHeight;
    const more = () => {
      if (talk.state.peek() !== "ready") return;
      if (box.scrollTop < AHEAD_PX) talk.loadEarlier();
      if (talk.behind.peek() && rest() < AHEAD_PX) talk.fill({ all: false }).catch(() => {});
    };
    const look = () => {
      if (talk.opening || !state.pinned || document.hidden || !live.peek()) return;
      markRead(talk.id).catch(() => {}); // the next look asks again
    };
    const farFromEnd = () => rest() > box.clientHeight / 2 || talk.behind.peek();
    const settle = () => {
      const height = content.offsetHeight;
      const first = talk.entries.peek()[0]?.key ?? "";
      if (state.pinned && !talk.behind.peek()) box.scrollTop = box.scrollHeight;
      else if (first !== state.first && state.first && content.querySelector(`[data-key="${state.first}"]`)) box.scrollTop += height - state.height;
      state.height = height;
      state.first = first;
      away.value = farFromEnd();
      look();
      if (!state.pinned || height < 2 * AHEAD_PX) more();
    };
    const follow = () => {
      state.pinned = rest() < NEAR_PX && !talk.behind.peek();
      away.value = farFromEnd();
      look();
      more();
    };
    const watch = new ResizeObserver(settle);
    watch.observe(content);
    watch.observe(box);
    box.addEventListener("scroll", follow, { passive: true });
    document.addEventListener("visibilitychange", look);
    const stop = live.subscribe(look);
    return () => {
      watch.disconnect();
      box.removeEventListener("scroll", follow);
      document.removeEventListener("visibilitychange", look);
      stop();
    };
  }, [talk]);
  useLayoutEffect(() => {
    if (target === null) return undefined;
    const found = list.current?.querySelector(`[data-seq="${target}"]`);
    talk.target.value = null;
    if (!(found instanceof HTMLElement)) return undefined;
    now.current.pinned = false;
    now.current.first = talk.entries.peek()[0]?.key ?? "";
    found.scrollIntoView({ block: "center" });
    found.classList.add("found");
    setTimeout(() => found.classList.remove("found"), HIGHLIGHT_MS);
    return undefined;
  }, [target]);
  useLayoutEffect(() => {
    // One's own words are always seen.
    const entries = talk.entries.peek();
    const grown = entries.length === now.current.entries + 1 && entries.at(-1)?.message.peek().state === "sending";
    now.current.entries = entries.length;
    if (grown) now.current.pinned = true;
  });
}

/** Pointer and keys on the messages, for all of them at once. @param {Talk} talk */
function handlers(talk) {
  /** @type {Entry | null} */
  let active = null;
  let press = 0;
  let pressed = false; // then letting go is no click
  /** @param {EventTarget | null} target */
  const lineOf = (target) => (target instanceof Element ? target.closest("[data-key]") : null);
  /** @param {Element | null} line */
  const entryOf = (line) => {
    const key = line?.getAttribute("data-key");
    return key ? talk.entries.peek().find((entry) => entry.key === key) ?? null : null;
  };
  /** @param {Entry | null} entry */
  const activate = (entry) => {
    if (entry === active) return;
    if (active) active.active.value = false;
    active = entry;
    if (active) active.active.value = true;
  };
  /** @param {Element | null} line @param {{left: number, bottom: number}} [at] */
  const menu = (line, at) => {
    const entry = entryOf(line);
    const message = entry?.message.peek();
    if (!entry || !line || message?.state || message?.deleted_at) return false;
    openMenu(entry, at ?? (line.querySelector(".bubble") ?? line).getBoundingClientRect());
    return true;
  };
  /** @param {KeyboardEvent} event */
  const keys = (event) => {
    const box = /** @type {HTMLElement} */ (event.currentTarget);
    const line = lineOf(event.target);
    if (event.target !== box && event.target !== line) return;
    const lines = [...box.querySelectorAll("[data-key]")];
    const at = line ? lines.indexOf(line) : lines.length;
    const next = event.key === "ArrowUp" ? lines[at - 1] : event.key === "ArrowDown" && line ? lines[at + 1] : null;
    if (next instanceof HTMLElement) next.focus();
    else if (!(line && (event.key === "Enter" || event.key === " ") && menu(line))) return;
    event.preventDefault();
  };
  const cancel = () => clearTimeout(press);
  return {
    onPointerOver: (/** @type {PointerEvent} */ { target, pointerType }) => pointerType === "mouse" && activate(entryOf(lineOf(target))),
    onPointerLeave: () => activate(null),
    onFocusIn: (/** @type {FocusEvent} */ { target }) => target instanceof Element && target.matches(":focus-visible") && activate(entryOf(lineOf(target))),
    onPointerDown: (/** @type {PointerEvent} */ { target, pointerType, clientX, clientY }) => {
      cancel();
      pressed = false;
      if (pointerType === "mouse") return;
      press = window.setTimeout(() => {
        pressed = menu(lineOf(target), { left: clientX, bottom: clientY });
      }, LONG_PRESS_MS);
    },
    onPointerUp: cancel,
    onTouchEnd: (/** @type {TouchEvent} */ event) => pressed && event.preventDefault(),
    onPointerCancel: cancel,
    onPointerMove: (/** @type {PointerEvent} */ { movementX, movementY }) => Math.abs(movementX) + Math.abs(movementY) > 8 && cancel(),
    onContextMenu: (/** @type {MouseEvent} */ event) => {
      const link = event.target instanceof Element && event.target.closest("a, img");
      if (link || String(getSelection())) return;
      if (menu(lineOf(event.target), { left: event.clientX, bottom: event.clientY })) event.preventDefault();
    },
    onKeyDown: keys,
  };
}
