// Steps that move money: a dialog with exact amounts, which stays until the step is done or refused.

import { useSignal } from "@preact/signals";
import { html } from "./html.js";
import { DialogHeader, open } from "./dialog.js";
import { Submit, useForm } from "./form.js";
import { Icon } from "./icon.js";
import { display, minor } from "./money.js";
import { Refusal } from "./server.js";

/**
 * Ask, run the step, and resolve with what it answers; undefined if the person does not want it.
 * A refusal is shown in the dialog, at its field if it names one.
 *
 * @param {{title: string, body: any, yes: string, danger?: boolean, kind?: string,
 *   run: (fields: Record<string, any>, form: HTMLFormElement) => Promise<any>}} step
 *   `body` is a component; it gets `form`
 */
export function ask({ title, body: Body, yes, danger = false, kind = "", run }) {
  const Step = (/** @type {{close: (answer?: any) => void}} */ { close }) => {
    const problem = useSignal("");
    const form = useForm(async (fields, element) => {
      problem.value = "";
      close((await run(fields, element)) ?? true);
    }, (refused) => (problem.value = refused.message));
    return html`<form onSubmit=${form.submit}>
      <${DialogHeader} title=${title} close=${close} />
      <div class="body"><${Body} form=${form} />
        ${problem.value && html`<p class="note bad" role="alert"><${Icon} name="circle-alert" />${problem.value}</p>`}</div>
      <footer>
        <button type="button" class="button" onClick=${() => close(undefined)}>Cancel</button>
        <${Submit} form=${form} class=${danger ? "danger" : "primary"}>${yes}</${Submit}>
      </footer>
    </form>`;
  };
  return open(Step, { kind });
}

/**
 * Amounts below each other; the last one may be their total.
 *
 * @param {{rows: ([any, number] | null | false)[], total?: [any, number], currency: string}} props
 */
export function Sums({ rows, total, currency }) {
  const line = (/** @type {[any, number]} */ [label, amount], kind = "") => html`
    <dt class=${kind}>${label}</dt><dd class=${`amount ${kind}`}>${display(amount, currency)}</dd>`;
  return html`<dl class="sums">${rows.map((row) => row && line(row))}${total && line(total, "total")}</dl>`;
}

/**
 * A field for an amount, with its currency behind it.
 *
 * @param {{form: ReturnType<typeof useForm>, name: string, label: string, currency: string, hint?: any,
 *   [attribute: string]: any}} props
 */
export function MoneyField({ form, name, label, currency, hint, ...rest }) {
  const problem = form.problems.value[name];
  const id = `field-${name}`;
  const about = [`${id}-unit`, hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ");
  const typed = (/** @type {Event} */ event) => {
    if (form.problems.peek()[name]) {
      const { [name]: _, ...others } = form.problems.peek();
      form.problems.value = others;
    }
    rest.onInput?.(event);
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <div class="money"><input class="input" inputmode="decimal" autocomplete="off" maxlength="14" ...${rest} id=${id} name=${name}
      aria-invalid=${problem ? "true" : undefined} aria-describedby=${about} onInput=${typed} />
      <span class="unit" id=${`${id}-unit`}>${currency}</span></div>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${problem && html`<p class="problem" id=${`${id}-problem`}><${Icon} name="circle-alert" />${problem}</p>`}
  </div>`;
}

/**
 * What was written in such a field, in minor units. What cannot be meant is said at the field.
 *
 * @param {Record<string, any>} fields
 * @param {string} name
 * @param {string} currency
 * @param {{minimum?: number, maximum?: number, step?: number}} [limits] in minor units
 */
export function amountIn(fields, name, currency, { minimum = 1, maximum = Infinity, step = 1 } = {}) {
  const amount = read(fields[name] ?? "", currency, name);
  if (amount < minimum) throw at(name, `At least ${display(minimum, currency)}.`);
  if (amount > maximum) throw at(name, `At most ${display(maximum, currency)}.`);
  if (amount % step) throw at(name, `A multiple of ${display(step, currency)}.`);
  return amount;
}

/** The same while one types: null for what is no amount. @param {string} text @param {string} currency */
export function amountOrNull(text, currency) {
  try {
    return minor(text, currency);
  } catch {
    return null;
  }
}

/** @param {string} text @param {string} currency @param {string} name */
function read(text, currency, name) {
  try {
    return minor(text, currency);
  } catch (refused) {
    throw at(name, refused instanceof Refusal ? refused.message : "This is no amount.");
  }
}

/** A refusal that is shown at a field. @param {string} field @param {string} message */
export const at = (field, message) => new Refusal({ code: "invalid", message, details: { field } });
