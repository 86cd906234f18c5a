// Dialogs: the browser's own, opened as a promise of the answer. Steps that move money or cannot be
// undone ask here first.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { checkLength } from "./characters.js";
import { html } from "./html.js";
import { Icon } from "./icon.js";

/**
 * @typedef {object} Asked
 * @property {any} content a component; it gets `close(answer)`
 * @property {(answer: any) => void} done
 * @property {string} [kind] a class
 */

const asked = signal(/** @type {Asked[]} */ ([]));

/**
 * Show a component in a dialog; resolves with what it closes with, undefined if it is dismissed.
 *
 * @param {any} content
 * @param {{kind?: string}} [options]
 * @returns {Promise<any>}
 */
export function open(content, { kind = "" } = {}) {
  return new Promise((done) => (asked.value = [...asked.peek(), { content, done, kind }]));
}

/** Close all, as if they had been dismissed: the person has gone. */
export function closeAll() {
  for (const { done } of asked.peek()) done(undefined);
  asked.value = [];
}

/** Dialogs lie in a place of their own, the last one in front. */
export function Dialogs() {
  return asked.value.map((each, at) => html`<${Modal} key=${at} ...${each} />`);
}

/** @param {Asked} props */
function Modal({ content: Content, done, kind }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => before instanceof HTMLElement && before.focus();
  }, []);
  const close = (/** @type {any} */ answer) => {
    asked.value = asked.peek().filter((each) => each.done !== done);
    done(answer);
  };
  const dismiss = (/** @type {Event} */ event) => {
    event.preventDefault();
    close(undefined);
  };
  const outside = (/** @type {MouseEvent} */ event) =>
    event.target === element.current && close(undefined);
  return html`<dialog ref=${element} class=${kind} aria-labelledby="dialog-title" onCancel=${dismiss}
    onMouseDown=${outside}><${Content} close=${close} /></dialog>`;
}

/**
 * Ask before a step. `body` says in full what it does; `yes` names it. Resolves with whether it is
 * to be done, or with the text if `reason` asks for one.
 *
 * @param {{title: string, body: any, yes: string, no?: string, danger?: boolean, reason?: string}} question
 */
export function confirm({ title, body, yes, no = "Cancel", danger = false, reason }) {
  const Question = (/** @type {{close: (answer?: any) => void}} */ { close }) => {
    const submit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const form = /** @type {HTMLFormElement} */ (event.target);
      close(reason ? String(new FormData(form).get("reason")).trim() : true);
    };
    return html`<form onSubmit=${submit}>
      <${DialogHeader} title=${title} close=${close} />
      <div class="body">${body}
        ${reason && html`<div class="field"><label for="reason">${reason}</label>
          <textarea class="input" id="reason" name="reason" required
            onInput=${(/** @type {any} */ { target }) => checkLength(target, 1_000)}></textarea></div>`}
      </div>
      <footer>
        <button type="button" class="button" onClick=${() => close(undefined)}>${no}</button>
        <button class=${`button ${danger ? "danger" : "primary"}`} autofocus=${!reason}>${yes}</button>
      </footer>
    </form>`;
  };
  return open(Question);
}

/** @param {{title: string, close: (answer?: any) => void}} props */
export function DialogHeader({ title, close }) {
  return html`<header>
    <h2 id="dialog-title">${title}</h2>
    <button type="button" class="button quiet small icon-only" onClick=${() => close(undefined)}>
      <${Icon} name="x" /><span class="visually-hidden">Close</span>
    </button>
  </header>`;
}
