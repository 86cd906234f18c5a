// One message of a conversation: what a member said, or a card about what has happened.

import { useComputed } from "@preact/signals";
import { Attachments } from "../shared/attachments.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Linked } from "../shared/links.js";
import { me } from "../shared/server.js";
import { dayOf, fullTime, timeOf } from "../shared/times.js";
import { refuse } from "../shared/toasts.js";
import { sizeOf } from "../shared/uploads.js";
import { Event } from "./chat_event.js";
import { openMenu } from "./chat_menu.js";
import { conversations, saying } from "./conversations.js";

/** @typedef {import("./talk.js").Entry} Entry */
/** @typedef {import("./talk.js").Shown} Shown */
/** @typedef {import("./talk.js").Talk} Talk */

/**
 * A message, below the day and the mark of the news if they begin here. `joined` is one that goes
 * on from the message above it.
 *
 * @param {{entry: Entry, talk: Talk, day: boolean, joined: boolean, marked: boolean}} props
 */
export function Line({ entry, talk, day, joined, marked }) {
  const { kind } = entry.message.value;
  const Content = kind === "text" ? Said : Event;
  return [
    day && html`<li class="day" key="day"><span>${capital(dayOf(new Date(entry.at).toISOString()))}</span></li>`,
    marked && html`<li class="news" key="news"><span>New messages</span></li>`,
    html`<${Content} entry=${entry} talk=${talk} joined=${joined} key="message" />`,
  ];
}

/** @param {{entry: Entry, talk: Talk, joined: boolean}} props */
function Said({ entry, talk, joined }) {
  const message = entry.message.value;
  const { author_id, text, files, uploads = [], reply_to, state, deleted_at, reactions, seq } = message;
  const own = author_id === me.value?.id;
  const name = own ? "You" : conversations.peek().get(talk.id)?.names[author_id] ?? "";
  const kind = `message ${own ? "own" : ""} ${joined ? "joined" : ""} ${state ?? ""}`;
  if (deleted_at) {
    return html`<li class=${kind} data-key=${entry.key} data-seq=${seq} tabindex="-1"><div class="bubble gone">
      <span class="visually-hidden">${name}: </span><em>Message deleted</em><${Facts} talk=${talk} message=${message} own=${false} /></div></li>`;
  }
  return html`<li class=${kind} data-key=${entry.key} data-seq=${seq} tabindex="-1">
    <div class="bubble">
      <span class="visually-hidden">${name}: </span>
      ${reply_to && html`<${Quote} talk=${talk} to=${reply_to} />`}
      <${Attachments} files=${files} />
      ${state && uploads.length > 0 && html`<ul class="attachments">${uploads.map((upload) => html`<${Sending} upload=${upload} key=${upload.id} />`)}</ul>`}
      ${text && html`<p class="text"><${Linked} text=${text} /></p>`}
      <${Facts} talk=${talk} message=${message} own=${own} />
    </div>
    ${entry.active.value && !state && html`<${Tools} entry=${entry} talk=${talk} />`}
    ${reactions.length > 0 && html`<ul class="reactions" aria-label="Reactions">${reactions.map((given) => html`
      <li key=${given.emoji}><${Given} entry=${entry} talk=${talk} given=${given} /></li>`)}</ul>`}
    ${state === "failed" && html`<p class="failed-line" role="alert"><${Icon} name="circle-alert" />
      <span>Not sent: ${message.problem}</span>
      <button type="button" class="button small" onClick=${() => talk.retry(entry)}>Try again</button>
      <button type="button" class="button quiet small" onClick=${() => talk.drop(entry)}>Discard</button></p>`}
  </li>`;
}

/** When it was said, and what became of it. @param {{talk: Talk, message: Shown, own: boolean}} props */
function Facts({ talk, message: { created_at, edited_at, deleted_at, state, seq }, own }) {
  return html`<small class="facts-line">
    ${edited_at && !deleted_at && html`<span title=${fullTime(edited_at)}>edited</span>`}
    <time datetime=${created_at} title=${fullTime(created_at)}>${timeOf(created_at)}</time>
    ${own && state === "sending" && html`<span class="receipt" title="Sending"><${Icon} name="clock" /><span class="visually-hidden">sending</span></span>`}
    ${own && !state && html`<${Receipt} talk=${talk} seq=${seq} />`}
  </small>`;
}

/** @param {{talk: Talk, seq: number}} props */
function Receipt({ talk, seq }) {
  const read = useComputed(() => talk.seen.value >= seq).value;
  return html`<span class=${`receipt ${read ? "read" : ""}`} title=${read ? "Read" : "Sent"}>
    <${Icon} name=${read ? "check-check" : "check"} /><span class="visually-hidden">${read ? "read" : "sent"}</span></span>`;
}

/** What a message answers, as it reads now. @param {{talk: Talk, to: import("../../client/jobsphere.js").ReplyTarget}} props */
function Quote({ talk, to: { seq, author_id } }) {
  const answered = talk.find(seq)?.message.value;
  const own = author_id === me.value?.id;
  const name = own ? "You" : conversations.peek().get(talk.id)?.names[author_id] ?? "JobSphere";
  const words = answered ? saying(answered) || "Message deleted" : "An earlier message";
  return html`<button type="button" class="quote" onClick=${() => talk.jump(seq)}>
    <span class="strong">${name}</span><span class="words">${words}</span></button>`;
}

/** @param {{entry: Entry, talk: Talk, given: import("../../client/jobsphere.js").Reaction}} props */
function Given({ entry, talk, given: { emoji, user_ids } }) {
  const mine = user_ids.includes(me.value?.id ?? "");
  const who = mine ? (user_ids.length > 1 ? "both of you" : "you") : "the other";
  return html`<button type="button" class="reaction" aria-pressed=${mine ? "true" : "false"}
    aria-label=${`${emoji} by ${who}`} onClick=${() => talk.react(entry, emoji).catch(refuse)}>
    ${emoji}${user_ids.length > 1 && html` <span class="number">${user_ids.length}</span>`}</button>`;
}

/** @param {{entry: Entry, talk: Talk}} props */
function Tools({ entry, talk }) {
  const more = (/** @type {MouseEvent} */ { currentTarget }) =>
    openMenu(entry, /** @type {Element} */ (currentTarget).getBoundingClientRect());
  return html`<div class="tools">
    <button type="button" onClick=${more} title="React"><${Icon} name="smile" /><span class="visually-hidden">React</span></button>
    <button type="button" onClick=${() => (talk.answering.value = entry)} title="Reply"><${Icon} name="reply" /><span class="visually-hidden">Reply</span></button>
    <button type="button" onClick=${more} title="More" aria-haspopup="menu"><${Icon} name="ellipsis" /><span class="visually-hidden">More</span></button>
  </div>`;
}

/** A file on its way. @param {{upload: import("../shared/uploads.js").Upload}} props */
function Sending({ upload }) {
  const { name, size } = upload.file;
  const percent = Math.round(upload.progress.value * 100);
  return html`<li class="file">${upload.preview.value ? html`<img src=${upload.preview.value} alt="" />` : html`<${Icon} name="file" class="large" />`}
    <span class="grow"><span class="name">${name}</span><small>${upload.problem.value ?? sizeOf(size)}</small>
    ${upload.state.value === "sending" && html`<span class="progress" role="progressbar" aria-label=${`Sending ${name}`} aria-valuenow=${percent}
      aria-valuemin="0" aria-valuemax="100"><span style=${{ width: `${percent}%` }} /></span>`}</span></li>`;
}

/** @param {string} text */
const capital = (text) => text[0].toUpperCase() + text.slice(1);
