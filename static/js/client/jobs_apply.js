// A contractor's application to a job: made and withdrawn; it cannot be changed.

import { useSignal } from "@preact/signals";
import { countCharacters } from "../shared/characters.js";
import { confirm } from "../shared/dialog.js";
import { dropDraft, keepDraft, readDraft } from "../shared/drafts.js";
import { scheduleOf, splitAll } from "../shared/fees.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { useMeta } from "../shared/meta.js";
import { display, minor } from "../shared/money.js";
import { Ago, Badge } from "../shared/pieces.js";
import { go, viewOf } from "../shared/router.js";
import { server, write } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { applicationTo, budgetOf, chatWith, days, loadOwnApplications, noteOwn, standing } from "./jobs_pieces.js";

/** @typedef {import("../../client/jobsphere.js").Job} Job */
/** @typedef {import("../../client/jobsphere.js").Application} Application */

const MAX_LETTER = 4_000;
const MAX_DAYS = 365;

/** @param {{job: Job}} props */
export function Applying({ job }) {
  const application = applicationTo(job.id);
  if (application && standing(application)) return html`<${Application} application=${application} job=${job} />`;
  return html`${application && html`<${Application} application=${application} job=${job} />`}
    ${job.status === "open" && application?.status !== "rejected" && html`<${Apply} key=${job.id} job=${job} />`}`;
}

/** @param {{job: Job}} props */
function Apply({ job }) {
  const name = `apply.${job.id}`;
  const draft = useSignal({ price: "", days: "", letter: "", ...readDraft(name) });
  const values = draft.value;
  const form = useForm(async (_fields, element) => {
    const problems = problemsOf(values, job);
    const [first] = Object.keys(problems);
    if (first) {
      form.problems.value = problems;
      const field = element.elements.namedItem(first);
      if (field instanceof HTMLElement) field.focus();
      return;
    }
    try {
      noteOwn([await write(() => server.jobRequest.apply({
        job_id: job.id, cover_letter: values.letter.trim(), timeline_days: Number(values.days),
        proposed_amount: minor(values.price, job.currency),
      }))]);
    } catch (refused) {
      if (/** @type {any} */ (refused).code === "already_applied") await loadOwnApplications();
      throw refused;
    }
    dropDraft(name);
    say("Your application is in. The customer sees it now.", { tone: "good" });
  });
  const bound = (/** @type {"price" | "days" | "letter"} */ key) => ({
    form, value: values[key],
    onInput: (/** @type {any} */ { target }) => {
      draft.value = { ...draft.value, [key]: target.value };
      keepDraft(name, draft.value);
    },
  });
  const used = countCharacters(values.letter);
  return html`<section class="card" aria-labelledby="apply"><header><h2 id="apply">Apply</h2></header>
    <form class="stack" onSubmit=${form.submit} noValidate>
      <div class="fields"><${Field} ...${bound("price")} name="proposed_amount" label=${`Your price in ${job.currency}`} inputmode="decimal" required maxlength="14" autocomplete="off" />
        <${Field} ...${bound("days")} name="timeline_days" label="Days of work" inputmode="numeric" required maxlength="3" autocomplete="off" /></div>
      <${Share} price=${values.price} job=${job} />
      <${Field} ...${bound("letter")} as="textarea" rows="6" name="cover_letter" label="Why you?" required maxlength=${MAX_LETTER}
        hint=${`What you have done that is like this, and how you would go about it. ${used > MAX_LETTER / 2 ? `${used.toLocaleString()} of` : "At most"} ${MAX_LETTER.toLocaleString()} characters.`} />
      <${Submit} form=${form} class="primary block">Apply</${Submit}>
    </form></section>`;
}

/** What of a price the contractor gets. @param {{price: string, job: Job}} props */
function Share({ price, job }) {
  const meta = useMeta();
  let text = `The budget is ${budgetOf(job)}.`;
  try {
    const amount = minor(price, job.currency);
    if (meta && amount) {
      const { contractor } = splitAll(amount, scheduleOf(meta));
      text = `They pay ${display(amount, job.currency)}; you get ${display(contractor, job.currency)} after fees.`;
    }
  } catch {
    // not an amount yet
  }
  return html`<p class="soft small">${text}</p>`;
}

/** @param {{price: string, days: string, letter: string}} values @param {Job} job */
function problemsOf({ price, days: time, letter }, job) {
  /** @type {Record<string, string>} */
  const problems = {};
  try {
    if (minor(price, job.currency) < 1) problems.proposed_amount = "This must be more than nothing.";
  } catch (refused) {
    problems.proposed_amount = price.trim() ? /** @type {Error} */ (refused).message : "Write an amount.";
  }
  const number = Number(time);
  if (!Number.isInteger(number) || number < 1 || number > MAX_DAYS) problems.timeline_days = `Write a number from 1 to ${MAX_DAYS}.`;
  if (!letter.trim()) problems.cover_letter = "Say why you are the one for this.";
  return problems;
}

/** @param {{application: Application, job: Job}} props */
function Application({ application, job }) {
  const { id, status, proposed_amount, currency, timeline_days, cover_letter } = application;
  const active = standing(application);
  const won = job.contractor_id === application.contractor_id;
  const withdraw = async () => {
    const yes = await confirm({
      title: "Withdraw your application?", yes: "Withdraw", no: "Keep it", danger: true,
      body: html`<p>The customer is told. While the job is open you can apply again.</p>`,
    });
    if (!yes) return;
    try {
      noteOwn([await write(() => server.jobRequest.withdraw({ application_id: id }))]);
    } catch (refused) {
      refuse(refused);
    }
  };
  const chat = () => chatWith(job.id, job.customer_id).then((address) => go(address), refuse);
  return html`<section class=${`card stack ${status === "accepted" && job.status === "open" ? "act" : ""}`} aria-label="Your application">
    <div class="row spread"><h2>Your application</h2><${Badge} of=${statusOf("application", status)} /></div>
    <dl class="facts"><div><dt>Price</dt><dd class="amount">${display(proposed_amount, currency)}</dd></div>
      <div><dt>Time</dt><dd>${days(timeline_days)}</dd></div><div><dt>Sent</dt><dd><${Ago} at=${application.created_at} /></dd></div></dl>
    <details><summary>What you wrote</summary><p class="prose">${cover_letter}</p></details>
    ${status === "accepted" && job.status === "open" && html`<p>You are on the shortlist: talk about the details. An offer may follow.</p>`}
    <div class="row tight">
      ${status !== "withdrawn" && viewOf("/chat/x").view && html`<button type="button" class=${`button ${status === "accepted" ? "primary" : ""}`} onClick=${chat}><${Icon} name="message-circle" />Chat</button>`}
      ${active && !won && html`<button type="button" class="button quiet" onClick=${withdraw}><${Icon} name="undo-2" />Withdraw</button>`}</div>
  </section>`;
}
