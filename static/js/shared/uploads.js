// Files on their way to the server, with their progress and a preview.

import { signal } from "@preact/signals";
import { readMeta } from "./meta.js";
import { Refusal, server } from "./server.js";
import { say } from "./toasts.js";

/** @typedef {import("../../client/jobsphere.js").Attachment} Attachment */

const PREVIEW_PX = 320; // of the longer side
const SHOWABLE = /^image\/(png|jpeg|webp|gif)$/;

/** Previews of one's own pictures by the id of the file: they need not come back from the server. */
const previews = new Map();

/** @param {string} fileId @returns {string | undefined} */
export const previewOf = (fileId) => previews.get(fileId);

/** @param {number} bytes */
export function sizeOf(bytes) {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${Math.round(bytes / 1_000)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/**
 * Send the chosen files that fit beside those that are there, and say which do not.
 *
 * @param {import("@preact/signals").Signal<Upload[]>} uploads
 * @param {Iterable<File>} chosen
 * @param {string} what has them, such as "A message"
 */
export async function addFiles(uploads, chosen, what) {
  const files = [...chosen]; // an input forgets them when it is emptied
  const { max_attached, max_bytes } = await readMeta().then((meta) => meta.files, () => ({ max_attached: 10, max_bytes: Infinity }));
  for (const { name, size } of files) {
    if (size > max_bytes) say(`${name} is too large: a file may have ${sizeOf(max_bytes)}.`, { tone: "bad" });
    if (!size) say(`${name} is empty.`, { tone: "bad" });
  }
  const room = Math.max(0, max_attached - uploads.peek().length);
  const fitting = files.filter(({ size }) => size <= max_bytes && size > 0);
  if (fitting.length > room) say(`${what} can have ${max_attached} files.`, { tone: "bad" });
  uploads.value = [...uploads.peek(), ...fitting.slice(0, room).map((file) => new Upload(file))];
}

/** A file that was chosen: it is sent at once, and again with `start` if that fails. */
export class Upload {
  static #numbers = 0;

  id = (Upload.#numbers += 1);
  /** From 0 to 1. */
  progress = signal(0);
  state = signal(/** @type {"sending" | "done" | "failed"} */ ("sending"));
  problem = signal(/** @type {string | null} */ (null));
  /** A small picture as a data: address. */
  preview = signal(/** @type {string | null} */ (null));
  /** What the server has stored. @type {Promise<Attachment>} */
  stored;
  /** The same when it is there. @type {Attachment | null} */
  attachment = null;
  /** @type {XMLHttpRequest | null} */
  #request = null;

  /** @param {{name: string, size: number, type: string}} file chosen, or of what is stored @param {Attachment} [stored] */
  constructor(file, stored) {
    this.file = file;
    if (stored) {
      this.stored = Promise.resolve(stored);
      this.#end(stored);
      this.#showStored(stored).catch(() => {});
      return;
    }
    this.stored = this.start();
    if (SHOWABLE.test(file.type)) this.#show().catch(() => {}); // the name is there all the same
  }

  /** A file that was sent before. @param {Attachment} stored */
  static of(stored) {
    return new Upload(stored, stored);
  }

  /** Send it, unless that runs or is done. */
  start() {
    if (this.stored && this.state.peek() !== "failed") return this.stored;
    this.state.value = "sending";
    this.problem.value = null;
    this.stored = this.#send();
    this.stored.catch((refused) => {
      this.problem.value = refused.message;
      this.state.value = "failed";
    });
    return this.stored;
  }

  cancel() {
    this.#request?.abort();
  }

  async #send() {
    const stored = await this.#sendOnce().catch(async (refused) => {
      if (refused.code !== "token_expired") throw refused;
      await session().renew();
      return this.#sendOnce();
    });
    if (this.preview.peek()) previews.set(stored.id, this.preview.peek());
    this.#end(stored);
    return stored;
  }

  /** @param {Attachment} stored */
  #end(stored) {
    this.attachment = stored;
    this.progress.value = 1;
    this.state.value = "done";
  }

  /** `fetch` does not tell how much was sent. @returns {Promise<Attachment>} */
  async #sendOnce() {
    const token = await session().token();
    const request = new XMLHttpRequest();
    this.#request = request;
    return new Promise((done, failed) => {
      request.upload.onprogress = ({ loaded, total }) => (this.progress.value = total ? loaded / total : 0);
      request.onerror = () => failed(refusal({ message: "The server cannot be reached." }));
      request.onabort = () => failed(refusal({ message: "This file was not sent." }));
      request.onload = () => {
        const answer = parsed(request.responseText);
        if (request.status < 300) done(answer);
        else failed(refusal({ ...answer, message: answer.title ?? `The server answered ${request.status}.` }));
      };
      request.open("POST", "/api/files");
      request.setRequestHeader("Authorization", `Bearer ${token}`);
      const body = new FormData();
      body.append("file", /** @type {File} */ (this.file), this.file.name);
      request.send(body);
    });
  }

  /** The CSP allows pictures of the server and data: addresses, so the preview is a small copy. */
  async #show() {
    const picture = await createImageBitmap(/** @type {File} */ (this.file));
    const scale = Math.min(1, PREVIEW_PX / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const preview = canvas.toDataURL("image/webp", 0.8);
    this.preview.value = preview;
    if (this.state.peek() === "done") previews.set((await this.stored).id, preview);
  }

  /** @param {Attachment} stored */
  async #showStored({ id, thumbnail }) {
    if (previewOf(id)) this.preview.value = previewOf(id) ?? null;
    else if (thumbnail) this.preview.value = await server.fileUrl(id, { size: "thumb" });
  }
}

/** @returns {{token(): Promise<string>, renew(): Promise<void>}} */
const session = () => /** @type {any} */ (server).session;

/** @param {{code?: string, message: string, details?: any}} problem */
const refusal = ({ code = "unavailable", message, details }) => new Refusal({ code, message, details });

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
