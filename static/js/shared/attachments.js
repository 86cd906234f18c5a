// Files that came with a message, a delivery or as evidence: pictures are shown, all can be saved.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { DialogHeader, open } from "./dialog.js";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { server } from "./server.js";
import { refuse } from "./toasts.js";
import { previewOf, sizeOf } from "./uploads.js";

/** @typedef {import("../../client/jobsphere.js").Attachment} Attachment */

const WIDEST = 280;
const HIGHEST = 220;

/** Save a file under its own name. @param {Attachment} file */
export async function save(file) {
  try {
    const link = document.createElement("a");
    link.href = await server.fileUrl(file.id);
    link.download = file.name;
    link.click();
  } catch (refused) {
    refuse(refused);
  }
}

/** @param {{files: readonly Attachment[]}} props */
export function Attachments({ files }) {
  if (!files.length) return null;
  return html`<ul class="attachments">${files.map((file) => html`<li key=${file.id}>
    ${file.thumbnail ? html`<${Picture} file=${file} />` : html`<${FileButton} file=${file} />`}</li>`)}</ul>`;
}

/** @param {{file: Attachment}} props */
function FileButton({ file }) {
  return html`<button type="button" class="file" onClick=${() => save(file)}>
    <${Icon} name="file" class="large" />
    <span class="grow"><span class="name">${file.name}</span><small>${sizeOf(file.size)}<span class="visually-hidden">, save</span></small></span>
    <${Icon} name="download" />
  </button>`;
}

/** Its place is kept free, and its thumbnail is asked for when it comes into view. @param {{file: Attachment}} props */
function Picture({ file }) {
  const element = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const source = useSignal(previewOf(file.id));
  const failed = useSignal(false);
  useEffect(() => {
    if (source.peek() || !element.current) return undefined;
    const watch = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      watch.disconnect();
      server.fileUrl(file.id, { size: "thumb" }).then((found) => (source.value = found), () => (failed.value = true));
    }, { rootMargin: "200px" });
    watch.observe(element.current);
    return () => watch.disconnect();
  }, [file.id]);
  if (failed.value) return html`<${FileButton} file=${file} />`;
  const { width, height } = fitted(file);
  return html`<button type="button" class="picture" ref=${element} onClick=${() => enlarge(file)}
    style=${{ width: `${width}px`, aspectRatio: `${width} / ${height}` }} aria-label=${`Picture ${file.name}: enlarge`}>
    ${source.value && html`<img src=${source.value} alt="" decoding="async" onError=${() => (failed.value = true)} />`}
  </button>`;
}

/** @param {Attachment} file */
function fitted({ width, height }) {
  const wide = width || WIDEST;
  const high = height || HIGHEST;
  const scale = Math.min(1, WIDEST / wide, HIGHEST / high);
  return { width: Math.max(48, Math.round(wide * scale)), height: Math.max(32, Math.round(high * scale)) };
}

/** @param {Attachment} file */
function enlarge(file) {
  const Large = (/** @type {{close: (answer?: any) => void}} */ { close }) => {
    const source = useSignal(previewOf(file.id));
    useEffect(() => {
      server.fileUrl(file.id).then((found) => (source.value = found), refuse);
    }, []);
    return html`<div class="sheet"><${DialogHeader} title=${file.name} close=${close} />
      <div class="body"><img class="enlarged" src=${source.value} alt=${file.name} width=${file.width} height=${file.height} /></div>
      <footer><span class="soft small grow">${sizeOf(file.size)}</span>
        <button type="button" class="button" onClick=${() => save(file)}><${Icon} name="download" />Save</button></footer>
    </div>`;
  };
  open(Large, { kind: "wide" });
}
