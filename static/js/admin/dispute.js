// One dispute: what both sides say, what they wrote to each other, and the decision about the money.

import { useSignal } from "@preact/signals";
import { Attachments } from "../shared/attachments.js";
import { atPercent, isOpen, openAmount, splitDispute } from "../shared/fees.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Linked } from "../shared/links.js";
import { Countdown, Problem } from "../shared/listing.js";
import { limitsOf, useMeta } from "../shared/meta.js";
import { display, major } from "../shared/money.js";
import { amountIn, amountOrNull, MoneyField, Sums } from "../shared/money_step.js";
import { Ago, Avatar, Badge, Skeleton, View } from "../shared/pieces.js";
import { place } from "../shared/router.js";
import { server } from "../shared/server.js";
import { refuse } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";
import { Assignee, Facts, readAssignments, step, useReading, words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").Dispute} Dispute */
/** @typedef {import("../../client/jobsphere.js").SeenOffer} Offer */
/** @typedef {import("../../client/jobsphere.js").TimelineEntry} Entry */
/** @typedef {import("../../client/jobsphere.js").ArchivedMessage} Message */
/** @typedef {Awaited<ReturnType<typeof read>>} Found */

const PAGE = 100;

/** @param {string} dispute_id */
async function read(dispute_id) {
  const dispute = await server.payment.dispute({ dispute_id });
  const [offer, job, entries, talk] = await Promise.all([
    server.admin.offer({ offer_id: dispute.offer_id }), server.job.get({ job_id: dispute.job_id }),
    entriesOf(dispute_id), server.admin.conversation({ dispute_id, limit: PAGE }).catch(() => null),
  ]);
  readAssignments([dispute_id]);
  return { dispute, offer, job, entries, talk };
}

/** All entries, oldest first; a dispute has at most some hundreds. @param {string} dispute_id */
async function entriesOf(dispute_id) {
  /** @type {Entry[]} */
  const found = [];
  /** @type {string | null} */
  let cursor = null;
  do {
    const page = /** @type {any} */ (await server.payment.dispute_entries({ dispute_id, limit: PAGE, ...(cursor && { cursor }) }));
    found.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return found.reverse();
}

/** @param {{id: string}} props */
export function Dispute({ id }) {
  const { found, problem, load } = useReading(() => read(id), [id], (again) => [server.payment.on("dispute.updated", (pushed) => pushed.id === id && again())]);
  const back = { href: "/admin/disputes", label: "Disputes" };
  if (!found) return html`<${View} title="Dispute" back=${back}>${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${8} />`}</${View}>`;
  const { dispute, offer, talk } = found;
  const names = talk?.names ?? {};
  const person = (/** @type {string} */ user) => names[user] || (user === dispute.customer_id ? "the customer" : user === dispute.contractor_id ? "the contractor" : user === "system" ? "JobSphere" : "an administrator");
  const tab = place.value.query.get("tab") ?? "sides";
  const tabs = [["sides", "Both sides"], ["talk", "Conversation"], ["work", "Work"]];
  return html`<${View} title=${`Dispute: ${dispute.job_title}`} kind="wide" back=${back} actions=${html`<${Assignee} id=${id} what="this dispute" />`}>
    <div class="columns"><div class="stack" style=${{ "--gap": "var(--space-4)" }}>
      <nav class="segments" aria-label="Show">${tabs.map(([name, label]) => html`<a key=${name} href=${`/admin/disputes/${id}?tab=${name}`} aria-current=${name === tab ? "page" : undefined}>${label}</a>`)}</nav>
      ${tab === "talk" ? html`<${Talk} found=${found} person=${person} />` : tab === "work" ? html`<${Work} found=${found} />` : html`<${Sides} found=${found} person=${person} />`}
    </div><aside class="stack">
      <${Now} dispute=${dispute} person=${person} />
      ${dispute.status !== "resolved" && html`<${Decide} dispute=${dispute} offer=${offer} person=${person} load=${load} key=${dispute.id} />`}
      <section class="card stack" aria-labelledby="about"><h2 id="about">About it</h2><${Facts} facts=${[
        ["Customer", html`<${Id} id=${dispute.customer_id}>${person(dispute.customer_id)}</${Id}>`], ["Contractor", html`<${Id} id=${dispute.contractor_id}>${person(dispute.contractor_id)}</${Id}>`],
        ["Reason", words(dispute.reason)], ["Opened by", person(dispute.opened_by)], ["Opened", html`<${Ago} at=${dispute.created_at} />`],
        ["Job", html`<${Id} id=${dispute.job_id}>${dispute.job_title}</${Id}>`], ["Offer", html`<${Id} id=${dispute.offer_id} />`], ["Payment", html`<${Id} id=${dispute.payment_id} />`],
        ["About", dispute.milestones.map((number) => offer.milestones[number - 1]?.title ?? `Milestone ${number}`).join(", ")],
      ]} /><p><a href=${`/admin/activity?subject=${id}`}>Its activity</a> · <a href=${`/admin/audit?subject=${id}`}>In the audit trail</a></p></section>
    </aside></div></${View}>`;
}

/** @param {{dispute: Dispute, person: (id: string) => string}} props */
function Now({ dispute, person }) {
  const { status, currency, proposal, refund_amount, answer_by, waits_for } = dispute;
  return html`<section class=${`card stack ${status === "escalated" ? "act" : ""}`} aria-label="Now">
    <div class="row spread"><p class="amount big">${display(dispute.amount, currency)}</p><${Badge} of=${statusOf("dispute", status)} /></div>
    ${status === "resolved" ? html`<p>${refund_amount ? `${display(refund_amount, currency)} went back to the customer; the rest counts as approved work.` : "Nothing went back to the customer."}</p>`
      : waits_for ? html`<p>${person(waits_for)} has <${Countdown} until=${answer_by} over="no more time" /> to answer; then an administrator has to decide.</p>`
      : html`<p class="strong">An administrator has to decide.</p>`}
    ${status !== "resolved" && proposal && html`<p class="note mine"><${Icon} name="scale" /><span>${person(proposal.by)} proposes that ${display(proposal.refund_amount, currency)} go back to the customer.</span></p>`}
  </section>`;
}

// -- what both sides say -----------------------------------------------------------------------

const DID = /** @type {Record<string, string>} */ ({
  open: "opened the dispute", say: "", evidence: "added evidence", propose: "proposed a split", agree: "agreed", escalate: "asked JobSphere to decide", resolve: "decided",
});

/** @param {{found: Found, person: (id: string) => string}} props */
function Sides({ found: { dispute, entries }, person }) {
  return html`<section class="card" aria-label="What both sides say"><ol class="entries">${entries.map((entry) => html`<li key=${entry.seq}><article class="entry">
    <${Author} id=${entry.by} name=${person(entry.by)} />
    <div class="stack" style=${{ "--gap": "var(--space-2)" }}>
      <p class="small"><span class="strong">${person(entry.by)}</span> <${Side} dispute=${dispute} id=${entry.by} /> ${DID[entry.kind] ?? words(entry.kind)} <span class="soft"><${Ago} at=${entry.at} /></span></p>
      ${entry.refund_amount !== null && html`<p class="strong">${display(entry.refund_amount, dispute.currency)} back to the customer</p>`}
      ${entry.text && html`<p class="prose"><${Linked} text=${entry.text} /></p>`}<${Attachments} files=${entry.attachments} /></div></article></li>`)}</ol></section>`;
}

/** @param {{id: string, name: string}} props */
const Author = ({ id, name }) => (id.startsWith("usr_") ? html`<${Avatar} id=${id} name=${name} size="small" />` : html`<span class="avatar small" aria-hidden="true">JS</span>`);

/** @param {{dispute: Dispute, id: string}} props */
const Side = ({ dispute, id }) => (id === dispute.customer_id ? html`<span class="badge mine"><${Icon} name="user" />Customer</span>` : id === dispute.contractor_id ? html`<span class="badge"><${Icon} name="briefcase" />Contractor</span>` : null);

// -- what they wrote to each other -------------------------------------------------------------

/** @param {{found: Found, person: (id: string) => string}} props */
function Talk({ found: { dispute, talk }, person }) {
  const earlier = useSignal(/** @type {Message[]} */ ([]));
  if (!talk) return html`<section class="card"><p>They have no conversation about this job.</p></section>`;
  const items = [...earlier.value, ...talk.items];
  const more = items.length > 0 && items[0].seq > 1;
  const load = async () => {
    try {
      const page = await server.admin.conversation({ dispute_id: dispute.id, before_seq: items[0].seq, limit: PAGE });
      earlier.value = [...page.items, ...earlier.value];
    } catch (refused) {
      refuse(refused);
    }
  };
  return html`<section class="card stack" aria-label="Their conversation">
    <p class="note"><${Icon} name="eye" /><span>You may read this because the two are in dispute. Each reading is in the audit trail.</span></p>
    ${more && html`<p><button class="button small" type="button" onClick=${load}>Earlier messages</button></p>`}
    <ol class="entries">${items.map((message) => html`<li key=${message.id}><${Said} message=${message} dispute=${dispute} person=${person} /></li>`)}</ol></section>`;
}

/** @param {{message: Message, dispute: Dispute, person: (id: string) => string}} props */
function Said({ message, dispute, person }) {
  const { author_id, kind, text, files, created_at, edited_at, deleted_at, history } = message;
  if (kind !== "text") return html`<p class="small soft"><${Icon} name="zap" /> ${words(kind)} <${Ago} at=${created_at} /></p>`;
  return html`<article class="entry"><${Author} id=${author_id} name=${person(author_id)} />
    <div class="stack" style=${{ "--gap": "var(--space-2)" }}>
      <p class="small"><span class="strong">${person(author_id)}</span> <${Side} dispute=${dispute} id=${author_id} /> <span class="soft"><${Ago} at=${created_at} />${edited_at && !deleted_at && ", edited"}</span></p>
      ${deleted_at ? html`<p class="soft"><em>Deleted <${Ago} at=${deleted_at} /></em></p>` : text && html`<p class="prose"><${Linked} text=${text} /></p>`}
      <${Attachments} files=${files} />
      ${history.length > 0 && html`<details class="small"><summary>${history.length === 1 ? "The version before" : `${history.length} versions before`}</summary>
        <ul class="stack">${history.map((each) => html`<li key=${each.until}><p class="prose">${each.text || html`<em>no text</em>`}</p><p class="soft">until <${Ago} at=${each.until} /></p><${Attachments} files=${each.files} /></li>`)}</ul></details>`}
    </div></article>`;
}

// -- the work ----------------------------------------------------------------------------------

/** @param {{found: Found}} props */
function Work({ found: { dispute, offer, job } }) {
  return html`<div class="stack">
    <section class="card stack" aria-labelledby="job"><h2 id="job">${job.title}</h2><p class="prose">${job.description}</p><${Attachments} files=${job.files} /></section>
    <section class="card stack" aria-labelledby="agreed"><h2 id="agreed">What was agreed</h2><p class="prose">${offer.description}</p>
      <ul class="rows">${offer.milestones.map((milestone, at) => html`<li class="line tall" key=${at}><span class="grow"><span class="strong">${milestone.title}</span>
        ${dispute.milestones.includes(at + 1) && html` <span class="badge bad"><${Icon} name="scale" />In dispute</span>`}</span>
        <span class="side"><span class="amount">${display(milestone.amount, offer.currency)}</span><${Badge} of=${statusOf("milestone", milestone.status)} /></span></li>`)}</ul></section>
    <section class="card stack" aria-labelledby="delivered"><h2 id="delivered">What was delivered</h2>
      ${!job.delivered_at && !offer.milestones.some(({ note, files }) => note || files.length) && html`<p>Nothing was delivered.</p>`}
      ${job.delivered_at && html`<p class="soft small"><${Ago} at=${job.delivered_at} /></p><p class="prose"><${Linked} text=${job.delivery_note} /></p><${Attachments} files=${job.delivery_files} />`}
      ${offer.milestones.map((milestone, at) => (milestone.note || milestone.files.length > 0) && html`<div class="stack" key=${at}><h3>${milestone.title}</h3>
        <p class="prose"><${Linked} text=${milestone.note} /></p><${Attachments} files=${milestone.files} /></div>`)}</section></div>`;
}

// -- the decision ------------------------------------------------------------------------------

/** Who gets what. @param {{dispute: Dispute, offer: Offer, refund: number, person: (id: string) => string}} props */
function Division({ dispute, offer, refund, person }) {
  const { amount, customer, contractor, platform } = splitDispute(/** @type {any} */ (offer), dispute.milestones, refund);
  return html`<${Sums} currency=${dispute.currency} total=${["In dispute", amount]} rows=${[
    [html`${person(dispute.customer_id)} gets back`, customer], [html`${person(dispute.contractor_id)} gets`, contractor], ["Fees of JobSphere", platform],
  ]} />`;
}

/** @param {{dispute: Dispute, offer: Offer, person: (id: string) => string, load: () => void}} props */
function Decide({ dispute, offer, person, load }) {
  const { currency, milestones } = dispute;
  const { step: least } = limitsOf(useMeta(), currency);
  const whole = Math.min(dispute.amount, openAmount(/** @type {any} */ (offer), milestones));
  const text = useSignal(major(dispute.proposal?.refund_amount ?? atPercent(whole, 50, least), currency));
  const amount = Math.min(amountOrNull(text.value, currency) ?? 0, whole);
  const form = useForm(async (fields, element) => {
    const refund_amount = amountIn(fields, "refund_amount", currency, { minimum: 0, maximum: whole, step: least });
    const done = await step({
      title: "Decide the dispute?", yes: "Decide", danger: true, reason: null, done: "The dispute is decided. Both sides are told.",
      what: html`<p>The money is divided like this at once, and it cannot be undone:</p><${Division} dispute=${dispute} offer=${offer} refund=${refund_amount} person=${person} />
        <p>Both sides read your reason:</p><p class="note">${fields.reason}</p>`,
      run: () => server.admin.resolve({ dispute_id: dispute.id, refund_amount, reason: fields.reason, expected_amount: whole }),
      again: load,
    });
    if (!done) return;
    element.reset();
    load();
  });
  const slide = (/** @type {any} */ { target }) => (text.value = major(atPercent(whole, Number(target.value), least), currency));
  const contested = offer.contested_amount > 0;
  return html`<form class="card stack" aria-labelledby="decide" onSubmit=${form.submit}><h2 id="decide">Decide</h2>
    ${contested ? html`<p class="note wait"><${Icon} name="triangle-alert" />The customer’s bank disputes this payment: nothing can be divided until it has decided.</p>` : html`
    <div class="field"><label for="split">How much goes back to ${person(dispute.customer_id)}</label>
      <input class="split" id="split" type="range" min="0" max="100" value=${whole ? Math.round((amount / whole) * 100) : 0} onInput=${slide} aria-valuetext=${display(amount, currency)} />
      <div class="row spread small soft"><span>All is paid</span><span>All goes back</span></div></div>
    <${MoneyField} form=${form} name="refund_amount" label="Back to the customer" currency=${currency} required value=${text.value} onInput=${(/** @type {any} */ { target }) => (text.value = target.value)} />
    <div aria-live="polite"><${Division} dispute=${dispute} offer=${offer} refund=${amount} person=${person} /></div>
    ${!offer.milestones.some(isOpen) && html`<p class="note"><${Icon} name="info" />No part of the work is open any more; what is left of the money is divided.</p>`}
    <${Field} form=${form} name="reason" label="Why, for both sides" as="textarea" required maxlength="8000" />
    <div class="row end"><${Submit} form=${form}>Check and decide</${Submit}></div>`}
  </form>`;
}
