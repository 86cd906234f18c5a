// Conversations and their messages, each message in a signal of its own.
//
// Pushes bring what is new. What is missing between two messages is read with `chat.history`. The
// part of a conversation that is on the page has no gaps; it may end before the newest message,
// when somebody has jumped to an earlier one.

import { computed, signal } from "@preact/signals";
import { live, me, server, write } from "../shared/server.js";
import { say } from "../shared/toasts.js";

/** @typedef {import("../../client/jobsphere.js").SeenConversation} Conversation */
/** @typedef {import("../../client/jobsphere.js").Message} Message */
/** @typedef {import("../../client/jobsphere.js").UserPresence} Presence */
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
const LIST = 50;
const FAR = 200; // messages: a larger gap is not filled but jumped over
const TYPING_MS = 6_000; // then it is forgotten
const DRAFTS = "jobsphere.draft.";
const SEARCHED = 20; // pages of the list in which an unknown conversation is looked for

/** Conversations by id. @type {import("@preact/signals").Signal<Map<string, Conversation>>} */
export const conversations = signal(new Map());

/** The most recently active first. */
export const ordered = computed(() =>
  [...conversations.value.values()].sort((one, other) => (activeAt(one) < activeAt(other) ? 1 : -1)));

/** Whether the list has more than what was read. */
export const listed = signal(/** @type {{ready: boolean, cursor: string | null}} */ ({ ready: false, cursor: null }));

/** The conversation on the screen; null if there is none. */
export const shown = signal(/** @type {string | null} */ (null));

/** Whether the list of conversations is on the screen, so that nothing else need tell of news. */
export const listShown = signal(false);

/** @type {Map<string, Talk>} */
const talks = new Map();
/** @type {Map<string, import("@preact/signals").Signal<Presence | null>>} */
const presences = new Map();

/** @param {Conversation} conversation */
const activeAt = (conversation) => conversation.last_message?.at ?? conversation.created_at;

/** How much of a conversation the person has not read. @param {Conversation} conversation */
export const unread = (conversation) =>
  Math.max(0, conversation.head - (conversation.read[server.user?.id ?? ""] ?? 0));

/** The other member. @param {Conversation} conversation */
export function other(conversation) {
  const id = conversation.members.find((member) => member !== me.value?.id) ?? conversation.members[0];
  return { id, name: conversation.names[id] ?? "?" };
}

/** What a message says in a few words: its text, or the names of its files. @param {Pick<Message, "text" | "files">} message */
export const saying = ({ text, files }) => text || files.map(({ name }) => name).join(", ");

/** @param {string} userId */
export function presenceOf(userId) {
  let known = presences.get(userId);
  if (!known) presences.set(userId, (known = signal(/** @type {Presence | null} */ (null))));
  return known;
}

/** @param {string} id @returns {Talk} */
export function talkOf(id) {
  let talk = talks.get(id);
  if (!talk) talks.set(id, (talk = new Talk(id)));
  return talk;
}

/** A part of a conversation without gaps, and what of it waits to be sent. */
export class Talk {
  /** As they are shown. */
  entries = signal(/** @type {Entry[]} */ ([]));
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

  /** @param {string} id */
  constructor(id) {
    this.id = id;
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
    if (entry.message.peek().state !== "failed") return;
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
    this.#unsent = this.#unsent.filter((each) => each !== entry);
    this.#publish();
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
      });
      receive(message);
    } catch (refused) {
      if (entry.message.peek().seq) return; // a push has brought it
      const { message: problem = "It could not be sent.", code } = /** @type {any} */ (refused);
      entry.message.value = { ...entry.message.peek(), state: "failed", problem, again: code === "unavailable" };
      if (code === "unavailable" && live.peek()) setTimeout(() => live.peek() && this.retry(entry), 5_000);
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
    this.#unsent = this.#unsent.filter((each) => each !== entry);
    entry.message.value = message;
    this.#said.push(entry);
    this.#bySeq.set(message.seq, entry);
    this.#publish();
    return entry;
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
      this.#unsent = this.#unsent.filter((each) => each !== mine);
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

// -- pushes ----------------------------------------------------------------------------------

/** A message, new or changed; its `seq` is the conversation's own. @param {Message} message */
export function receive(message) {
  talks.get(message.conversation_id)?.receive(message);
  if (!conversations.peek().has(message.conversation_id)) {
    readList().then(() => tell(message), () => {});
    return;
  }
  showLast(message);
  if (!message.revision) tell(message); // a change of it is no news
}

/** Somebody has read up to `seq`; one's own mark also comes from one's other devices. @param {{conversation_id: string, user_id: string, seq: number}} receipt */
export function mark({ conversation_id, user_id, seq }) {
  const conversation = conversations.peek().get(conversation_id);
  if (!conversation || (conversation.read[user_id] ?? 0) >= seq) return;
  putConversation({ ...conversation, read: { ...conversation.read, [user_id]: seq } });
}

/** @param {{conversation_id: string, user_id: string, typing: boolean}} state */
export function hear(state) {
  talkOf(state.conversation_id).hear(state);
}

/** @param {Presence} presence */
export function putPresence(presence) {
  presenceOf(presence.user_id).value = presence;
}

/** Let the list show a message, if it shows no later one; one's own deeds need not be read. @param {Message} message */
function showLast(message) {
  const { conversation_id, seq, revision, author_id, by, created_at: at } = message;
  const conversation = conversations.peek().get(conversation_id);
  const last = conversation?.last_message;
  if (!conversation || (last && (seq - last.seq || revision - last.revision) < 0)) return;
  const read = { ...conversation.read };
  const own = me.peek()?.id;
  if (author_id === own || (by === own && read[own] === seq - 1)) read[own] = Math.max(read[own] ?? 0, seq);
  const last_message = { seq, revision, author_id, text: saying(message).slice(0, 200), at };
  putConversation({ ...conversation, read, head: Math.max(conversation.head, seq), last_message });
}

/** @param {Message} message */
function tell(message) {
  const conversation = conversations.peek().get(message.conversation_id);
  if (!conversation || message.author_id === me.peek()?.id || message.kind !== "text") return;
  if (listShown.peek() || shown.peek() === message.conversation_id) return;
  const words = saying(message);
  say(`${other(conversation).name}: ${words.length > 80 ? `${words.slice(0, 80)}…` : words}`, {
    link: `/chat/${message.conversation_id}`, more: "Answer",
  });
}

// -- the list --------------------------------------------------------------------------------

/** @param {Conversation} conversation */
export function putConversation(conversation) {
  conversations.value = new Map(conversations.peek()).set(conversation.id, conversation);
}

/** What the server says of conversations; what pushes have brought meanwhile stays. @param {Conversation[]} items */
function putAll(items) {
  const known = new Map(conversations.peek());
  for (const item of items) {
    const before = known.get(item.id);
    const read = { ...item.read };
    for (const [user, seq] of Object.entries(before?.read ?? {})) read[user] = Math.max(seq, read[user] ?? 0);
    const later = before && before.head > item.head ? { head: before.head, last_message: before.last_message } : {};
    known.set(item.id, { ...item, read, ...later });
  }
  conversations.value = known;
  for (const item of items) talks.get(item.id)?.compare(item);
}

/** The first page of the list, again after each connection. */
export async function readList() {
  const { items, next_cursor } = await server.chat.list({ limit: LIST });
  putAll(items);
  if (!listed.peek().ready) listed.value = { ready: true, cursor: next_cursor };
  return items;
}

/** The next page of the list. */
export async function readMore() {
  const { cursor } = listed.peek();
  if (!cursor) return;
  const { items, next_cursor } = await server.chat.list({ limit: LIST, cursor });
  putAll(items);
  listed.value = { ready: true, cursor: next_cursor };
}

/** A conversation that may be far down the list. Returns whether it is there. @param {string} id */
export async function findConversation(id) {
  if (!conversations.peek().has(id)) await readList();
  for (let page = 1; page < SEARCHED && !conversations.peek().has(id) && listed.peek().cursor; page += 1) await readMore();
  return conversations.peek().has(id);
}

/** Open the conversation with somebody about a job; resolves with its path. @param {string} job_id @param {string} user_id */
export async function openWith(job_id, user_id) {
  const conversation = await server.chat.open({ job_id, user_id });
  putAll([conversation]);
  return `/chat/${conversation.id}`;
}

/** All that is there has been read. @param {string} id */
export async function markRead(id) {
  const conversation = conversations.peek().get(id);
  const own = me.peek()?.id;
  if (!conversation || !own || unread(conversation) === 0) return;
  const seq = conversation.head;
  mark({ conversation_id: id, user_id: own, seq });
  await server.chat.read({ conversation_id: id, seq });
}

/** Stop both from writing, or end one's own block. @param {string} id @param {boolean} on */
export async function block(id, on) {
  putAll([await write(() => server.chat.block({ conversation_id: id, on }))]);
}

/** @param {string} id */
function blockedByOther(id) {
  const conversation = conversations.peek().get(id);
  if (!conversation || conversation.blocked_by.length) return;
  putConversation({ ...conversation, blocked_by: [other(conversation).id] });
}

live.subscribe((now) => {
  if (now) for (const talk of talks.values()) talk.retryAll();
});

/** Forget the person who was signed in. */
export function forgetTalks() {
  for (const key of Object.keys(localStorage)) if (key.startsWith(DRAFTS)) localStorage.removeItem(key);
  talks.clear();
  presences.clear();
  conversations.value = new Map();
  listed.value = { ready: false, cursor: null };
}

// -- small things ----------------------------------------------------------------------------

/** @param {string} id */
const draftKey = (id) => DRAFTS + id;

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
