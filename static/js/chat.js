// Chat: conversations without gaps, their views and actions.

import { api, unique } from "./api.js";
import { button, empty, field, form, meta, section, when } from "./parts.js";
import { changed, notify, putConversation, state, unread } from "./state.js";
import { el } from "./dom.js";
import { loadConversations } from "./lists.js";

const PAGE = 50;

export function other(conversation) {
  const id = conversation.members.find((member) => member !== state.user.id);
  return { id, name: conversation.names[id] };
}

function between(jobId, userId) {
  const found = [...state.conversations.values()];
  return found.find((each) => each.job_id === jobId && each.members.includes(userId));
}

/** Add messages that are not there; a gap in the numbers is asked for. */
export function add(id, items) {
  const known = new Map((state.messages.get(id) ?? []).map((message) => [message.seq, message]));
  for (const message of items) known.set(message.seq, message);
  state.messages.set(id, [...known.values()].sort((a, b) => a.seq - b.seq));
  const conversation = state.conversations.get(id);
  const last = state.messages.get(id).at(-1);
  if (conversation && last && last.seq > (conversation.last_message?.seq ?? 0)) {
    const { seq, author_id, text, created_at: at } = last;
    const read = { ...conversation.read };
    if (author_id === state.user.id) read[author_id] = seq;
    putConversation({ ...conversation, read, head: seq, last_message: { seq, author_id, text, at } });
  }
  changed();
}

/** A pushed message; its `seq` is the conversation's own. */
export function receive(message) {
  const id = message.conversation_id;
  const conversation = state.conversations.get(id);
  if (!conversation) {
    loadConversations().then(() => tell(message), () => {});
    return;
  }
  const known = state.messages.get(id);
  if (known && message.seq > (known.at(-1)?.seq ?? 0) + 1) catchUp([id]).catch(() => {});
  else add(id, known ? [message] : []);
  if (!known && message.seq > conversation.head) {
    const { seq, author_id, text, created_at: at } = message;
    putConversation({ ...conversation, head: seq, last_message: { seq, author_id, text, at } });
  }
  if (shown()?.id === id) markRead().catch(() => {});
  else tell(message);
}

function tell(message) {
  const conversation = state.conversations.get(message.conversation_id);
  if (!conversation || message.author_id === state.user.id) return;
  const { id, name } = other(conversation);
  notify(`${name}: ${message.text}`, { link: `#/chat/${conversation.job_id}/${id}` });
}

/** Fill the gaps of the conversations whose messages are on this page. */
export async function catchUp(ids = [...state.messages.keys()]) {
  while (ids.length) {
    const asked = ids.slice(0, 100).map((id) => [id, state.messages.get(id)?.at(-1)?.seq ?? 0]);
    const { conversations } = await api.command("/chat", "sync", {
      conversations: Object.fromEntries(asked),
    });
    const behind = [];
    for (const [id, { items, head }] of Object.entries(conversations)) {
      add(id, items);
      if (items.length && items.at(-1).seq < head) behind.push(id);
    }
    ids = [...behind, ...ids.slice(100)];
  }
}

/** The conversation that is on the screen. */
function shown() {
  const { name, params } = state.route;
  if (name !== "chat" || params.length < 2 || document.hidden) return null;
  return between(...params);
}

export async function markRead() {
  const conversation = shown();
  if (!conversation || unread(conversation) <= 0) return;
  const seq = conversation.head;
  mark(await api.command("/chat", "read", { conversation_id: conversation.id, seq }));
}

/** Somebody has read up to `seq`; an own mark also comes from one's other devices. */
export function mark({ conversation_id, user_id, seq }) {
  const conversation = state.conversations.get(conversation_id);
  if (conversation) putConversation({ ...conversation, read: { ...conversation.read, [user_id]: seq } });
}

async function load([jobId, userId] = []) {
  await loadConversations();
  if (!jobId) return;
  const opened = between(jobId, userId)
    ?? (await api.command("/chat", "open", { job_id: jobId, user_id: userId }));
  putConversation(opened);
  if (state.messages.has(opened.id)) await catchUp([opened.id]);
  else {
    const asked = { conversation_id: opened.id, limit: PAGE };
    add(opened.id, (await api.command("/chat", "history", asked)).items);
  }
  await markRead();
}

// -- views -----------------------------------------------------------------------------------

function entry(conversation) {
  const { id, name } = other(conversation);
  const waiting = unread(conversation);
  const chosen = state.route.params[0] === conversation.job_id && state.route.params[1] === id;
  return el(
    "a.card.talk", {
      href: `#/chat/${conversation.job_id}/${id}`, "data-key": conversation.id,
      "aria-current": chosen ? "true" : null,
    },
    el("div.row", {}, el("h3", {}, name), waiting > 0 && el("span.badge.busy", {}, `${waiting} new`)),
    meta(conversation.job_title),
    conversation.last_message && el("p.preview", {}, conversation.last_message.text),
  );
}

function messageLine(message, conversation, last) {
  const own = message.author_id === state.user.id;
  const seen = own && last && (conversation.read[other(conversation).id] ?? 0) >= message.seq;
  return el(
    own ? "li.own" : "li", { "data-key": message.id },
    el("p.text", {}, message.text), el("small", {}, when(message.created_at), seen ? " · seen" : null),
  );
}

function panel(conversation) {
  const messages = state.messages.get(conversation.id) ?? [];
  const { name } = other(conversation);
  const earlier = messages.length > 0 && messages[0].seq > 1;
  return el(
    "section.chat.card", { "data-key": `chat:${conversation.id}`, "aria-label": `Chat with ${name}` },
    el("header", {}, el("h2", {}, name),
      el("a", { href: `#/job/${conversation.job_id}` }, conversation.job_title)),
    el(
      "ol.messages", { "data-key": "messages", "data-end": messages.at(-1)?.seq ?? 0, tabindex: "0",
        "aria-live": "polite" },
      earlier && el("li.earlier", { "data-key": "earlier" },
        button("Earlier messages", "earlier", conversation.id, "quiet")),
      messages.map((message, place) =>
        messageLine(message, conversation, place === messages.length - 1)),
      messages.length === 0 && el("li.empty", { "data-key": "none" }, "Say hello."),
    ),
    form("say", conversation.id, "Send",
      field("Message", "text", { maxlength: 4000, autocomplete: "off" })),
  );
}

function view([jobId, userId] = []) {
  const found = [...state.conversations.values()].sort((a, b) => when_active(b) - when_active(a));
  const open = jobId && between(jobId, userId);
  return el(
    `div.talks${jobId ? ".open" : ""}`, { "data-key": "talks" },
    section("Messages", found.map(entry),
      found.length === 0 && empty("A chat opens when an applicant is put on the shortlist.")),
    open ? panel(open) : el("p.empty.aside", {}, jobId ? "Opening…" : "Choose a conversation."),
  );
}

function when_active(conversation) {
  return Date.parse(conversation.last_message?.at ?? conversation.created_at);
}

export const chatView = { load, view };

export const chatActions = {
  async say({ id, fields, element }) {
    const sent = await api.command("/chat", "send", {
      conversation_id: id, text: fields.text, client_id: unique(),
    });
    element.reset();
    const known = state.messages.get(id)?.at(-1)?.seq ?? 0;
    if (sent.seq > known + 1) await catchUp([id]);
    else add(id, [sent]);
  },
  async earlier({ id }) {
    const before_seq = state.messages.get(id)[0].seq;
    const asked = { conversation_id: id, before_seq, limit: PAGE };
    add(id, (await api.command("/chat", "history", asked)).items);
  },
};
