// One chargeback: what the bank wants, what it was told, and writing to it.

import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Countdown, Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";
import { Assignee, Facts, Part, readAssignments, step, useReading, words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").SeenChargeback} Chargeback */
/** @typedef {import("../../client/jobsphere.js").ChargebackEvidence} Evidence */

/** @type {[keyof Evidence & string, string, number][]} */
const TEXTS = [
  ["product_description", "What was agreed", 4], ["service_date", "When the work was done", 1],
  ["refund_refusal_explanation", "Why it is not refunded", 4], ["uncategorized_text", "Anything else", 6],
];

/** What a file shows, by Stripe's fields. @type {[import("../../client/jobsphere.js").EvidenceFile["field"], string][]} */
const SHOWS = [["receipt", "A receipt"], ["service_documentation", "The work"], ["customer_communication", "What they wrote"], ["uncategorized_file", "Something else"]];

/** @param {string} chargeback_id */
async function read(chargeback_id) {
  const chargeback = await server.admin.chargeback({ chargeback_id });
  readAssignments([chargeback_id]);
  const offer = await server.admin.offer({ offer_id: chargeback.offer_id });
  return { chargeback, offer };
}

/** @param {{id: string}} props */
export function Chargeback({ id }) {
  const { found, problem, load } = useReading(() => read(id), [id], (again) => [server.payment.on("chargeback.updated", (pushed) => pushed.id === id && again())]);
  const back = { href: "/admin/chargebacks", label: "Chargebacks" };
  if (!found) return html`<${View} title="Chargeback" back=${back}>${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${8} />`}</${View}>`;
  const { chargeback, offer } = found;
  const { amount, currency, status, due_by, reason, fee_amount, fee_currency, held_amount, completed_amount, names, evidence, submissions } = chargeback;
  const person = (/** @type {string} */ user) => html`<${Id} id=${user}>${names[user]}</${Id}>`;
  const open = status === "open" || status === "inquiry";
  return html`<${View} title=${`Chargeback: ${chargeback.job_title}`} kind="wide" back=${back} actions=${html`<${Assignee} id=${id} what="this chargeback" />`}>
    <div class="columns facts-first"><div class="stack" style=${{ "--gap": "var(--space-4)" }}>
      ${open && html`<${Write} chargeback=${chargeback} agreed=${offer.description} load=${load} />`}
      <${Part} title="What was written to the bank">${evidence.length ? html`<ol class="stack">${evidence.map((each) => html`<li class="card stack" key=${each.id}><${Version} evidence=${each} name=${names[each.by] || "an administrator"} files=${chargeback.files} /></li>`)}</ol>`
        : html`<p class="card">Nothing yet.</p>`}</${Part}>
    </div><aside class="stack">
      <section class=${`card stack ${open ? "act" : ""}`} aria-label="Now"><div class="row spread"><p class="amount big">${display(amount, currency)}</p><${Badge} of=${statusOf("chargeback", status)} /></div>
        ${open && (due_by ? html`<p>The bank takes evidence for <${Countdown} until=${due_by} over="no longer" />. Without any the money is lost.</p>` : html`<p>The bank awaits no evidence now.</p>`)}
        <p class="soft small">${submissions > 0 ? `Evidence was submitted ${submissions === 1 ? "once" : `${submissions} times`}.` : "No evidence was submitted yet."}</p></section>
      <section class="card stack" aria-labelledby="about"><h2 id="about">About it</h2><${Facts} facts=${[
        ["Customer", person(chargeback.customer_id)], ["Contractor", person(chargeback.contractor_id)], ["The bank’s reason", words(reason)],
        ["Stripe’s fee", fee_amount > 0 && display(fee_amount, fee_currency ?? currency)], ["Held of the contractor’s money", held_amount > 0 && display(held_amount, currency)],
        ["Completed work undone", completed_amount > 0 && display(completed_amount, currency)],
        ["Job", html`<${Id} id=${chargeback.job_id}>${chargeback.job_title}</${Id}>`], ["Offer", html`<${Id} id=${chargeback.offer_id} />`], ["Payment", html`<${Id} id=${chargeback.payment_id} />`],
        ["At Stripe", html`<${Id} id=${chargeback.stripe_id} />`], ["Opened", html`<${Ago} at=${chargeback.created_at} />`],
      ]} /><p><a href=${`/admin/activity?subject=${id}`}>Its activity</a> · <a href=${`/admin/audit?subject=${id}`}>In the audit trail</a></p></section>
    </aside></div></${View}>`;
}

/** @param {{evidence: Evidence, name: string, files: Chargeback["files"]}} props */
function Version({ evidence, name, files }) {
  return html`<p class="row"><${Badge} of=${evidence.submit ? { word: evidence.refusal ? "Refused" : "Submitted", icon: "send", tone: evidence.refusal ? "bad" : "good" } : { word: "Draft", icon: "pencil", tone: "" }} />
      <span class="small">${name} <span class="soft"><${Ago} at=${evidence.created_at} /></span></span></p>
    ${evidence.refusal && html`<p class="note bad"><${Icon} name="circle-alert" />The bank did not get it. ${evidence.refusal} The alert has Stripe’s own words.</p>`}
    ${TEXTS.map(([field, label]) => evidence[field] && html`<div key=${field}><p class="small soft">${label}</p><p class="prose">${evidence[field]}</p></div>`)}
    ${SHOWS.map(([field, label]) => evidence.files.filter((each) => each.field === field).map(({ file_id }) => html`<div key=${field}><p class="small soft">File: ${label}</p><p>${files.find(({ id }) => id === file_id)?.name ?? "It is gone."}</p></div>`))}`;
}

/** The evidence, beginning with the last version. @param {{chargeback: Chargeback, agreed: string, load: () => void}} props */
function Write({ chargeback, agreed, load }) {
  const last = chargeback.evidence[0];
  const form = useForm(async (fields) => {
    const submit = fields.how === "submit";
    const texts = Object.fromEntries(TEXTS.map(([name]) => [name, fields[name] ?? ""]));
    const files = SHOWS.flatMap(([field]) => chargeback.files.filter(({ id }) => fields[id] === field).map(({ id }) => ({ field, file_id: id })));
    const what = submit ? html`<p>The bank gets this as it is, and decides by it. <strong>Evidence can be submitted only once.</strong></p>` : html`<p>Stripe keeps this as a draft. The bank does not get it yet.</p>`;
    const done = await step({
      title: submit ? "Submit the evidence?" : "Save a draft?", yes: submit ? "Submit" : "Save", danger: submit, done: submit ? "The evidence is on its way to the bank." : "The draft is saved.",
      what: html`${what}<p class="soft">${display(chargeback.amount, chargeback.currency)} are at stake.</p>`,
      run: ({ reason }) => server.admin.evidence({ chargeback_id: chargeback.id, ...texts, files, submit, reason }),
    });
    if (done) load();
  });
  return html`<form class="card stack" aria-labelledby="write" onSubmit=${form.submit}><h2 id="write">Evidence for the bank</h2>
    ${chargeback.submissions > 0 && html`<p class="note wait"><${Icon} name="info" />The bank has evidence already, and it can be submitted only once. Stripe may refuse more.</p>`}
    ${TEXTS.map(([name, label, rows]) => html`<${Field} key=${name} form=${form} name=${name} label=${label} as=${rows > 1 ? "textarea" : "input"} rows=${rows > 1 ? rows : undefined}
      maxlength=${name === "service_date" ? 40 : 20_000} defaultValue=${last?.[name] ?? (name === "product_description" ? agreed : "")} />`)}
    ${chargeback.files.map(({ id, name }) => html`<${Field} key=${id} form=${form} name=${id} label=${`Send “${name}”`} as="select" hint="A file of the dispute of this job. The bank takes one of each kind." defaultValue=${last?.files.find(({ file_id }) => file_id === id)?.field ?? ""}><option value="">Do not send it</option>
      ${SHOWS.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}</${Field}>`)}
    <${Field} form=${form} name="how" label="What to do with it" as="select"><option value="draft">Save a draft at Stripe</option><option value="submit">Submit it to the bank</option></${Field}>
    <div class="row end"><${Submit} form=${form}><${Icon} name="send" />Continue…</${Submit}></div></form>`;
}
