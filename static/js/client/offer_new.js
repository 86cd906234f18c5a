// Making an offer: its parts, what each side pays and gets while one types, and how it is paid.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { dropDraft, keepDraft, readDraft } from "../shared/drafts.js";
import { percent, scheduleOf, splitAll, splitParts } from "../shared/fees.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { limitsOf, useMeta } from "../shared/meta.js";
import { display, major } from "../shared/money.js";
import { amountIn, amountOrNull, ask, at, MoneyField, Sums } from "../shared/money_step.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { place } from "../shared/router.js";
import { server, write } from "../shared/server.js";
import { useRecord } from "../shared/use.js";
import { failureOf } from "./failures.js";
import { labelOf, readSaved, saved } from "./methods.js";
import { capital } from "./names.js";
import { follow } from "./paying.js";
import { CANNOT_PAY, stripeKey, testMethods } from "./payment_setup.js";
import { applications, jobs, offers } from "./world.js";

const HOURS = [[24, "1 day"], [48, "2 days"], [72, "3 days"], [144, "6 days"]];
const NEW_CARD = "new";

/**
 * @typedef {object} Part
 * @property {number} key
 * @property {string} title
 * @property {string} amount as it is written
 *
 * @typedef {object} Draft
 * @property {Part[]} parts
 * @property {string} description
 * @property {string} days
 * @property {string} hours
 * @property {string} method
 */

export function OfferNew() {
  const job_id = place.value.query.get("job");
  const contractor_id = place.value.query.get("contractor");
  const from = place.value.query.get("from");
  const { record: job, problem } = useRecord(jobs, job_id, (id) => server.job.get({ job_id: id }));
  const application = useApplication(job_id, contractor_id);
  const { record: before, problem: noBefore } = useRecord(offers, from, (offer_id) => server.bidding.get({ offer_id }));
  const meta = useMeta();
  const settled = job && application && meta && (!from || before || noBefore);
  const back = settled ? { href: `/jobs/${job_id}`, label: job.title } : { href: "/jobs", label: "My jobs" };
  const content = () => {
    if (problem) return html`<${Problem} problem=${problem} />`;
    if (!job_id || !contractor_id || application === null) {
      return html`<${Empty} icon="user" title="Choose who should get the offer">
        <p>Offers go to people who have applied to a job.</p><a class="button" href=${back.href}>${back.label}</a></${Empty}>`;
    }
    if (!settled) return html`<${Skeleton} lines=${8} />`;
    if (job.status !== "open") return html`<${Empty} icon="lock" title="This job is not open any more" />`;
    return html`<${Composer} job=${job} application=${application} before=${before} meta=${meta} />`;
  };
  return html`<${View} title=${settled ? `Offer to ${application.contractor_name}` : "Make an offer"} back=${back}>${content()}</${View}>`;
}

/** The contractor's application: undefined while it is read, null if there is none. @param {string | null} job_id @param {string | null} contractor_id */
function useApplication(job_id, contractor_id) {
  const found = useSignal(/** @type {string | null | undefined} */ (undefined));
  useEffect(() => {
    if (!job_id || !contractor_id) return;
    const find = async () => {
      let cursor;
      do {
        const page = await server.jobRequest.list({ job_id, cursor, limit: 100 });
        for (const each of page.items) applications.put(each);
        const own = page.items.find((each) => each.contractor_id === contractor_id && each.status !== "rejected" && each.status !== "withdrawn");
        if (own) return own.id;
        cursor = page.next_cursor;
      } while (cursor);
      return null;
    };
    find().then((id) => (found.value = id), () => (found.value = null));
  }, [job_id, contractor_id]);
  return found.value ? applications.of(found.value).value : found.value;
}

/** What was written before, or what there is to begin with. @param {string} name of the draft @param {any} application @param {any} before @returns {Draft} */
function begin(name, application, before) {
  const kept = readDraft(name);
  if (kept) return kept;
  const { currency } = application;
  const amount = before?.counter?.amount ?? before?.amount ?? application.proposed_amount;
  return {
    parts: [{ key: 1, title: "", amount: major(amount, currency) }],
    description: before?.description ?? "", hours: "72", method: "",
    days: String(before?.timeline_days ?? application.timeline_days),
  };
}

/** @param {{job: any, application: any, before: any, meta: any}} props */
function Composer({ job, application, before, meta }) {
  const { contractor_id, contractor_name: name, currency } = application;
  const draftName = `offer.${job.id}.${contractor_id}.${before?.id ?? ""}`;
  const draft = useSignal(useMemo(() => begin(draftName, application, before), []));
  const failed = useSignal("");
  const change = (/** @type {Partial<Draft>} */ changes) => {
    draft.value = { ...draft.value, ...changes };
    keepDraft(draftName, draft.value);
  };
  const methods = useWays(meta);
  useEffect(() => {
    if (methods && !methods.some(({ id }) => id === draft.peek().method)) change({ method: methods[0]?.id ?? "" });
  }, [methods]);

  const form = useForm(async (fields) => {
    const wanted = read(fields, draft.value, currency, limitsOf(meta, currency));
    const chosen = methods?.find(({ id }) => id === draft.value.method);
    const save = fields.save === "on";
    failed.value = "";
    const made = await ask({
      title: `Offer ${display(wanted.amount, currency)} to ${name}?`,
      yes: `Hold ${display(wanted.amount, currency)}`,
      body: () => html`<${Question} wanted=${wanted} name=${name} currency=${currency} schedule=${scheduleOf(meta)} chosen=${chosen} />`,
      run: async () => {
        if (save) await write(() => server.payment.setup({})); // so that Stripe has a customer to save it for
        return write(() => server.bidding.create({
          job_id: job.id, contractor_id, currency, ...wanted,
          ...(chosen && chosen.id !== NEW_CARD && { payment_method: chosen.id }),
        }));
      },
    });
    if (!made) return;
    offers.put(made.offer);
    if (follow(made.payment, made.offer.id, { save })) dropDraft(draftName);
    else failed.value = `The payment did not go through: ${failureOf(made.payment.failure)}. Nothing was sent. Choose another way to pay and try again.`;
  });

  return html`<form class="columns" onSubmit=${form.submit}>
    <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      ${before?.counter && html`<p class="note mine"><${Icon} name="reply" /><span>${capital(name)} asks for ${display(before.counter.amount, before.currency)}.
        ${before.counter.note && ` “${before.counter.note}”`}</span></p>`}
      <${Parts} form=${form} draft=${draft.value} change=${change} currency=${currency} meta=${meta} />
      <section class="card stack" aria-labelledby="terms"><h2 id="terms">What is agreed</h2>
        <${Field} form=${form} name="description" label="Say what is to be done" as="textarea" required maxlength="4000"
          value=${draft.value.description} onInput=${(/** @type {any} */ { target }) => change({ description: target.value })}
          hint="Be exact: this is what counts if you do not agree later." />
        <div class="fields">
          <${Field} form=${form} name="timeline_days" label="Days for the work" type="number" min="1" max="730" required inputmode="numeric"
            value=${draft.value.days} onInput=${(/** @type {any} */ { target }) => change({ days: target.value })} />
          <${Field} form=${form} name="expires_in_hours" label="Time to answer" as="select" value=${draft.value.hours}
            onChange=${(/** @type {any} */ { target }) => change({ hours: target.value })}>
            ${HOURS.map(([hours, label]) => html`<option value=${hours} selected=${String(hours) === draft.value.hours}>${label}</option>`)}</${Field}>
        </div>
      </section>
      <${Ways} methods=${methods} draft=${draft.value} change=${change} meta=${meta} />
      ${failed.value && html`<p class="note bad" role="alert"><${Icon} name="circle-alert" />${failed.value}</p>`}
      ${methods?.length !== 0 && html`<div class="row end"><${Submit} form=${form}>Check and send</${Submit}></div>`}
    </div>
    <aside class="preview"><${Preview} draft=${draft.value} name=${name} currency=${currency} meta=${meta} /></aside>
  </form>`;
}

/**
 * The fields of the command. Throws a Refusal at the first field that is wrong.
 *
 * @param {Record<string, any>} fields
 * @param {Draft} draft
 * @param {string} currency
 * @param {{minimum: number, step: number}} limits
 */
function read(fields, { parts, hours }, currency, limits) {
  const terms = {
    description: String(fields.description ?? ""), timeline_days: Number(fields.timeline_days), expires_in_hours: Number(hours),
  };
  if (parts.length === 1) return { amount: amountIn(fields, `amount-${parts[0].key}`, currency, limits), ...terms };
  const milestones = parts.map(({ key }) => {
    if (!fields[`title-${key}`]) throw at(`title-${key}`, "Name this milestone.");
    return { title: String(fields[`title-${key}`]), amount: amountIn(fields, `amount-${key}`, currency, limits) };
  });
  return { amount: milestones.reduce((sum, each) => sum + each.amount, 0), milestones, ...terms };
}

/** @param {any} props */
function Parts({ form, draft, change, currency, meta }) {
  const { parts } = /** @type {Draft} */ (draft);
  const most = meta.offers.max_milestones;
  const set = (/** @type {number} */ key, /** @type {Partial<Part>} */ changes) =>
    change({ parts: parts.map((part) => (part.key === key ? { ...part, ...changes } : part)) });
  const add = () => {
    const next = Math.max(...parts.map(({ key }) => key)) + 1;
    change({ parts: [...parts, { key: next, title: "", amount: "" }] });
    requestAnimationFrame(() => document.getElementById(`field-title-${next}`)?.focus());
  };
  const several = parts.length > 1;
  return html`<section class="card stack" aria-labelledby="parts"><h2 id="parts">${several ? "Milestones" : "Amount"}</h2>
    ${several && html`<p class="soft small">Each is delivered, approved and paid by itself, in any order.</p>`}
    ${parts.map(({ key, title, amount }, at_) => html`<div class=${`part ${several ? "several" : ""}`} key=${key}>
      ${several && html`<${Field} form=${form} name=${`title-${key}`} label=${`Milestone ${at_ + 1}`} required maxlength="120" value=${title}
        onInput=${(/** @type {any} */ { target }) => set(key, { title: target.value })} />`}
      <${MoneyField} form=${form} name=${`amount-${key}`} label=${several ? "Amount" : "You pay"} currency=${currency} required value=${amount}
        onInput=${(/** @type {any} */ { target }) => set(key, { amount: target.value })} />
      ${several && html`<button class="button quiet icon-only" type="button" onClick=${() => change({ parts: parts.filter((part) => part.key !== key) })}>
        <${Icon} name="trash-2" /><span class="visually-hidden">Remove milestone ${at_ + 1}</span></button>`}
    </div>`)}
    ${parts.length < most && html`<div class="row"><button class="button small" type="button" onClick=${add}>
      <${Icon} name="plus" />${several ? "Add a milestone" : "Split it into milestones"}</button></div>`}
    <p class="short-preview small">${sentence(draft, currency, meta)}</p>
  </section>`;
}

/** What is written so far, in minor units; null for what is no amount yet. @param {Draft} draft @param {string} currency */
const amountsOf = ({ parts }, currency) => parts.map(({ amount }) => amountOrNull(amount, currency));

/** @param {Draft} draft @param {string} currency @param {any} meta */
function sentence(draft, currency, meta) {
  const amount = amountsOf(draft, currency).reduce((/** @type {number} */ sum, each) => sum + (each ?? 0), 0);
  return `You pay ${display(amount, currency)}; they get ${display(splitAll(amount, scheduleOf(meta)).contractor, currency)}.`;
}

/** Who gets what, while one types. @param {any} props */
function Preview({ draft, name, currency, meta }) {
  const schedule = scheduleOf(meta);
  const amounts = amountsOf(draft, currency);
  const known = amounts.map((amount) => amount ?? 0);
  const whole = splitAll(known.reduce((sum, each) => sum + each, 0), schedule);
  const splits = splitParts(known, schedule);
  return html`<section class="card stack" aria-labelledby="preview" aria-live="polite"><h2 id="preview">Who gets what</h2>
    <${Sums} currency=${currency} total=${["You pay", whole.amount]} rows=${[
      [`${capital(name)} gets`, whole.contractor],
      [`Fees (${percent(schedule.platform_bps)} + ${percent(schedule.service_bps)})`, whole.platform],
    ]} />
    ${splits.length > 1 && html`<ol class="preview-parts small">${splits.map((split, at_) => html`<li key=${draft.parts[at_].key}>
      <span class="truncate">${draft.parts[at_].title || `Milestone ${at_ + 1}`}</span>
      <span class="soft number">${display(split.amount, currency)} → ${display(split.contractor, currency)}</span></li>`)}</ol>`}
    <p class="soft small">The money is held when you send the offer, charged when it is accepted, and paid out as you approve the work.</p>
  </section>`;
}

/** @param {any} props */
function Question({ wanted, name, currency, schedule, chosen }) {
  const { amount, milestones = [] } = wanted;
  const { contractor, platform } = splitAll(amount, schedule);
  const splits = splitParts(milestones.map((/** @type {any} */ each) => each.amount), schedule);
  return html`
    <p>${chosen && chosen.id !== NEW_CARD ? `${display(amount, currency)} are held on ${chosen.label} now.`
      : `You enter your card next; ${display(amount, currency)} are held on it then.`} You are charged only when ${name} accepts.</p>
    <${Sums} currency=${currency} total=${["You pay in all", amount]} rows=${[
      ...(splits.length ? splits.map((split, index) => [`${capital(name)} gets for “${milestones[index].title}”`, split.contractor])
        : [[`${capital(name)} gets`, contractor]]),
      ["Fees of JobSphere", platform],
    ]} />`;
}

// -- ways to pay -------------------------------------------------------------------------------

/** Saved methods, then a new card or the sandbox's; null while they are read. @param {any} meta */
function useWays(meta) {
  useEffect(() => {
    readSaved().catch(() => (saved.value ??= []));
  }, []);
  const own = saved.value;
  return useMemo(() => own && [
    ...[...own].sort((one, other) => Number(other.is_default) - Number(one.is_default))
      .map((method) => ({ id: method.id, label: labelOf(method), hint: method.is_default ? "Your default" : "" })),
    ...(stripeKey(meta) ? [{ id: NEW_CARD, label: "Another card or way to pay", hint: "You enter it on the next page." }] : []),
    ...testMethods(meta).map(({ id, label }) => ({ id, label, hint: "Test card" })),
  ], [own, meta]);
}

/** @param {any} props */
function Ways({ methods, draft, change }) {
  if (methods && !methods.length) {
    return html`<section class="card stack" aria-labelledby="ways"><h2 id="ways">How you pay</h2>
      <p class="note wait"><${Icon} name="triangle-alert" />${CANNOT_PAY}</p></section>`;
  }
  return html`<section class="card" aria-labelledby="ways">
    <fieldset class="choices"><legend><h2 id="ways">How you pay</h2></legend>
      ${methods ? methods.map((/** @type {any} */ { id, label, hint }) => html`<label class="choice" key=${id}>
        <input type="radio" name="method" value=${id} checked=${draft.method === id} onChange=${() => change({ method: id })} />
        <span>${label}${hint && html`<br /><span class="soft small">${hint}</span>`}</span></label>`) : html`<${Skeleton} lines=${2} />`}
    </fieldset>
    ${draft.method === NEW_CARD && html`<label class="check"><input type="checkbox" name="save" /><span>Save it for later offers</span></label>`}
  </section>`;
}
