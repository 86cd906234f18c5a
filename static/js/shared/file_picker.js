// Choosing files for a form: each is sent at once, so that the form is sent quickly.

import { useSignal } from "@preact/signals";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { sizeOf } from "./attachments.js";
import { Upload } from "./uploads.js";

/** @returns {import("@preact/signals").Signal<Upload[]>} */
export const useUploads = () => useSignal(/** @type {Upload[]} */ ([]));

/** The ids of what was chosen, when all of it is stored. @param {import("@preact/signals").Signal<Upload[]>} uploads */
export async function storedIds(uploads) {
  const stored = await Promise.all(uploads.value.map((each) => each.start()));
  return stored.map(({ id }) => id);
}

/** @param {{uploads: import("@preact/signals").Signal<Upload[]>, label?: string}} props */
export function FilePicker({ uploads, label = "Add files" }) {
  const take = (/** @type {Event} */ event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    uploads.value = [...uploads.value, ...[...(input.files ?? [])].map((file) => new Upload(file))];
    input.value = "";
  };
  const leave = (/** @type {Upload} */ upload) => {
    upload.cancel();
    uploads.value = uploads.value.filter((each) => each !== upload);
  };
  return html`<div class="picker">
    ${uploads.value.length > 0 && html`<ul class="picked">${uploads.value.map((upload) =>
      html`<li key=${upload.id}><${Picked} upload=${upload} leave=${leave} /></li>`)}</ul>`}
    <label class="button small"><${Icon} name="paperclip" />${label}
      <input class="visually-hidden" type="file" multiple onChange=${take} /></label>
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
        : state === "done" ? sizeOf(file.size) : `Sending: ${percent} %`}</small></span>
    ${state === "failed" && html`<button class="button small" type="button" onClick=${() => upload.start().catch(() => {})}>Try again</button>`}
    <button class="button quiet small icon-only" type="button" onClick=${() => leave(upload)}>
      <${Icon} name="x" /><span class="visually-hidden">Leave out ${file.name}</span></button>
  </div>`;
}
