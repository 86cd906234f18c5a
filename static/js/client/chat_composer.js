// Where one writes: something new, an answer, or a message otherwise; with files.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { countCharacters } from "../shared/characters.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { me, server } from "../shared/server.js";
import { refuse } from "../shared/toasts.js";
import { addFiles, sizeOf } from "../shared/uploads.js";
import { editable } from "./chat_menu.js";
import { askToBlock } from "./chat_unwanted.js";
import { conversations, other, saying } from "./conversations.js";

/** @typedef {import("./talk.js").Talk} Talk */

const LONGEST = 4_000;
const TYPING_EVERY_MS = 3_000;
const IDLE_MS = 5_000;
const GROWS = CSS.supports("field-sizing", "content");
const onGlass = matchMedia("(pointer: coarse) and (hover: none)"); // Enter breaks the line: there is no Shift

/** Attach files; they are sent at once. @param {Talk} talk @param {Iterable<File>} chosen */
export const attach = (talk, chosen) => addFiles(talk.uploads, chosen, "A message");

/** @param {{talk: Talk}} props */
export function Composer({ talk }) {
  const conversation = conversations.value.get(talk.id);
  if (conversation?.blocked_by.length) {
    const { name } = other(conversation);
    const mine = conversation.blocked_by.includes(me.value?.id);
    return html`<div class="composer blocked"><${Icon} name="ban" /><p class="grow">${mine ? `You have blocked ${name}.` : `${name} has blocked this conversation.`}</p>
      ${mine && html`<button type="button" class="button" onClick=${() => askToBlock(talk.id, name, false)}>Unblock</button>`}</div>`;
  }
  if (Object.keys(conversation?.deleted_members ?? {}).length) {
    return html`<div class="composer blocked"><${Icon} name="ban" /><p class="grow">This account has been deleted.</p></div>`;
  }
  return html`<${Pen} talk=${talk} name=${conversation ? other(conversation).name : ""} />`;
}

/** @param {{talk: Talk, name: string}} props */
function Pen({ talk, name }) {
  const area = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  const typing = useTyping(talk);
  const editing = talk.editing.value;
  const answering = talk.answering.value;
  const uploads = talk.uploads.value;
  const text = editing ? editing.text : talk.draft.value;
  const left = LONGEST - countCharacters(text);
  const empty = left < 0 || (!text.trim() && (editing || !uploads.length));
  useLayoutEffect(() => {
    if (editing || answering) area.current?.focus();
  }, [editing?.entry, answering]);
  useLayoutEffect(() => {
    if (GROWS || !area.current) return;
    area.current.style.height = "auto";
    area.current.style.height = `${area.current.scrollHeight + 2}px`;
  }, [text]);
  const write = (/** @type {string} */ words) => {
    if (editing) talk.editing.value = { ...editing, text: words };
    else {
      talk.keep(words);
      typing(Boolean(words));
    }
  };
  const putDown = () => {
    talk.editing.value = null;
    talk.answering.value = null;
    area.current?.focus();
  };
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    area.current?.focus();
    if (empty) return;
    if (editing) return change(talk, editing);
    typing(false);
    if (talk.behind.peek()) await talk.load().catch(() => {});
    talk.say({ text: text.trim(), uploads, answered: answering?.message.peek() ?? null });
    talk.keep("");
    talk.uploads.value = [];
    talk.answering.value = null;
  };
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && (!onGlass.matches || event.ctrlKey || event.metaKey)) submit(event);
    else if (event.key === "Escape" && (editing || answering)) putDown();
    else if (event.key === "ArrowUp" && !text && !editing) {
      const entry = talk.lastOwn();
      if (!entry || !editable(entry)) return;
      event.preventDefault();
      talk.editing.value = { entry, text: entry.message.peek().text };
    }
  };
  const paste = (/** @type {ClipboardEvent} */ event) => {
    const files = event.clipboardData?.files;
    if (!files?.length || editing) return;
    event.preventDefault();
    attach(talk, files);
  };
  const chosen = () => {
    attach(talk, picker.current?.files ?? []);
    if (picker.current) picker.current.value = "";
    area.current?.focus();
  };
  const about = editing ?? (answering && { entry: answering });
  return html`<form class="composer" onSubmit=${submit}>
    ${about && html`<div class="about"><${Icon} name=${editing ? "pencil" : "reply"} />
      <p class="grow"><span class="strong">${editing ? "Change your message" : `Answer to ${answering?.message.value.author_id === me.value?.id ? "yourself" : name}`}</span>
        <span class="soft truncate">${saying(about.entry.message.value)}</span></p>
      <button type="button" class="button quiet small icon-only" onClick=${putDown}><${Icon} name="x" /><span class="visually-hidden">Cancel</span></button></div>`}
    ${uploads.length > 0 && !editing && html`<ul class="uploads" aria-label="Files to be sent">${uploads.map((upload) => html`<${Attached} talk=${talk} upload=${upload} key=${upload.id} />`)}</ul>`}
    <div class="pen">
      <input type="file" multiple hidden ref=${picker} onChange=${chosen} tabindex="-1" aria-hidden="true" />
      ${!editing && html`<button type="button" class="button quiet icon-only" title="Attach files" onClick=${() => picker.current?.click()}>
        <${Icon} name="paperclip" /><span class="visually-hidden">Attach files</span></button>`}
      <textarea class="input" rows="1" ref=${area} value=${text} aria-label=${`Message to ${name}`} placeholder="Write a message"
        enterkeyhint=${onGlass.matches ? "enter" : "send"} onInput=${(/** @type {any} */ { target }) => write(target.value)} onKeyDown=${keys} onPaste=${paste}
        onBlur=${() => typing(false)}></textarea>
      <button class="button primary icon-only" aria-disabled=${empty ? "true" : undefined} title=${editing ? "Save" : "Send"}>
        <${Icon} name=${editing ? "check" : "send"} /><span class="visually-hidden">${editing ? "Save" : "Send"}</span></button>
    </div>
    ${left < 200 && html`<p class="small soft" role="status">${left < 0 ? `${-left} characters too many` : `${left} characters left`}</p>`}
  </form>`;
}

/** @param {Talk} talk @param {{entry: import("./talk.js").Entry, text: string}} editing */
async function change(talk, { entry, text }) {
  const { id, text: before } = entry.message.peek();
  talk.editing.value = null;
  if (text.trim() === before) return;
  try {
    await talk.change(() => server.chat.edit({ conversation_id: talk.id, message_id: id, text: text.trim() }));
  } catch (refused) {
    talk.editing.value = { entry, text };
    refuse(refused);
  }
}

/** A file that is attached: its preview and how much of it is sent. @param {{talk: Talk, upload: import("../shared/uploads.js").Upload}} props */
function Attached({ talk, upload }) {
  const { name, size } = upload.file;
  const state = upload.state.value;
  const percent = Math.round(upload.progress.value * 100);
  const remove = () => {
    upload.cancel();
    talk.uploads.value = talk.uploads.peek().filter((each) => each !== upload);
  };
  return html`<li class=${`upload ${state}`}>
    ${upload.preview.value ? html`<img src=${upload.preview.value} alt="" />` : html`<${Icon} name="file" class="large" />`}
    <span class="grow"><span class="name truncate">${name}</span>
      <small class="soft">${state === "failed" ? upload.problem.value : sizeOf(size)}</small>
      ${state === "sending" && html`<span class="progress" role="progressbar" aria-label=${`Sending ${name}`} aria-valuenow=${percent} aria-valuemin="0"
        aria-valuemax="100"><span style=${{ width: `${percent}%` }} /></span>`}</span>
    ${state === "failed" && html`<button type="button" class="button quiet small icon-only" title="Try again" onClick=${() => upload.start()}>
      <${Icon} name="refresh-cw" /><span class="visually-hidden">Try again</span></button>`}
    <button type="button" class="button quiet small icon-only" title="Remove" onClick=${remove}><${Icon} name="x" /><span class="visually-hidden">Remove ${name}</span></button>
  </li>`;
}

/** Tell the other that one is typing: not more often than they forget it. @param {Talk} talk */
function useTyping(talk) {
  const state = useRef({ told: 0, timer: 0 });
  const tell = (/** @type {boolean} */ on) => {
    state.current.told = on ? Date.now() : 0;
    server.chat.typing({ conversation_id: talk.id, typing: on }).catch(() => {}); // of no use later
  };
  const typing = (/** @type {boolean} */ on) => {
    clearTimeout(state.current.timer);
    if (on) {
      if (Date.now() - state.current.told > TYPING_EVERY_MS) tell(true);
      state.current.timer = window.setTimeout(typing, IDLE_MS, false);
    } else if (state.current.told) tell(false);
  };
  useEffect(() => () => typing(false), [talk]);
  return typing;
}
