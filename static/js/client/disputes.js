// Disputes: both sides' timeline with evidence, proposals with what they mean in money, and the end.

import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Attachments } from "../shared/attachments.js";
import { dropDraft, keepDraft, readDraft } from "../shared/drafts.js";
import { atPercent, openAmount, splitDispute } from "../shared/fees.js";
import { FilePicker, storedIds, useUploads } from "../shared/file_picker.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Linked } from "../shared/links.js";
import { Countdown, Listing, Problem } from "../shared/listing.js";
import { limitsOf, useMeta } from "../shared/meta.js";
import { display, major } from "../shared/money.js";
import { amountIn, amountOrNull, ask, at, MoneyField, Sums } from "../shared/money_step.js";
import { Ago, Avatar, Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { place } from "../shared/router.js";
import { me, server, write } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { useList, useRecord } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { capital, isNamed, nameOf, useOther } from "./names.js";
import { guarded, readAgain, REASONS } from "./offer_steps.js";
import { disputes, offers } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Dispute} Dispute */
/** @typedef {import("../../client/jobsphere.js").TimelineEntry} TimelineEntry */
/** @typedef {import("../../client/jobsphere.js").Offer} Offer */

const reasonOf = (/** @type {string} */ reason) => REASONS.find(([name]) => name === reason)?.[1] ?? reason;

/** Whether the person has to answer: the other side has opened it, or proposed last. @param {Dispute} dispute */
const waitsForMe = ({ status, proposal, opened_by }) =>
  status !== "resolved" && status !== "escalated" && (proposal ? proposal.by : opened_by) !== me.value?.id;

export function Disputes() {
  const over = place.value.query.get("show") === "over";
  const list = useList(disputes, { read: (cursor) => server.payment.disputes({ cursor, limit: 30 }), fits: () => true }, []);
  return html`<${View} title="Disputes"><div class="stack" style=${{ "--gap": "var(--space-5)" }}>
    <nav class="segments" aria-label="Show"><a href="/disputes" aria-current=${over ? undefined : "page"}>Open</a>
      <a href="/disputes?show=over" aria-current=${over ? "page" : undefined}>Resolved</a></nav>
    <${Listing} list=${list} label="Disputes" keep=${(/** @type {Dispute} */ each) => (each.status === "resolved") === over}
      empty=${html`<${Empty} icon="scale" title=${over ? "None was resolved yet" : "No dispute is open"}><p>If work is not as agreed, open a dispute at its milestone: the money is frozen until it ends.</p></${Empty}>`}
      row=${(/** @type {Dispute} */ each) => html`<a class="line tall" href=${`/disputes/${each.id}`}>
        <span class="grow"><span class="strong">${each.job_title}</span><br /><span class="soft small">${waitsForMe(each)
          ? html`Your answer is awaited for <${Countdown} until=${each.answer_by} over="no longer" />` : html`${reasonOf(each.reason)} · <${Ago} at=${each.updated_at} />`}</span></span>
        <span class="side"><span class="amount">${display(each.amount, each.currency)}</span><${Badge} of=${statusOf("dispute", each.status)} /></span></a>`} />
  </div></${View}>`;
}

/** @param {{id: string}} props */
export function DisputeView({ id }) {
  const { record: dispute, problem } = useRecord(disputes, id, (dispute_id) => server.payment.dispute({ dispute_id }));
  const { record: offer, problem: offerProblem } = useRecord(offers, dispute?.offer_id, (offer_id) => server.bidding.get({ offer_id }));
  const other = useOther(dispute);
  const back = { href: "/disputes", label: "Disputes" };
  const trouble = problem ?? offerProblem;
  if (!dispute || !offer || !isNamed(dispute)) return html`<${View} title="Dispute" back=${back}>${trouble ? html`<${Problem} problem=${trouble} />` : html`<${Skeleton} lines=${6} />`}</${View}>`;
  const open = dispute.status !== "resolved";
  return html`<${View} title=${`Dispute: ${dispute.job_title}`} back=${back} actions=${html`
      <a class="button" href=${`/offers/${dispute.offer_id}`}><${Icon} name="handshake" />The offer</a>`}>
    <div class="columns">
      <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
        <${Now} dispute=${dispute} offer=${offer} other=${other} />
        <section class="card stack" aria-labelledby="timeline"><h2 id="timeline">What both sides say</h2>
          <${Timeline} dispute=${dispute} other=${other} />
          ${open && html`<${Write} dispute=${dispute} other=${other} />`}</section>
      </div>
      <aside class="stack">
        ${open && html`<${Propose} dispute=${dispute} offer=${offer} other=${other} key=${dispute.id} />`}
        <${About} dispute=${dispute} offer=${offer} />
      </aside>
    </div>
  </${View}>`;
}

/** Who gets what of a split. @param {{dispute: Dispute, offer: Offer, refund: number, other: string}} props */
function Division({ dispute, offer, refund, other }) {
  const { amount, customer, contractor, platform } = splitDispute(offer, dispute.milestones, refund);
  const mine = dispute.customer_id === me.value?.id;
  return html`<${Sums} currency=${dispute.currency} total=${["In dispute", amount]} rows=${[
    [mine ? "You get back" : `${capital(other)} gets back`, customer],
    [mine ? `${capital(other)} gets` : "You get", contractor], ["Fees of JobSphere", platform],
  ]} />`;
}

/** @param {{dispute: Dispute, offer: Offer, other: string}} props */
function Now({ dispute, offer, other }) {
  const { status, currency, proposal, refund_amount, answer_by } = dispute;
  const mine = waitsForMe(dispute);
  const theirs = proposal && proposal.by !== me.value?.id;
  return html`<section class=${`card stack ${mine ? "act" : ""}`} aria-label="Now">
    <div class="row spread"><p class="amount big">${display(dispute.amount, currency)}</p><${Badge} of=${statusOf("dispute", status)} /></div>
    ${status === "resolved" ? html`<p>${refund_amount ? `${display(refund_amount, currency)} went back to the customer; the rest counts as approved work.`
        : "Nothing went back to the customer: all of it counts as approved work."}</p>`
      : status === "escalated" ? html`<p>JobSphere looks at it and decides. You can still add evidence, or agree with each other.</p>`
      : html`<p>${mine ? html`Your answer is awaited for <${Countdown} until=${answer_by} over="no longer" />. After that, JobSphere decides.`
        : html`${capital(other)} has <${Countdown} until=${answer_by} over="no more time" /> to answer. After that, JobSphere decides.`} The money is frozen until then.</p>`}
    ${status !== "resolved" && proposal && html`<div class="note mine"><${Icon} name="scale" /><div class="grow stack" style=${{ "--gap": "var(--space-3)" }}>
      <p class="strong">${theirs ? `${capital(other)} proposes` : "You propose"}</p>
      <${Division} dispute=${dispute} offer=${offer} refund=${proposal.refund_amount} other=${other} />
      ${theirs && html`<div class="row"><button class="button primary" type="button" onClick=${() => agree(dispute, offer, other).catch(refuse)}>
        <${Icon} name="check" />Agree to this</button></div>`}</div></div>`}
    ${(status === "open" || status === "proposed") && html`<div class="row"><button class="button quiet" type="button" onClick=${() => escalate(dispute, other).catch(refuse)}>
      <${Icon} name="shield" />Let JobSphere decide</button></div>`}
  </section>`;
}

/** @param {Dispute} dispute @param {Offer} offer @param {string} other */
async function agree(dispute, offer, other) {
  const refund_amount = dispute.proposal?.refund_amount ?? 0;
  const Body = () => {
    const now = disputes.of(dispute.id).value ?? dispute;
    const changed = now.proposal?.refund_amount !== refund_amount;
    return html`<p>The dispute ends with this split. It cannot be undone.</p>
      <${Division} dispute=${now} offer=${offers.of(offer.id).value ?? offer} refund=${refund_amount} other=${other} />
      ${changed && html`<p class="note wait"><${Icon} name="triangle-alert" />The proposal has changed meanwhile. Cancel, and look at the new one.</p>`}`;
  };
  const done = await ask({
    title: "Agree to this split?", yes: "Agree", body: Body,
    run: () => {
      const expected_amount = openAmount(offers.peek(offer.id) ?? offer, dispute.milestones);
      return guarded(offer.id, () => server.payment.dispute_agree({ dispute_id: dispute.id, refund_amount, expected_amount }));
    },
  });
  if (!done) return;
  disputes.put(done);
  readAgain(offer.id).catch(() => {}); // it is pushed, too
  say("You have agreed: the dispute is over.", { tone: "good" });
}

/** @param {Dispute} dispute @param {string} other */
async function escalate(dispute, other) {
  const done = await ask({
    title: "Let JobSphere decide?", yes: "Let JobSphere decide",
    body: () => html`<p>An administrator reads what both sides have said and decides who gets what of ${display(dispute.amount, dispute.currency)}.
      You and ${other} can still agree before that.</p><p class="soft">Add all your evidence: the decision is final.</p>`,
    run: () => write(() => server.payment.dispute_escalate({ dispute_id: dispute.id })),
  });
  if (!done) return;
  disputes.put(done);
  say("JobSphere will decide.", { tone: "good" });
}

// -- a split -----------------------------------------------------------------------------------

/** @param {{dispute: Dispute, offer: Offer, other: string}} props */
function Propose({ dispute, offer, other }) {
  const { currency } = dispute;
  const { step } = limitsOf(useMeta(), currency);
  const whole = Math.min(dispute.amount, openAmount(offer, dispute.milestones));
  const text = useSignal(major(dispute.proposal?.refund_amount ?? atPercent(whole, 50, step), currency));
  const form = useForm(async (fields, element) => {
    const refund_amount = amountIn({ refund_amount: fields.refund_amount }, "refund_amount", currency, { minimum: 0, maximum: whole, step });
    const now = disputes.peek(dispute.id) ?? dispute;
    if (now.proposal?.by === me.value?.id && now.proposal.refund_amount === refund_amount) throw at("refund_amount", "That is what you propose already.");
    const done = await ask({
      title: "Propose this split?", yes: "Propose",
      body: () => html`<p>${capital(other)} can agree to it, and the money is divided like this then:</p>
        <${Division} dispute=${dispute} offer=${offer} refund=${refund_amount} other=${other} />`,
      run: () => write(() => server.payment.dispute_propose({ dispute_id: dispute.id, refund_amount, text: fields.text ?? "" })),
    });
    if (!done) return;
    disputes.put(done);
    /** @type {HTMLTextAreaElement} */ (element.elements.namedItem("text")).value = "";
    say("Your proposal is sent.", { tone: "good" });
  });
  const amount = Math.min(amountOrNull(text.value, currency) ?? 0, whole);
  const percent = whole ? Math.round((amount / whole) * 100) : 0;
  const mine = dispute.customer_id === me.value?.id;
  const slide = (/** @type {any} */ { target }) => (text.value = major(atPercent(whole, Number(target.value), step), currency));
  return html`<form class="card stack" aria-labelledby="propose" onSubmit=${form.submit}><h2 id="propose">Propose a split</h2>
    <div class="field"><label for="split">${mine ? "How much you get back" : `How much ${other} gets back`}</label>
      <input class="split" id="split" type="range" min="0" max="100" value=${percent} onInput=${slide}
        aria-valuetext=${`${percent} %: ${display(amount, currency)}`} />
      <div class="row spread small soft"><span>All is paid</span><span>All goes back</span></div></div>
    <${MoneyField} form=${form} name="refund_amount" label=${mine ? "Back to you" : `Back to ${other}`} currency=${currency} required value=${text.value}
      onInput=${(/** @type {any} */ { target }) => (text.value = target.value)} />
    <div aria-live="polite"><${Division} dispute=${dispute} offer=${offer} refund=${amount} other=${other} /></div>
    <${Field} form=${form} name="text" label="Why" as="textarea" maxlength="8000" />
    <div class="row end"><${Submit} form=${form}>Check and propose</${Submit}></div>
  </form>`;
}

/** @param {{dispute: Dispute, offer: Offer | null}} props */
function About({ dispute, offer }) {
  const opener = dispute.opened_by === me.value?.id ? "You" : capital(nameOf(dispute.opened_by) ?? (dispute.opened_by === "system" ? "JobSphere" : "the other side"));
  return html`<section class="card stack" aria-labelledby="about"><h2 id="about">About it</h2>
    <dl class="facts"><div><dt>Reason</dt><dd>${reasonOf(dispute.reason)}</dd></div>
      <div><dt>Opened by</dt><dd>${opener}, <${Ago} at=${dispute.created_at} /></dd></div>
      <div><dt>About</dt><dd>${dispute.milestones.map((number) => offer?.milestones[number - 1]?.title ?? `Milestone ${number}`).join(", ")}</dd></div></dl></section>`;
}

// -- what is said ------------------------------------------------------------------------------

/** Entries that the disputes themselves do not carry any more. @type {import("@preact/signals").Signal<Record<string, TimelineEntry[]>>} */
const earlier = signal({});
server.on("end", () => (earlier.value = {}));

const DID = /** @type {Record<string, string>} */ ({
  open: "opened the dispute", say: "", evidence: "added evidence", propose: "proposed a split", agree: "agreed", escalate: "asked JobSphere to decide", resolve: "decided",
});

/** @param {{dispute: Dispute, other: string}} props */
function Timeline({ dispute, other }) {
  const busy = useSignal(false);
  const shown = new Map([...(earlier.value[dispute.id] ?? []), ...dispute.timeline].map((entry) => [entry.seq, entry]));
  const entries = [...shown.values()].sort((one, another) => one.seq - another.seq);
  // Entries between those that were kept and the latest ones may be missing: what is read goes back from the first gap.
  const gap = entries.findLast((entry, index) => entry.seq > 1 && entries[index - 1]?.seq !== entry.seq - 1);
  const more = async () => {
    busy.value = true;
    try {
      const { items } = await server.payment.dispute_entries({ dispute_id: dispute.id, before_seq: gap?.seq, limit: 50 });
      earlier.value = { ...earlier.value, [dispute.id]: [...(earlier.value[dispute.id] ?? []), ...items] };
    } catch (refused) {
      refuse(refused);
    }
    busy.value = false;
  };
  useEffect(() => {
    if (!gap && !earlier.peek()[dispute.id]) earlier.value = { ...earlier.peek(), [dispute.id]: [...dispute.timeline] };
  }, [dispute.id]);
  return html`
    ${gap && html`<button class="button small" type="button" aria-busy=${busy.value ? "true" : undefined} onClick=${more}>Earlier entries</button>`}
    <ol class="entries">${entries.map((entry) => html`<li key=${entry.seq}><${Entry} entry=${entry} dispute=${dispute} other=${other} /></li>`)}</ol>`;
}

/** @param {{entry: TimelineEntry, dispute: Dispute, other: string}} props */
function Entry({ entry, dispute, other }) {
  const { by, kind, text, refund_amount, attachments } = entry;
  const mine = by === me.value?.id;
  const party = by === dispute.customer_id || by === dispute.contractor_id;
  const name = mine ? "You" : party ? capital(other) : "JobSphere";
  return html`<article class="entry">
    ${party ? html`<${Avatar} id=${by} name=${mine ? me.value?.name ?? "?" : other} size="small" />` : html`<span class="avatar small tone-0" aria-hidden="true">JS</span>`}
    <div class="stack" style=${{ "--gap": "var(--space-2)" }}>
      <p class="small"><span class="strong">${name}</span> ${DID[kind] ?? kind.replaceAll("_", " ")} <span class="soft"><${Ago} at=${entry.at} /></span></p>
      ${refund_amount !== null && html`<p class="strong">${display(refund_amount, dispute.currency)} back to the customer</p>`}
      ${text && html`<p class="prose"><${Linked} text=${text} /></p>`}
      <${Attachments} files=${attachments} />
    </div></article>`;
}

/** Words alone, or evidence with files. @param {{dispute: Dispute, other: string}} props */
function Write({ dispute, other }) {
  const uploads = useUploads();
  const name = `dispute.${dispute.id}`;
  const form = useForm(async ({ text }, element) => {
    const file_ids = await storedIds(uploads);
    const fields = { dispute_id: dispute.id, text };
    disputes.put(await write(() => (file_ids.length ? server.payment.dispute_evidence({ ...fields, file_ids }) : server.payment.dispute_say(fields))));
    uploads.value = [];
    dropDraft(name);
    element.reset();
    /** @type {HTMLTextAreaElement} */ (element.elements.namedItem("text")).value = "";
  });
  return html`<form class="stack write" onSubmit=${form.submit}>
    <${Field} form=${form} name="text" label="Your side" as="textarea" required maxlength="8000" hint=${`${capital(other)} and JobSphere read this.`}
      defaultValue=${readDraft(name) ?? ""} onInput=${(/** @type {any} */ { target }) => keepDraft(name, target.value)} />
    <div class="row spread"><${FilePicker} uploads=${uploads} label="Add evidence" /><${Submit} form=${form}>Send</${Submit}></div>
  </form>`;
}
