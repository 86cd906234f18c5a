// Choosing files for a form: each is sent at once, so that the form is sent quickly.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { addFiles, sizeOf, Upload } from "./uploads.js";

/** @typedef {import("../../client/jobsphere.js").Attachment} Attachment */

/** @param {readonly Attachment[]} [stored] what was sent before @returns {import("@preact/signals").Signal<Upload[]>} */
export const useUploads = (stored = []) => useSignal(useMemo(() => stored.map(Upload.of), []));

/** Take files that are dropped on an element, which gets `dropping`. @param {(files: Iterable<File>) => void} take */
export function useDrop(take) {
  const over = useSignal(false);
  const isFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  const hover = (/** @type {DragEvent} */ event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    over.value = true;
  };
  const onDragLeave = (/** @type {DragEvent} */ { currentTarget, relatedTarget }) => {
    if (!(/** @type {Element} */ (currentTarget)).contains(/** @type {Node | null} */ (relatedTarget))) over.value = false;
  };
  const onDrop = (/** @type {DragEvent} */ event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    over.value = false;
    take(event.dataTransfer?.files ?? []);
  };
  return { over, dropping: { onDragEnter: hover, onDragOver: hover, onDragLeave, onDrop } };
}

/** The ids of what was chosen, when all of it is stored. @param {import("@preact/signals").Signal<Upload[]>} uploads */
export async function storedIds(uploads) {
  const stored = await Promise.all(uploads.value.map((each) => each.start()));
  return stored.map(({ id }) => id);
}

/** `what` has the files, such as "A job". @param {{uploads: import("@preact/signals").Signal<Upload[]>, label?: string, what?: string, hint?: string}} props */
export function FilePicker({ uploads, label = "Add files", what = "This", hint }) {
  const add = (/** @type {Iterable<File>} */ files) => addFiles(uploads, files, what);
  const take = (/** @type {Event} */ event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    add(input.files ?? []);
    input.value = "";
  };
  const { over, dropping } = useDrop(add);
  const leave = (/** @type {Upload} */ upload) => {
    upload.cancel();
    uploads.value = uploads.value.filter((each) => each !== upload);
  };
  return html`<div class=${`picker ${over.value ? "over" : ""}`} ...${dropping}>
    ${uploads.value.length > 0 && html`<ul class="picked">${uploads.value.map((upload) =>
      html`<li key=${upload.id}><${Picked} upload=${upload} leave=${leave} /></li>`)}</ul>`}
    <label class="button small"><${Icon} name="paperclip" />${label}
      <input class="visually-hidden" type="file" multiple onChange=${take} aria-describedby=${hint && "picker-hint"} /></label>
    ${hint && html`<p class="soft small" id="picker-hint">${hint}</p>`}
  </div>`;
}

/** @param {{upload: Upload, leave: (upload: Upload) => void}} props */
function Picked({ upload, leave }) {
  const { file, problem } = upload;
  const state = upload.state.value;
  const percent = Math.round(upload.progress.value * 100);
  return html`<div class="picked-file">
    ${upload.preview.value ? html`<img src=${upload.preview.value} alt="" />` : html`<${Icon} name="file" />`}
    <span class="grow"><span class="truncate">${file.name}</span>
      <small class="soft" role="status">${state === "failed" ? problem.value
        : state === "done" ? sizeOf(file.size) : `Sending: ${percent} %`}</small>
      ${state === "sending" && html`<span class="progress" aria-hidden="true"><span style=${{ width: `${percent}%` }} /></span>`}</span>
    ${state === "failed" && html`<button class="button small" type="button" onClick=${() => upload.start().catch(() => {})}>Try again</button>`}
    <button class="button quiet small icon-only" type="button" onClick=${() => leave(upload)}>
      <${Icon} name="x" /><span class="visually-hidden">Leave out ${file.name}</span></button>
  </div>`;
}
