// Files on their way to the server, with their progress and a preview.

import { signal } from "@preact/signals";
import { Refusal, server } from "./server.js";

/** @typedef {import("../../client/jobsphere.js").Attachment} Attachment */

const PREVIEW_PX = 320; // of the longer side
const SHOWABLE = /^image\/(png|jpeg|webp|gif)$/;

/** Previews of one's own pictures by the id of the file: they need not come back from the server. */
const previews = new Map();

/** @param {string} fileId @returns {string | undefined} */
export const previewOf = (fileId) => previews.get(fileId);

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
  /** @type {XMLHttpRequest | null} */
  #request = null;

  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.stored = this.start();
    if (SHOWABLE.test(file.type)) this.#show().catch(() => {}); // the name is there all the same
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
    this.progress.value = 1;
    this.state.value = "done";
    return stored;
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
      body.append("file", this.file, this.file.name);
      request.send(body);
    });
  }

  /** The CSP allows pictures of the server and data: addresses, so the preview is a small copy. */
  async #show() {
    const picture = await createImageBitmap(this.file);
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
