// Chat: the conversations, and the one that is open beside them. On a phone these are two screens.

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Avatar, Empty, Skeleton, View } from "../shared/pieces.js";
import { go, place } from "../shared/router.js";
import { me, server } from "../shared/server.js";
import { fullTime, timeOf } from "../shared/times.js";
import { refuse } from "../shared/toasts.js";
import { Room } from "./chat_room.js";
import { conversations, ordered, other, unread } from "./conversations.js";
import { findConversation, listed, listShown, openWith, presenceOf, putPresence, readMore, talkOf } from "./talks.js";

/** @typedef {import("./conversations.js").Conversation} Conversation */

const ASKED = 100; // conversations in one question for presence
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** "14:05" today, "5 Mar" before. @param {string} at */
const stamp = (at) =>
  new Date(at).toDateString() === new Date().toDateString() ? timeOf(at) : date.format(new Date(at));

/** @param {{id?: string}} props */
export function Chat({ id }) {
  usePresence();
  useVisibleHeight();
  useEffect(() => {
    listShown.value = true;
    return () => (listShown.value = false);
  }, []);
  useLayoutEffect(() => {
    document.body.classList.toggle("immersed", Boolean(id));
    if (!id) document.title = "Chat · JobSphere";
    return () => document.body.classList.remove("immersed");
  }, [id]);
  return html`<div class=${`chat ${id ? "open" : ""}`}>
    <${List} chosen=${id} />
    ${id ? html`<${Opened} id=${id} key=${id} />` : html`<${Nothing} />`}
  </div>`;
}

/** Also the way here from a job or an applicant: `/chat?job=...&user=...`. */
function Nothing() {
  const { query } = place.value;
  const job = query.get("job");
  const user = query.get("user");
  useEffect(() => {
    if (job && user) openWith(job, user).then((path) => go(path, { replace: true }), refuse);
  }, [job, user]);
  return html`<div class="room none">${ordered.value.length > 0 && html`<${Empty} icon="messages-square" title="Choose a conversation" />`}</div>`;
}

/** @param {{id: string}} props */
function Opened({ id }) {
  const missing = useSignal(false);
  const known = conversations.value.has(id);
  useEffect(() => {
    if (!known) findConversation(id).then((found) => (missing.value = !found), refuse);
  }, [id]);
  if (known) return html`<${Room} id=${id} />`;
  if (missing.value) {
    return html`<section class="room"><${View} title="There is no such conversation" back=${{ href: "/chat", label: "All conversations" }}>
      <p>It does not exist, or you are not one of its two members.</p></${View}></section>`;
  }
  return html`<section class="room none" aria-busy="true"><${Skeleton} /></section>`;
}

/** @param {{chosen?: string}} props */
function List({ chosen }) {
  const filter = useSignal("");
  const wanted = filter.value.trim().toLowerCase();
  const all = ordered.value;
  const found = wanted ? all.filter((each) => named(each).includes(wanted)) : all;
  const { ready, cursor } = listed.value;
  const Heading = chosen ? "h2" : "h1";
  return html`<section class="talks" aria-label="Conversations">
    <header>
      <${Heading} tabindex="-1">Chat</${Heading}>
      ${all.length > 0 && html`<div class="find-field"><${Icon} name="search" />
        <input class="input" type="search" placeholder="Name or job" aria-label="Find a conversation by name or job"
          value=${filter.value} onInput=${(/** @type {any} */ { target }) => (filter.value = target.value)} /></div>`}
    </header>
    ${!ready && !all.length && html`<div class="waiting"><${Skeleton} lines=${5} /></div>`}
    ${ready && !all.length && html`<${Empty} icon="messages-square" title="No conversations yet">
      <p>${me.value?.role === "customer"
        ? "One opens when you write to somebody who applied for your job."
        : "One opens when a customer puts you on the shortlist for a job."}</p>
      <a class="button" href="/jobs">${me.value?.role === "customer" ? "Go to my jobs" : "Find work"}</a></${Empty}>`}
    ${wanted && !found.length && html`<p class="waiting soft small">Nobody of that name, and no such job.</p>`}
    <ul>${found.map((each) => rowOf(each, each.id === chosen))}</ul>
    ${cursor && html`<button type="button" class="button quiet block" onClick=${() => readMore().catch(refuse)}>Earlier conversations</button>`}
  </section>`;
}

/** @param {Conversation} conversation */
const named = (conversation) => `${other(conversation).name} ${conversation.job_title}`.toLowerCase();

/** Rows whose conversation is the same as before are not drawn again. @type {WeakMap<Conversation, {chosen: boolean, node: any}>} */
const rows = new WeakMap();

/** @param {Conversation} conversation @param {boolean} chosen */
function rowOf(conversation, chosen) {
  const known = rows.get(conversation);
  if (known?.chosen === chosen) return known.node;
  const node = html`<${Row} conversation=${conversation} chosen=${chosen} key=${conversation.id} />`;
  rows.set(conversation, { chosen, node });
  return node;
}

/** @param {{conversation: Conversation, chosen: boolean}} props */
function Row({ conversation, chosen }) {
  const { id, job_title, last_message: last, created_at } = conversation;
  const { id: userId, name } = other(conversation);
  const waiting = unread(conversation);
  const at = last?.at ?? created_at;
  return html`<li><a class=${`talk ${waiting ? "unread" : ""}`} href=${`/chat/${id}`} aria-current=${chosen ? "true" : undefined}>
    <${Avatar} id=${userId} name=${name} online=${Boolean(presenceOf(userId).value?.online)} />
    <span class="talk-name truncate">${name}${presenceOf(userId).value?.online && html`<span class="visually-hidden"> (online)</span>`}</span>
    <time class="soft" datetime=${at} title=${fullTime(at)}>${stamp(at)}</time>
    <span class="talk-job soft truncate">${job_title}</span>
    <span class="talk-last truncate"><${Preview} conversation=${conversation} chosen=${chosen} /></span>
    ${waiting > 0 && html`<span class="count">${waiting > 99 ? "99+" : waiting}<span class="visually-hidden"> not read</span></span>`}
  </a></li>`;
}

/** @param {{conversation: Conversation, chosen: boolean}} props */
function Preview({ conversation: { id, last_message: last }, chosen }) {
  const talk = talkOf(id);
  if (talk.typing.value) return html`<span class="typing">is typing…</span>`;
  if (talk.draft.value && !chosen) return html`<span class="draft">Draft:</span> ${talk.draft.value}`;
  if (!last) return html`<span class="soft">Say hello</span>`;
  const own = last.author_id === me.value?.id ? "You: " : "";
  return html`<span class="soft">${last.text ? own + last.text : "Message deleted"}</span>`;
}

/** Conversations whose members are followed already; another person may sign in. */
let followed = { by: "", ids: new Set() };

/** Who is online, of the members of all conversations in the list. */
function usePresence() {
  const count = conversations.value.size;
  useEffect(() => {
    const by = me.value?.id ?? "";
    if (followed.by !== by) followed = { by, ids: new Set() };
    const fresh = [...conversations.peek().keys()].filter((id) => !followed.ids.has(id)).slice(0, ASKED);
    if (!fresh.length) return;
    for (const id of fresh) followed.ids.add(id);
    server.chat.presence({ conversation_ids: fresh }).then(({ items }) => items.forEach(putPresence), () => {
      for (const id of fresh) followed.ids.delete(id); // asked again with the next conversation
    });
  }, [count]);
}

/** Keyboards on the glass cover a part of the page: the writing field must stay above them. */
function useVisibleHeight() {
  useEffect(() => {
    const seen = window.visualViewport;
    const { style } = document.documentElement;
    const fit = () => {
      if (seen && seen.scale === 1) style.setProperty("--visible", `${Math.round(seen.height)}px`);
    };
    fit();
    seen?.addEventListener("resize", fit);
    return () => {
      seen?.removeEventListener("resize", fit);
      style.removeProperty("--visible");
    };
  }, []);
}
