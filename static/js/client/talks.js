// What changes conversations: pushes, the list as it is read, and the person's own commands.

import { signal } from "@preact/signals";
import { live, me, server, write } from "../shared/server.js";
import { say } from "../shared/toasts.js";
import { conversations, other, putConversation, saying, unread } from "./conversations.js";
import { Talk, forgetDrafts } from "./talk.js";

/** @typedef {import("./conversations.js").Conversation} Conversation */
/** @typedef {import("./conversations.js").Message} Message */
/** @typedef {import("../../client/jobsphere.js").UserPresence} Presence */

const LIST = 50;

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

/** @param {string} userId */
export function presenceOf(userId) {
  let known = presences.get(userId);
  if (!known) presences.set(userId, (known = signal(/** @type {Presence | null} */ (null))));
  return known;
}

/** @param {string} id @returns {Talk} */
export function talkOf(id) {
  let talk = talks.get(id);
  if (!talk) talks.set(id, (talk = new Talk(id, receive)));
  return talk;
}

// -- pushes ----------------------------------------------------------------------------------

/** A message, new or changed; its `seq` is the conversation's own. @param {Message} message */
export function receive(message) {
  talks.get(message.conversation_id)?.receive(message);
  if (!conversations.peek().has(message.conversation_id)) {
    findConversation(message.conversation_id).then(() => tell(message), () => {});
    return;
  }
  showLast(message);
  if (!message.revision) tell(message); // a change of it is no news
}

/** Somebody has read up to `seq`; one's own mark also comes from one's other devices. @param {{conversation_id: string, user_id: string, seq: number}} receipt */
export function mark({ conversation_id, user_id, seq }) {
  const conversation = conversations.peek().get(conversation_id);
  if (!conversation || (conversation.read[user_id] ?? 0) >= seq) return;
  const all = seq >= conversation.head;
  const own = user_id === me.peek()?.id;
  putConversation({ ...conversation, read: { ...conversation.read, [user_id]: seq }, unread: own && all ? 0 : conversation.unread });
  if (own && !all) server.chat.get({ conversation_id }).then((item) => putAll([item]), () => {}); // counts what is left
}

/** How many messages are unread once this one has come, new or changed. @param {Conversation} conversation @param {Message} message */
function unreadWith({ unread, head, read }, { seq, author_id, by, revision, deleted_at }) {
  const own = me.peek()?.id;
  if (author_id === own || by === own || seq <= (read[own ?? ""] ?? 0)) return unread;
  if (!revision && seq > head) return unread + 1;
  return deleted_at ? Math.max(0, unread - 1) : unread;
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
  if (!conversation) return;
  const unread = unreadWith(conversation, message);
  const last = conversation.last_message;
  if (last && (seq - last.seq || revision - last.revision) < 0) {
    if (unread !== conversation.unread) putConversation({ ...conversation, unread });
    return;
  }
  const read = { ...conversation.read };
  const own = me.peek()?.id;
  if (own && (author_id === own || by === own) && read[own] === seq - 1) read[own] = seq;
  const last_message = { seq, revision, author_id, text: saying(message).slice(0, 200), at };
  putConversation({ ...conversation, read, unread, head: Math.max(conversation.head, seq), last_message });
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

/** What the server says of conversations; what pushes have brought meanwhile stays. @param {Conversation[]} items */
function putAll(items) {
  const known = new Map(conversations.peek());
  for (const item of items) {
    const before = known.get(item.id);
    const read = { ...item.read };
    for (const [user, seq] of Object.entries(before?.read ?? {})) read[user] = Math.max(seq, read[user] ?? 0);
    const later = before && before.head > item.head ? { head: before.head, last_message: before.last_message } : {};
    const own = me.peek()?.id ?? "";
    const ahead = before && (before.head > item.head || (before.read[own] ?? 0) > (item.read[own] ?? 0));
    known.set(item.id, { ...item, read, unread: ahead ? before.unread : item.unread, ...later });
  }
  conversations.value = known;
  for (const item of items) talks.get(item.id)?.compare(item);
}

/** @type {Promise<void> | null} */
let reading = null;

/** Read the first page of the list; those who ask while it is read get the same answer. */
export function readList() {
  reading ??= readFirst().finally(() => (reading = null));
  return reading;
}

async function readFirst() {
  const { items, next_cursor } = await server.chat.list({ limit: LIST });
  putAll(items);
  if (!listed.peek().ready) listed.value = { ready: true, cursor: next_cursor };
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
  if (conversations.peek().has(id)) return true;
  try {
    putAll([await server.chat.get({ conversation_id: id })]);
  } catch (refused) {
    if (/** @type {any} */ (refused).code !== "not_found") throw refused;
  }
  return conversations.peek().has(id);
}

/** Open the conversation with somebody about a job; resolves with its path. @param {string} job_id @param {string} user_id */
export async function openWith(job_id, user_id) {
  const conversation = await write(() => server.chat.open({ job_id, user_id }));
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
  if (!on) server.chat.presence({ conversation_ids: [id] }).then(({ items }) => items.forEach(putPresence), () => {});
}

live.subscribe((now) => {
  if (now) for (const talk of talks.values()) talk.retryAll();
});

/** Forget the person who was signed in. */
export function forgetTalks() {
  forgetDrafts();
  for (const talk of talks.values()) talk.dropAll();
  talks.clear();
  presences.clear();
  conversations.value = new Map();
  listed.value = { ready: false, cursor: null };
}
