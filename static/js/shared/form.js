// Forms: what the server refuses is shown at the field that it names, in the server's own sentence.

import { signal, useSignal } from "@preact/signals";
import { useId, useLayoutEffect, useMemo } from "preact/hooks";
import { checkLength } from "./characters.js";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { refuse } from "./toasts.js";

/**
 * The state of a form: `busy` while it is sent, `problems` by field. `submit(event)` reads the
 * fields, runs `send(fields)` and shows a refusal; fields that are left empty are not there.
 *
 * @param {(fields: Record<string, any>, form: HTMLFormElement) => Promise<void>} send
 * @param {(refused: any) => void} [say] shows what is about no field
 */
export function useForm(send, say = refuse) {
  const state = useMemo(() => ({
    busy: signal(false),
    problems: signal(/** @type {Record<string, string>} */ ({})),
  }), []);
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (state.busy.value) return;
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    state.busy.value = true;
    state.problems.value = {};
    try {
      await send(fieldsOf(form), form);
    } catch (refused) {
      const found = problemsOf(refused, form);
      if (found) show(found, form);
      else say(refused);
    } finally {
      state.busy.value = false;
    }
  };
  const show = (/** @type {Record<string, string>} */ problems, /** @type {HTMLFormElement} */ form) => {
    state.problems.value = problems;
    const first = form.elements.namedItem(Object.keys(problems)[0]);
    if (first instanceof HTMLElement) first.focus();
  };
  return { ...state, submit };
}

/** @param {HTMLFormElement} form */
export function fieldsOf(form) {
  const fields = [...new FormData(form)].map(([name, value]) =>
    [name, typeof value === "string" ? value.trim() : value]);
  return Object.fromEntries(fields.filter(([, value]) => value !== ""));
}

/** @param {any} refused @param {HTMLFormElement} form */
function problemsOf({ code, message, details }, form) {
  const path = code === "invalid" && details?.field;
  if (!path) return null;
  const name = [path, path.split(/[.[]/)[0]].find((each) => form.elements.namedItem(each));
  return name ? { [name]: sentence(message, path) } : null;
}

/** "email: this is not an e-mail address." without the name, which the form shows. */
function sentence(/** @type {string} */ message, /** @type {string} */ path) {
  const text = message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
  return text[0].toUpperCase() + text.slice(1);
}

/**
 * A field with its label, hint and problem. What is not named here goes to the input, but
 * `maxlength` only where programs made the text: what people write is counted as they see it.
 *
 * @param {{form: ReturnType<typeof useForm>, name: string, label: string, hint?: any, as?: string,
 *   children?: any, [attribute: string]: any}} props
 */
export function Field({ form, name, label, hint, as = "input", children, ...rest }) {
  const long = useSignal("");
  const problem = form.problems.value[name] || long.value;
  const own = useId();
  const id = rest.id ?? `${name}-${own}`;
  const most = isWritten(as, rest) ? rest.maxlength : 0;
  useLayoutEffect(() => {
    const field = most && document.getElementById(id);
    if (field) long.value = checkLength(/** @type {HTMLInputElement} */ (field), most);
  }, [rest.value]);
  const about = [hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ");
  const clear = () => {
    if (!form.problems.peek()[name]) return;
    const { [name]: _, ...others } = form.problems.peek();
    form.problems.value = others;
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <${as} class="input" ...${rest} maxlength=${most ? undefined : rest.maxlength} id=${id} name=${name} aria-invalid=${problem ? "true" : undefined}
      aria-describedby=${about || undefined} onInput=${(/** @type {Event} */ event) => {
        clear();
        if (most) long.value = checkLength(/** @type {HTMLInputElement} */ (event.target), most);
        rest.onInput?.(event);
      }}>${children}</${as}>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${problem && html`<p class="problem" id=${`${id}-problem`}><${Icon} name="circle-alert" />${problem}</p>`}
  </div>`;
}

/** Whether people write freely in a field: no password, code or amount. @param {string} as @param {Record<string, any>} rest */
function isWritten(as, { type = "text", inputmode, autocomplete }) {
  return as === "textarea" || (type === "text" && !inputmode && autocomplete !== "one-time-code");
}

/** The button that sends a form. @param {{form: ReturnType<typeof useForm>, children: any, class?: string}} props */
export function Submit({ form, children, class: extra = "primary" }) {
  const busy = form.busy.value;
  return html`<button class=${`button ${extra}`} aria-busy=${busy ? "true" : undefined}
    aria-disabled=${busy ? "true" : undefined}>${busy && html`<${Icon} name="loader-circle" />`}${children}</button>`;
}
