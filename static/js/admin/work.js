// What the work queues share: reading, asking before a step, and who looks after what.

import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { DialogHeader, open } from "../shared/dialog.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { ask } from "../shared/money_step.js";
import { me, server, write } from "../shared/server.js";
import { withStepUp } from "../shared/steps.js";
import { refuse, say } from "../shared/toasts.js";
import { onReturn } from "../shared/use.js";

/**
 * What one reads when a view opens, and again by `load`, when pushes were missed, or when one of
 * `inputs` changes.
 *
 * @template T
 * @param {() => Promise<T>} read
 * @param {any[]} inputs
 * @param {(load: () => void) => (() => void)[]} [follow] pushes after which it is read again
 */
export function useReading(read, inputs, follow = () => []) {
  const found = useSignal(/** @type {T | null} */ (null));
  const problem = useSignal(/** @type {any} */ (null));
  const load = async () => {
    try {
      found.value = await read();
      problem.value = null;
    } catch (refused) {
      problem.value = refused;
    }
  };
  useEffect(() => {
    load();
    const stops = [server.on("reload", load), onReturn(load), ...follow(load)];
    return () => stops.forEach((stop) => stop());
  }, inputs);
  return { found: found.value, problem: problem.value, load };
}

/**
 * A step of an administrator: the dialog says what it does and asks for the reason. Resolves with
 * the answer, or undefined. A step that another administrator has to approve is said to wait.
 *
 * @param {{title: string, what: any, yes: string, done: string, danger?: boolean, reason?: string | null,
 *   fields?: (form: any) => any, kind?: string, run: (fields: Record<string, any>) => Promise<any>, again?: () => void}} step
 *   `fields` draws more fields; without a `reason` none is asked for. `again` reads the view after a conflict
 */
export async function step({ title, what, yes, done, danger, reason = "Why, for the audit trail", fields, kind, run, again }) {
  let waits = false;
  /** @type {any} */
  let changed = null;
  const Body = (/** @type {any} */ { form }) => html`${typeof what === "string" ? html`<p>${what}</p>` : what}
    ${fields?.(form)}
    ${reason && html`<${Field} form=${form} name="reason" label=${reason} as="textarea" required minlength="3" maxlength="1000" />`}`;
  const answer = await ask({
    title, yes, danger, kind, body: Body,
    run: async (given) => {
      try {
        return await write(() => withStepUp(() => run(given)));
      } catch (/** @type {any} */ refused) {
        if (refused.code === "conflict" && again) return (changed = refused);
        if (refused.code !== "approval_required") throw refused;
        waits = true;
        return refused.details;
      }
    },
  });
  if (changed) {
    again?.();
    say(`${changed.message} Nothing was done, and this view shows it as it is now.`, { tone: "bad" });
    return undefined;
  }
  if (answer) say(waits ? "Another administrator has to approve this. It waits in Approvals." : done, { tone: "good" });
  return waits ? undefined : answer;
}

/** @param {{title: string, id?: string, children: any, more?: string | null, actions?: any}} props */
export function Part({ title, id, children, more, actions }) {
  return html`<section id=${id}><div class="row spread"><h2 class="home-title">${title}</h2>${actions}
    ${more && html`<a class="small" href=${more}>All</a>`}</div>${children}</section>`;
}

/** Facts as a list of names and values; those without a value are left out. @param {{facts: [string, any][]}} props */
export function Facts({ facts }) {
  const shown = facts.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return html`<dl class="facts">${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {string} text */
export const words = (text) => text.replaceAll("_", " ").replaceAll(".", " ");

// -- who looks after what ----------------------------------------------------------------------

/** @type {import("@preact/signals").Signal<Record<string, import("../../client/jobsphere.js").Assignment>>} */
const assignments = signal({});
const keep = (/** @type {import("../../client/jobsphere.js").Assignment[]} */ found) =>
  (assignments.value = { ...assignments.peek(), ...Object.fromEntries(found.map((each) => [each.subject, each])) });
server.admin.on("assignment.updated", (assignment) => keep([assignment]));
server.on("end", () => (assignments.value = {}));

/** Read who looks after these. @param {string[]} subjects */
export async function readAssignments(subjects) {
  if (!subjects.length) return;
  try {
    const { items } = await server.admin.assignments({ subjects: subjects.slice(0, 100), limit: 100 });
    keep(items);
  } catch (refused) {
    refuse(refused);
  }
}

/** Who looks after it, and a way to change that. @param {{id: string, what: string}} props */
export function Assignee({ id, what }) {
  const { assignee_id = null, assignee_name = "" } = assignments.value[id] ?? {};
  const mine = assignee_id === me.value?.id;
  const label = assignee_id ? (mine ? "You look after it" : assignee_name) : "Assign…";
  return html`<button type="button" class="button small quiet assignee" onClick=${() => assign(id, what).catch(refuse)}>
    <${Icon} name=${assignee_id ? "user-check" : "user-plus"} />${assignee_id && html`<span class="visually-hidden">Looked after by: </span>`}${label}</button>`;
}

/** @param {string} id @param {string} what */
async function assign(id, what) {
  const { items } = await server.admin.users({ role: "admin", limit: 100 });
  const admins = items.filter(({ banned_at, deleted_at }) => !banned_at && !deleted_at);
  const now = assignments.peek()[id]?.assignee_id ?? "";
  const Question = (/** @type {{close: (answer?: any) => void}} */ { close }) => {
    const form = useForm(async ({ to = null, reason }) => {
      keep([await write(() => server.admin.assign({ subject: id, to, ...(reason && { reason }) }))]);
      close(true);
    });
    return html`<form onSubmit=${form.submit}><${DialogHeader} title="Who looks after it?" close=${close} />
      <div class="body"><p>All administrators see who looks after ${what}. It changes nothing else.</p>
        <${Field} form=${form} name="to" label="Administrator" as="select" defaultValue=${now || me.value?.id}>
          <option value="" selected=${false}>Nobody</option>
          ${admins.map((each) => html`<option key=${each.id} value=${each.id} selected=${each.id === (now || me.value?.id)}>${each.id === me.value?.id ? `${each.name} (you)` : each.name}</option>`)}</${Field}>
        <${Field} form=${form} name="reason" label="Why, for the audit trail (optional)" as="textarea" minlength="3" maxlength="1000" /></div>
      <footer><button type="button" class="button" onClick=${() => close(undefined)}>Cancel</button><${Submit} form=${form}>Assign</${Submit}></footer></form>`;
  };
  if (await open(Question)) say("All administrators see it.", { tone: "good" });
}
