// The messages of one conversation, each in a signal of its own.
//
// Pushes bring what is new. What is missing between two messages is read with `chat.history`. The
// part of a conversation that is on the page has no gaps; it may end before the newest message,
// when somebody has jumped to an earlier one.

import { computed, signal } from "@preact/signals";
import { live, me, server, setPending, write } from "../shared/server.js";
import { blockedByOther, conversations, other } from "./conversations.js";

/** @typedef {import("./conversations.js").Conversation} Conversation */
/** @typedef {import("./conversations.js").Message} Message */
/** @typedef {import("../shared/uploads.js").Upload} Upload */

/**
 * A message as it is shown. One's own that the server does not have yet has a `state` and no number.
 *
 * @typedef {Message & {state?: "sending" | "failed", problem?: string, again?: boolean, uploads?: Upload[]}} Shown
 */

/**
 * A message with a key that stays the same from the sending on.
 *
 * @typedef {object} Entry
 * @property {string} key
 * @property {import("@preact/signals").Signal<Shown>} message
 * @property {number} day the midnight before it, in milliseconds
 * @property {number} at
 * @property {import("@preact/signals").Signal<boolean>} active whether the pointer or the focus is on it
 * @property {{day: boolean, joined: boolean, marked: boolean, node: any} | null} drawn kept by the view
 */

const PAGE = 50;
const FAR = 200; // messages: a larger gap is not filled but jumped over
const TYPING_MS = 6_000; // then it is forgotten
const DRAFTS = "jobsphere.draft.";

/** A part of a conversation without gaps, and what of it waits to be sent. */
export class Talk {
  /** As they are shown. */
  entries = signal(/** @type {Entry[]} */ ([]));
  /** The key of the newest card about what has happened: what earlier ones asked for has passed. */
  newestEvent = computed(() => this.entries.value.findLast(({ message }) => message.peek().kind !== "text")?.key);
  state = signal(/** @type {"idle" | "loading" | "ready"} */ ("idle"));
  problem = signal(/** @type {any} */ (null));
  typing = signal(false);
  /** The number of the last message before the news. */
  marker = signal(/** @type {number | null} */ (null));
  /** A message to be brought into view. */
  target = signal(/** @type {number | null} */ (null));
  /** Whether newer messages exist than those that are here. */
  behind = signal(false);
  earlier = signal(/** @type {"more" | "loading" | "none"} */ ("none"));
  /** While it is decided where one begins to read, nothing counts as read. */
  opening = false;
  /** What is written and not sent; kept on this device. */
  draft;
  /** The message that is answered, and the one that is changed, with its new text. */
  answering = signal(/** @type {Entry | null} */ (null));
  editing = signal(/** @type {{entry: Entry, text: string} | null} */ (null));
  /** Files that are attached and not sent. */
  uploads = signal(/** @type {Upload[]} */ ([]));
  /** Up to which number the other member has read. */
  seen;

  /** @type {Map<number, Entry>} */
  #bySeq = new Map();
  /** @type {Entry[]} */
  #said = [];
  /** @type {Entry[]} */
  #unsent = [];
  #head = 0;
  #revision = 0;
  #reading = 0; // counts windows: an answer for an earlier one is of no use
  /** @type {Promise<void> | null} */
  #filling = null;
  #typingTimer = 0;

  /** @type {(message: Message) => void} */
  #sent;

  /** `sent` hears of each message of one's own that the server has. @param {string} id @param {(message: Message) => void} sent */
  constructor(id, sent) {
    this.id = id;
    this.#sent = sent;
    this.draft = signal(localStorage.getItem(draftKey(id)) ?? "");
    this.seen = computed(() => {
      const conversation = conversations.value.get(id);
      return conversation ? conversation.read[other(conversation).id] ?? 0 : 0;
    });
  }

  get first() {
    return this.#said[0]?.message.peek().seq ?? 0;
  }

  get last() {
    return this.#said.at(-1)?.message.peek().seq ?? 0;
  }

  /** @param {number} seq */
  find(seq) {
    return this.#bySeq.get(seq) ?? null;
  }

  /** The last message of one's own that can be changed. */
  lastOwn() {
    return this.#said.findLast(({ message }) => {
      const { author_id, deleted_at } = message.peek();
      return author_id === me.peek()?.id && !deleted_at;
    });
  }

  /** The newest messages, or those around a number, in place of what there is. @param {number} [around] */
  async load(around) {
    const reading = (this.#reading += 1);
    if (this.state.peek() === "idle") this.state.value = "loading";
    this.problem.value = null;
    const revision = conversations.peek().get(this.id)?.revision ?? 0;
    try {
      const before = around === undefined ? {} : { before_seq: around + PAGE / 2 };
      const { items, head } = await server.chat.history({ conversation_id: this.id, limit: PAGE, ...before });
      if (reading !== this.#reading) return;
      this.#head = Math.max(this.#head, head);
      this.#revision = revision; // or a later one: then changes come twice
      this.#said = items.map((message) => this.#entry(message));
      this.#bySeq = new Map(this.#said.map((entry) => [entry.message.peek().seq, entry]));
      this.state.value = "ready";
      this.#publish();
    } catch (refused) {
      if (reading === this.#reading) this.problem.value = refused;
    }
  }

  /** Go to a message, wherever it is. @param {number} seq */
  async jump(seq) {
    if (!this.#bySeq.has(seq)) await this.load(seq);
    this.target.value = null;
    this.target.value = seq;
  }

  /** The page before the first message. */
  async loadEarlier() {
    if (this.earlier.peek() !== "more") return;
    const reading = this.#reading;
    this.earlier.value = "loading";
    try {
      const { items } = await server.chat.history({ conversation_id: this.id, before_seq: this.first, limit: PAGE });
      if (reading !== this.#reading) return;
      const entries = items.filter(({ seq }) => !this.#bySeq.has(seq)).map((message) => this.#add(message));
      this.#said = [...entries, ...this.#said];
      this.#publish();
    } catch {
      if (reading === this.#reading) this.earlier.value = "more"; // scrolling asks again
    }
  }

  /** Read on after the last message: one page, or all up to the newest. */
  fill({ all = true } = {}) {
    this.#filling ??= this.#fill(all).finally(() => (this.#filling = null));
    return this.#filling;
  }

  /** A pushed message, new or changed under its old number. @param {Message} message */
  receive(message) {
    const atEnd = this.last === this.#head;
    this.#head = Math.max(this.#head, message.seq);
    this.#revision = Math.max(this.#revision, message.revision);
    if (this.state.peek() !== "ready") return;
    if (message.author_id !== me.peek()?.id) this.#setTyping(false);
    if (this.#put(message)) return;
    if (message.seq < this.first) return; // read with the others, when they are
    if (message.seq === this.last + 1) {
      this.#said.push(this.#add(message));
      this.#publish();
    } else if (atEnd) this.#catchUp();
    else this.#publish();
  }

  /** What the list of conversations says. @param {Conversation} conversation */
  compare({ head, revision }) {
    if (this.state.peek() !== "ready") return;
    const atEnd = this.last === this.#head;
    this.#head = Math.max(this.#head, head);
    if (revision > this.#revision) this.load(atEnd ? undefined : this.last - PAGE / 2);
    else if (atEnd && head > this.last) this.#catchUp();
  }

  /** @param {{user_id: string, typing: boolean}} state */
  hear({ user_id, typing }) {
    if (user_id !== me.peek()?.id) this.#setTyping(typing);
  }

  /** Say something. It is shown at once. @param {{text: string, uploads: Upload[], answered: Message | null}} words */
  say({ text, uploads, answered }) {
    const at = new Date().toISOString();
    const client_id = uniqueId();
    const entry = this.#entry(/** @type {Shown} */ ({
      id: client_id, conversation_id: this.id, author_id: me.peek()?.id, client_id, seq: 0, text, files: [], uploads,
      kind: "text", subject_id: null, by: null, reactions: [], edited_at: null, deleted_at: null, revision: 0,
      version: -1, created_at: at, updated_at: at, state: "sending",
      reply_to: answered && { id: answered.id, seq: answered.seq, author_id: answered.author_id },
    }));
    this.#unsent.push(entry);
    this.marker.value = null;
    this.#publish();
    this.#send(entry);
  }

  /** Send again what has failed. @param {Entry} entry */
  retry(entry) {
    if (!this.#unsent.includes(entry) || entry.message.peek().state !== "failed") return;
    entry.message.value = { ...entry.message.peek(), state: "sending", problem: undefined };
    for (const upload of entry.message.peek().uploads ?? []) upload.start();
    this.#send(entry);
  }

  /** Send again what the server could not take. */
  retryAll() {
    for (const entry of this.#unsent) if (entry.message.peek().again) this.retry(entry);
  }

  /** Drop what was not sent. @param {Entry} entry */
  drop(entry) {
    this.#settle(entry);
    this.#publish();
  }

  /** Drop all that was not sent. */
  dropAll() {
    for (const entry of this.#unsent) this.drop(entry);
  }

  /** Change a message by a command whose answer is the message. @param {() => Promise<Message>} command */
  async change(command) {
    this.#put(await write(command));
  }

  /** Add or remove one's own emoji; it is shown at once. @param {Entry} entry @param {string} emoji */
  async react(entry, emoji) {
    const before = entry.message.peek();
    const own = me.peek().id;
    const on = !before.reactions.some((each) => each.emoji === emoji && each.user_ids.includes(own));
    const after = { ...before, reactions: reacted(before.reactions, emoji, own, on) };
    entry.message.value = after;
    try {
      await this.change(() => server.chat.react({ conversation_id: this.id, message_id: before.id, emoji, on }));
    } catch (refused) {
      if (entry.message.peek() === after) entry.message.value = before;
      throw refused;
    }
  }

  /** @param {string} text */
  keep(text) {
    this.draft.value = text;
    if (text) localStorage.setItem(draftKey(this.id), text);
    else localStorage.removeItem(draftKey(this.id));
  }

  /** @param {boolean} all */
  async #fill(all) {
    const reading = this.#reading;
    do {
      const { items, head } = await server.chat.history({ conversation_id: this.id, after_seq: this.last, limit: PAGE });
      if (reading !== this.#reading) return;
      this.#head = Math.max(this.#head, head);
      for (const message of items) if (!this.#put(message)) this.#said.push(this.#add(message));
      this.#publish();
      if (!items.length) return;
    } while (all && this.last < this.#head);
  }

  /** If it fails, the next message or connection asks again. */
  #catchUp() {
    if (this.#head - this.last > FAR) this.load();
    else this.fill().catch(() => {});
  }

  /** @param {Entry} entry */
  async #send(entry) {
    const { text, uploads = [], reply_to, client_id } = entry.message.peek();
    try {
      const message = await write(async () => {
        const files = await Promise.all(uploads.map(({ stored }) => stored));
        const file_ids = files.map(({ id }) => id);
        return server.chat.send({
          conversation_id: this.id, client_id, file_ids,
          ...(text && { text }), ...(reply_to && { reply_to: reply_to.id }),
        }, { requestId: client_id ?? undefined });
      }, entry);
      this.#sent(message);
    } catch (refused) {
      if (!this.#unsent.includes(entry)) return; // a push has brought it, or it was dropped
      const { message: problem = "It could not be sent.", code } = /** @type {any} */ (refused);
      const again = code === "unavailable";
      entry.message.value = { ...entry.message.peek(), state: "failed", problem, again };
      setPending(entry, again);
      if (again && live.peek()) setTimeout(() => live.peek() && this.retry(entry), 5_000);
      if (code === "blocked") blockedByOther(this.id);
    }
  }

  /** Take over a message that is here, unless a newer version is. Returns whether it is here. @param {Message} message */
  #put(message) {
    const known = this.#bySeq.get(message.seq) ?? this.#claim(message);
    if (known && known.message.peek().version < message.version) known.message.value = message;
    return Boolean(known);
  }

  /** One's own message has its number now. @param {Message} message */
  #claim(message) {
    if (!message.client_id || message.seq !== this.last + 1) return null;
    const entry = this.#unsent.find((each) => each.message.peek().client_id === message.client_id);
    if (!entry) return null;
    this.#settle(entry);
    entry.message.value = message;
    this.#said.push(entry);
    this.#bySeq.set(message.seq, entry);
    this.#publish();
    return entry;
  }

  /** A message of one's own waits no longer: the server has it, or it was dropped. @param {Entry} entry */
  #settle(entry) {
    this.#unsent = this.#unsent.filter((each) => each !== entry);
    setPending(entry, false);
  }

  /** @param {Message} message */
  #add(message) {
    const entry = this.#entry(message);
    this.#bySeq.set(message.seq, entry);
    return entry;
  }

  /** The entry of a message; the one that it has already, if it has. @param {Shown} message @returns {Entry} */
  #entry(message) {
    const known = this.#bySeq.get(message.seq);
    if (known) {
      if (known.message.peek().version < message.version) known.message.value = message;
      return known;
    }
    const mine = message.client_id && this.#unsent.find((each) => each.message.peek().client_id === message.client_id);
    if (mine) {
      this.#settle(mine);
      mine.message.value = message;
      return mine;
    }
    const date = new Date(message.created_at);
    const day = new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
    const key = message.client_id ?? message.id;
    return { key, message: signal(message), day, at: date.getTime(), active: signal(false), drawn: null };
  }

  #publish() {
    this.behind.value = this.last < this.#head;
    this.earlier.value = this.first > 1 ? "more" : "none";
    this.entries.value = this.behind.peek() ? [...this.#said] : [...this.#said, ...this.#unsent];
  }

  /** @param {boolean} typing */
  #setTyping(typing) {
    clearTimeout(this.#typingTimer);
    this.typing.value = typing;
    if (typing) this.#typingTimer = window.setTimeout(() => (this.typing.value = false), TYPING_MS);
  }
}

/** @param {string} id */
const draftKey = (id) => DRAFTS + id;

/** Delete all drafts: they must not stay on the device after signing out. */
export function forgetDrafts() {
  for (const key of Object.keys(localStorage)) if (key.startsWith(DRAFTS)) localStorage.removeItem(key);
}

/** @param {Message["reactions"]} reactions @param {string} emoji @param {string} own @param {boolean} on */
export function reacted(reactions, emoji, own, on) {
  const given = reactions.find((each) => each.emoji === emoji);
  const others = (given?.user_ids ?? []).filter((id) => id !== own);
  const user_ids = on ? [...others, own] : others;
  if (!given) return on ? [...reactions, { emoji, user_ids }] : reactions;
  return reactions.map((each) => (each === given ? { emoji, user_ids } : each)).filter(({ user_ids: all }) => all.length);
}

/** Of 128 random bits; `randomUUID` is not there without HTTPS. */
const uniqueId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
