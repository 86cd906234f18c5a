// Chat: conversations without gaps, with what was changed later; their views and actions.

import { api } from "./api.js";
import { sent } from "./files.js";
import { line, saying } from "./messages.js";
import { button, choice, empty, field, folded, form, meta, section } from "./parts.js";
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

/** Add messages that are not there, and later versions of those that are. */
export function add(id, items) {
  const known = new Map((state.messages.get(id) ?? []).map((message) => [message.seq, message]));
  for (const message of items) {
    if ((known.get(message.seq)?.version ?? 0) < message.version) known.set(message.seq, message);
  }
  state.messages.set(id, [...known.values()].sort((a, b) => a.seq - b.seq));
  const last = state.messages.get(id).at(-1);
  if (last) show(last);
  changed();
}

/** Changes of messages; those that are not loaded are read with the others, when they are. */
function change(id, items) {
  const first = state.messages.get(id)?.[0]?.seq ?? Infinity;
  add(id, items.filter((message) => message.seq >= first));
}

/** Let the list show a message, if it shows no later one; one's own deeds need not be read. */
function show(message) {
  const { conversation_id, seq, revision, author_id, by, created_at: at } = message;
  const conversation = state.conversations.get(conversation_id);
  const shown = conversation?.last_message;
  if (!conversation || (shown && (seq - shown.seq || revision - shown.revision) < 0)) return;
  const read = { ...conversation.read };
  const me = state.user.id;
  if (author_id === me || (by === me && read[me] === seq - 1)) read[me] = Math.max(read[me], seq);
  const last_message = { seq, revision, author_id, text: saying(message), at };
  putConversation({ ...conversation, read, head: Math.max(conversation.head, seq), last_message });
}

/** A pushed message, new or changed; its `seq` is the conversation's own. */
export function receive(message) {
  const id = message.conversation_id;
  const conversation = state.conversations.get(id);
  if (!conversation) {
    loadConversations().then(() => tell(message), () => {});
    return;
  }
  const known = state.messages.get(id);
  const revision = state.revisions.get(id) ?? 0;
  const gap = message.seq > (known?.at(-1)?.seq ?? 0) + 1 || message.revision > revision + 1;
  show(message);
  if (known && gap) catchUp([id]).catch(() => {});
  else if (known) {
    state.revisions.set(id, Math.max(revision, message.revision));
    change(id, [message]);
  }
  if (message.revision) return; // it was told when it was new
  if (shown()?.id === id) markRead().catch(() => {});
  else tell(message);
}

function tell(message) {
  const conversation = state.conversations.get(message.conversation_id);
  if (!conversation || message.author_id === state.user.id || message.kind !== "text") return;
  const { id, name } = other(conversation);
  notify(`${name}: ${saying(message)}`, { link: `#/chat/${conversation.job_id}/${id}` });
}

/** Fill the gaps of the conversations whose messages are on this page. */
export async function catchUp(ids = [...state.messages.keys()]) {
  while (ids.length) {
    const asked = ids.slice(0, 100);
    const { conversations, changes } = await api.command("/chat", "sync", {
      conversations: Object.fromEntries(
        asked.map((id) => [id, state.messages.get(id)?.at(-1)?.seq ?? 0])),
      revisions: Object.fromEntries(asked.map((id) => [id, state.revisions.get(id) ?? 0])),
    });
    const behind = new Set();
    const lists = [...Object.values(conversations), ...Object.values(changes)];
    const more = lists.some(({ items }) => items.length); // one answer may not have all
    for (const [id, { items, head }] of Object.entries(conversations)) {
      add(id, items);
      if (more && (state.messages.get(id)?.at(-1)?.seq ?? 0) < head) behind.add(id);
    }
    for (const [id, { items, revision }] of Object.entries(changes)) {
      change(id, items);
      const reached = Math.max(state.revisions.get(id) ?? 0, items.at(-1)?.revision ?? 0);
      state.revisions.set(id, more ? reached : Math.max(reached, revision));
      if (more && reached < revision) behind.add(id);
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
    state.revisions.set(opened.id, opened.revision); // or a later one: then changes come twice
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
    conversation.last_message
      && el("p.preview", {}, conversation.last_message.text || "Message deleted"),
  );
}

const REASONS = [["abuse", "Abuse"], ["fraud", "Fraud"], ["spam", "Spam"], ["other", "Other"]];

function unwanted({ id, blocked_by }) {
  const mine = blocked_by.includes(state.user.id);
  return folded(
    "Block or report", `unwanted:${id}`,
    mine ? button("Unblock", "unblock", id) : button("Block", "block", id),
    form("report", id, "Report",
      choice("Reason", "reason", REASONS),
      field("What happened", "text", { maxlength: 2000, required: false })),
  );
}

/** Where one writes: something new, an answer, or a message otherwise. */
function pen(conversation) {
  const { id, blocked_by } = conversation;
  if (blocked_by.length) {
    const mine = blocked_by.includes(state.user.id);
    const name = mine ? "You have" : `${other(conversation).name} has`;
    return el("p.empty", { "data-key": `blocked:${id}` }, `${name} blocked this conversation.`);
  }
  const { answering, changing } = state.pen?.of === id ? state.pen : {};
  if (changing) {
    return form("change", changing.id, "Save",
      field("Change your message", "text", { maxlength: 4000, autocomplete: "off", value: changing.text }),
      button("Cancel", "put_down", id, "quiet"));
  }
  return form("say", id, "Send",
    field("Message", "text", { maxlength: 4000, autocomplete: "off", required: false,
      hint: answering && `Your answer to: ${saying(answering)}` }),
    field("Files", "files", { type: "file", multiple: true, required: false }),
    answering && button("Cancel", "put_down", id, "quiet"));
}

function panel(conversation) {
  const messages = state.messages.get(conversation.id) ?? [];
  const { name } = other(conversation);
  const earlier = messages.length > 0 && messages[0].seq > 1;
  return el(
    "section.chat.card", { "data-key": `chat:${conversation.id}`, "aria-label": `Chat with ${name}` },
    el("header", {}, el("h2", {}, name),
      el("a", { href: `#/job/${conversation.job_id}` }, conversation.job_title),
      unwanted(conversation)),
    el(
      "ol.messages", { "data-key": "messages", "data-end": messages.at(-1)?.seq ?? 0, tabindex: "0",
        "aria-live": "polite" },
      earlier && el("li.earlier", { "data-key": "earlier" },
        button("Earlier messages", "earlier", conversation.id, "quiet")),
      messages.map((message, place) =>
        line(message, conversation, messages, place === messages.length - 1)),
      messages.length === 0 && el("li.empty", { "data-key": "none" }, "Say hello."),
    ),
    pen(conversation),
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

function find(messageId) {
  return [...state.messages.values()].flat().find((message) => message.id === messageId);
}

/** Do something with a message, and take what it is then. */
async function touch(command, messageId, fields = {}) {
  const { conversation_id, id: message_id } = find(messageId);
  change(conversation_id, [
    await api.command("/chat", command, { conversation_id, message_id, ...fields }),
  ]);
}

function takeUp(pen) {
  state.pen = pen;
  changed();
}

async function block(id, on) {
  putConversation(await api.command("/chat", "block", { conversation_id: id, on }));
}

export const chatActions = {
  async say({ id, fields, element }) {
    const { answering } = state.pen?.of === id ? state.pen : {};
    const file_ids = await sent(element.elements.files.files);
    if (!fields.text && !file_ids.length) return;
    const said = await api.command("/chat", "send", {
      conversation_id: id, file_ids,
      ...(fields.text ? { text: fields.text } : {}),
      ...(answering ? { reply_to: answering.id } : {}),
    });
    element.reset();
    takeUp(null);
    const known = state.messages.get(id)?.at(-1)?.seq ?? 0;
    if (said.seq > known + 1) await catchUp([id]);
    else add(id, [said]);
  },
  async earlier({ id }) {
    const before_seq = state.messages.get(id)[0].seq;
    const asked = { conversation_id: id, before_seq, limit: PAGE };
    add(id, (await api.command("/chat", "history", asked)).items);
  },
  async reply({ id }) {
    const answering = find(id);
    takeUp({ of: answering.conversation_id, answering });
  },
  async edit({ id }) {
    const changing = find(id);
    takeUp({ of: changing.conversation_id, changing });
  },
  async put_down() {
    takeUp(null);
  },
  async change({ id, fields }) {
    await touch("edit", id, { text: fields.text });
    takeUp(null);
  },
  unsay: ({ id }) => touch("delete", id),
  async react({ id }) {
    const [message, emoji, on] = JSON.parse(id);
    await touch("react", message, { emoji, on });
  },
  block: ({ id }) => block(id, true),
  unblock: ({ id }) => block(id, false),
  async report({ id, fields, element }) {
    const { reason, text } = fields;
    await api.command("/chat", "report", { conversation_id: id, reason, text });
    element.reset();
    notify("Thank you: an administrator will look at it.");
  },
};
