// Files of a record: shown with a thumbnail and saved; and those that are chosen for a new one.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { server, write } from "./server.js";
import { refuse } from "./toasts.js";

const KEPT_MS = 60_000;
const UNITS = ["bytes", "KB", "MB", "GB"];

/** "1.4 MB". @param {number} bytes */
export function sizeOf(bytes) {
  let [size, unit] = [bytes, 0];
  while (size >= 1_000 && unit < UNITS.length - 1) [size, unit] = [size / 1_000, unit + 1];
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${UNITS[unit]}`;
}

/** Save what was answered under its name. @param {import("../../client/jobsphere.js").Download} file */
export function save({ name, blob }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** @param {{files: import("../../client/jobsphere.js").Attachment[]}} props */
export function Attachments({ files }) {
  if (!files.length) return null;
  return html`<ul class="attachments" aria-label="Files">${files.map((file) =>
    html`<li key=${file.id}><${Attached} file=${file} /></li>`)}</ul>`;
}

/** @param {{file: import("../../client/jobsphere.js").Attachment}} props */
function Attached({ file }) {
  const picture = useSignal("");
  const busy = useSignal(false);
  useEffect(() => {
    if (file.thumbnail) server.fileUrl(file.id, { size: "thumb" }).then((url) => (picture.value = url), () => {});
  }, [file.id]);
  const get = async () => {
    busy.value = true;
    try {
      save(await server.files.get({ file_id: file.id }));
    } catch (refused) {
      refuse(refused);
    }
    busy.value = false;
  };
  return html`<button class="attached" type="button" onClick=${get} aria-busy=${busy.value ? "true" : undefined}>
    ${picture.value ? html`<img src=${picture.value} alt="" />` : html`<${Icon} name="file" />`}
    <span class="truncate">${file.name}</span><span class="soft small number">${sizeOf(file.size)}</span>
  </button>`;
}

/** The files that are chosen in a form, and how many of them are sent. */
export function useChosen() {
  const files = useSignal(/** @type {File[]} */ ([]));
  const sent = useSignal(-1);
  const ids = useRef(/** @type {Map<File, string>} */ (new Map())); // what was sent before a refusal
  /** Send them one after the other; resolves with their ids. */
  const upload = async () => {
    sent.value = 0;
    try {
      for (const file of files.value) {
        if (!ids.current.has(file)) ids.current.set(file, (await write(() => server.files.upload({ file, name: file.name }))).id);
        sent.value += 1;
      }
      return files.value.map((file) => /** @type {string} */ (ids.current.get(file)));
    } finally {
      sent.value = -1;
    }
  };
  return { files, sent, upload };
}

/** @param {{chosen: ReturnType<typeof useChosen>, label?: string}} props */
export function FilePicker({ chosen: { files, sent }, label = "Add files" }) {
  const take = (/** @type {Event} */ event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    files.value = [...files.value, ...(input.files ?? [])];
    input.value = "";
  };
  return html`<div class="picker">
    ${files.value.length > 0 && html`<ul class="attachments">${files.value.map((file) => html`<li key=${file.name + file.size}>
      <span class="attached"><${Icon} name="file" /><span class="truncate">${file.name}</span>
        <span class="soft small number">${sizeOf(file.size)}</span></span>
      <button class="button quiet small icon-only" type="button" onClick=${() => (files.value = files.value.filter((each) => each !== file))}>
        <${Icon} name="x" /><span class="visually-hidden">Leave out ${file.name}</span></button></li>`)}</ul>`}
    <label class="button small"><${Icon} name="paperclip" />${label}
      <input class="visually-hidden" type="file" multiple onChange=${take} /></label>
    ${sent.value >= 0 && files.value.length > 0 && html`<span class="soft small" role="status">Sent ${sent.value} of ${files.value.length}</span>`}
  </div>`;
}
