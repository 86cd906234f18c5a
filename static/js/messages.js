// One line of a chat: what somebody said, or what has happened between the two.

import { attachments } from "./files.js";
import { button, folded, when } from "./parts.js";
import { state } from "./state.js";
import { el } from "./dom.js";

const EMOJIS = ["👍", "❤️", "😂"];

/** A message, the last one with whether it was seen; `messages` are those that are loaded. */
export function line(message, conversation, messages, last) {
  const { id, author_id, kind, seq, text, deleted_at, edited_at, created_at } = message;
  if (kind !== "text") return el("li.event", { "data-key": id }, text, " ", when(created_at));
  const own = author_id === state.user.id;
  const name = own ? "li.own" : "li";
  if (deleted_at) return el(name, { "data-key": id }, el("em", {}, "Message deleted"));
  const others = Object.entries(conversation.read).filter(([user]) => user !== state.user.id);
  const seen = own && last && others.every(([, read]) => read >= seq);
  return el(
    name, { "data-key": id },
    message.reply_to && quote(message.reply_to, messages),
    text && el("p.text", {}, text),
    attachments(message.files),
    el("small", {}, when(created_at), edited_at ? " · edited" : null, seen ? " · seen" : null),
    message.reactions.length > 0
      && el("p.reactions", {}, message.reactions.map((given) => reaction(message, given))),
    tools(message, own),
  );
}

/** What a message answers, as it reads now. */
function quote({ seq }, messages) {
  const answered = messages.find((message) => message.seq === seq);
  const gone = answered ? "Message deleted" : "An earlier message";
  return el("blockquote", {}, (answered && saying(answered)) || gone);
}

/** What a message says in a few words: its text, or the names of its files. */
export function saying({ text, files }) {
  return text || files.map((file) => file.name).join(", ");
}

function reaction(message, { emoji, user_ids }) {
  const mine = user_ids.includes(state.user.id);
  const label = user_ids.length > 1 ? `${emoji} ${user_ids.length}` : emoji;
  return button(label, "react", JSON.stringify([message.id, emoji, !mine]), mine ? "mine" : "quiet");
}

function tools(message, own) {
  const { id } = message;
  const give = (emoji) => button(emoji, "react", JSON.stringify([id, emoji, true]), "quiet");
  return folded(
    "More", `tools:${id}`,
    button("Reply", "reply", id, "quiet"), EMOJIS.map(give),
    own && button("Edit", "edit", id, "quiet"), own && button("Delete", "unsay", id, "quiet"),
  );
}
