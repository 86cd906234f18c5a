// The conversations of the signed-in person, as the list shows them.

import { computed, signal } from "@preact/signals";
import { me } from "../shared/server.js";

/** @typedef {import("../../client/jobsphere.js").SeenConversation} Conversation */
/** @typedef {import("../../client/jobsphere.js").Message} Message */

/** Conversations by id. @type {import("@preact/signals").Signal<Map<string, Conversation>>} */
export const conversations = signal(new Map());

/** The most recently active first. */
export const ordered = computed(() =>
  [...conversations.value.values()].sort((one, other) => (activeAt(one) < activeAt(other) ? 1 : -1)));

/** When something was last said in it. @param {Conversation} conversation */
export const activeAt = (conversation) => conversation.last_message?.at ?? conversation.created_at;

/** How many messages of a conversation the person has not read and can still read. @param {Conversation} conversation */
export const unread = (conversation) => conversation.unread;

/** The other member. @param {Conversation} conversation */
export function other(conversation) {
  const id = conversation.members.find((member) => member !== me.value?.id) ?? conversation.members[0];
  return { id, name: conversation.names[id] ?? "?" };
}

/** What a message says in a few words: its text, or the names of its files. @param {Pick<Message, "text" | "files">} message */
export const saying = ({ text, files }) => text || files.map(({ name }) => name).join(", ");

/** @param {Conversation} conversation */
export function putConversation(conversation) {
  conversations.value = new Map(conversations.peek()).set(conversation.id, conversation);
}

/** @param {string} id */
export function blockedByOther(id) {
  const conversation = conversations.peek().get(id);
  if (!conversation || conversation.blocked_by.length) return;
  putConversation({ ...conversation, blocked_by: [other(conversation).id] });
}
