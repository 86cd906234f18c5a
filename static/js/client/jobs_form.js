// Posting a job and changing it: a page of its own, whose draft is kept in this browser.

import { effect, untracked, useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Attachments } from "../shared/attachments.js";
import { countCharacters, shorten } from "../shared/characters.js";
import { dropDraft, keepDraft, readDraft } from "../shared/drafts.js";
import { FilePicker, storedIds, useUploads } from "../shared/file_picker.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { CURRENCIES, major, minor } from "../shared/money.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { go } from "../shared/router.js";
import { Refusal, me, server, write } from "../shared/server.js";
import { say } from "../shared/toasts.js";
import { Upload } from "../shared/uploads.js";
import { MAX_SKILLS } from "./jobs_filters.js";
import { Skills, budgetOf } from "./jobs_pieces.js";
import { PlaceField } from "./place_field.js";
import { loadCities, nameOf } from "./places.js";
import { jobs, mainCurrency } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Job} Job */
/** @typedef {import("../../client/jobsphere.js").Attachment} Attachment */
/** @typedef {import("./places.js").Point} Point */

/**
 * @typedef {object} Draft
 * @property {string} title
 * @property {string} description
 * @property {string} category
 * @property {string[]} skills
 * @property {string} low
 * @property {string} high
 * @property {string} currency
 * @property {boolean} placed not done from anywhere
 * @property {Point | null} point
 * @property {string} place what was chosen for the point
 * @property {string} label
 * @property {Attachment[]} files that are stored
 * @property {number} [version] of the job that is changed
 */

const MAX = { title: 120, description: 8_000, category: 60, skill: 40, label: 120 };

/** @type {Draft} */
const BLANK = {
  title: "", description: "", category: "", skills: [], low: "", high: "", currency: CURRENCIES[0],
  placed: false, point: null, place: "", label: "", files: [],
};

/** @param {Job} job @returns {Draft} */
const draftOf = (job) => ({
  title: job.title, description: job.description, category: job.category, skills: job.skills,
  low: major(job.budget_min_amount, job.currency), high: major(job.budget_max_amount, job.currency),
  currency: job.currency, placed: job.location !== null, version: job.version, files: [...job.files],
  point: job.location && { lon: job.location.lon, lat: job.location.lat },
  ...placeOf(job.location),
});

/** @param {Job["location"]} location */
function placeOf(location) {
  const place = location ? nameOf(location) : "";
  return { place, label: location && location.label !== place ? location.label : "" };
}

export function NewJob() {
  const send = async (/** @type {any} */ fields) => {
    const job = await write(() => server.job.create(fields));
    jobs.put(job);
    dropDraft("job");
    go(`/jobs/${job.id}`, { replace: true });
    say("Posted. Contractors see it now.", { tone: "good" });
  };
  const back = { href: "/jobs", label: "My jobs" };
  if (me.value?.role !== "customer") {
    return html`<${View} title="Post a job" back=${back}><${Empty} icon="briefcase" title="Only customers post jobs" /></${View}>`;
  }
  return html`<${View} title="Post a job" back=${back}>
    <${JobForm} name="job" blank=${{ ...BLANK, currency: mainCurrency.value }} yes="Post the job" send=${send} /></${View}>`;
}

/** @param {{id: string}} props */
export function EditJob({ id }) {
  const job = /** @type {Job | null} */ (jobs.of(id).value);
  const [missing, miss] = useState(false);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    Promise.all([server.job.get({ job_id: id }), loadCities()]).then(([read]) => {
      jobs.put(read);
      setReady(true);
    }, () => miss(true));
  }, [id]);
  const back = { href: `/jobs/${id}`, label: job?.title ?? "The job" };
  const own = job?.customer_id === me.value?.id && job?.status === "open";
  const send = async (/** @type {any} */ fields) => {
    jobs.put(await write(() => server.job.update({ job_id: id, ...fields })));
    dropDraft(`job.${id}`);
    go(`/jobs/${id}`, { replace: true });
    say("Changed. Everyone who looks at the job sees it now.", { tone: "good" });
  };
  return html`<${View} title="Edit the job" back=${back}>
    ${missing && html`<${Empty} icon="briefcase" title="There is no such job" />`}
    ${!missing && !ready && html`<${Skeleton} lines=${8} />`}
    ${ready && job && !own && html`<${Empty} icon="lock" title="This job cannot be changed any more">
      <p>Only open jobs can be changed, by the customer who posted them.</p></${Empty}>`}
    ${ready && job && own && html`<${JobForm} name=${`job.${id}`} blank=${draftOf(job)} yes="Save changes" send=${send} />`}
  </${View}>`;
}

/** @param {{name: string, blank: Draft, yes: string, send: (fields: any) => Promise<void>}} props */
function JobForm({ name, blank, yes, send }) {
  const [kept] = useState(() => {
    const found = readDraft(name);
    return found && found.version === blank.version ? found : null;
  });
  const [resumed, resume] = useState(kept !== null);
  const draft = useSignal(/** @type {Draft} */ ({ ...blank, ...kept }));
  const uploads = useUploads(draft.peek().files);
  const values = draft.value;
  const change = (/** @type {Partial<Draft>} */ changes) => {
    draft.value = { ...draft.value, ...changes };
    keepDraft(name, draft.value);
  };
  const form = useForm(async (_fields, element) => {
    const problems = problemsOf(draft.value);
    const [first] = Object.keys(problems);
    if (!first) return sendWithFiles();
    form.problems.value = problems;
    const field = element.elements.namedItem(first);
    if (field instanceof HTMLElement) field.focus();
  });
  const sendWithFiles = async () => {
    const file_ids = await storedIds(uploads);
    await send({ ...fieldsOf(draft.value), file_ids }).catch((refused) => {
      throw withoutGone(uploads, refused);
    });
  };
  useEffect(() => effect(() => keepFiles(uploads, draft, change)), []);
  const clear = (/** @type {string} */ field) => {
    const { [field]: _, ...others } = form.problems.peek();
    form.problems.value = others;
  };
  /** Say what is wrong when one leaves a field in which there is something. @param {string} field @param {string} given */
  const check = (field, given) => {
    const found = given && problemsOf(draft.value)[field];
    if (found) form.problems.value = { ...form.problems.peek(), [field]: found };
  };
  const bound = (/** @type {"title" | "description" | "category" | "low" | "high" | "label"} */ key, /** @type {string} */ field = key) => ({
    form, name: field, value: values[key],
    onInput: (/** @type {any} */ { target }) => change({ [key]: target.value }),
    onBlur: () => check(field, values[key]),
  });
  const afresh = () => {
    dropDraft(name);
    draft.value = blank;
    uploads.value = blank.files.map(Upload.of);
    form.problems.value = {};
    resume(false);
  };

  return html`<div class="columns">
    <form class="card stack job-form" onSubmit=${form.submit} noValidate>
      ${resumed && html`<div class="note mine" role="status"><${Icon} name="history" /><p class="grow">What you had typed is still here.</p>
        <button type="button" class="button small" onClick=${afresh}>Start afresh</button></div>`}
      <${Field} ...${bound("title")} label="Title" required maxlength=${MAX.title} placeholder="Paint a living room"
        hint=${limit("What is to be done, in one line.", values.title, MAX.title)} />
      <${Field} ...${bound("category")} label="Category" required maxlength=${MAX.category} placeholder="Painting"
        hint="The kind of work, in a word or two." />
      <${Field} ...${bound("description")} as="textarea" rows="7" label="Description" required maxlength=${MAX.description}
        hint=${limit("What there is, what is wanted, and by when.", values.description, MAX.description)} />
      <${SkillsField} form=${form} skills=${values.skills} onChange=${(/** @type {string[]} */ skills) => { clear("skills"); change({ skills }); }} />
      <fieldset class="stack"><legend class="job-legend">Budget</legend>
        <div class="fields three">
          <${Field} ...${bound("low", "budget_min_amount")} label="From" required inputmode="decimal" maxlength="14" autocomplete="off"
            placeholder=${major(50_000, values.currency)} />
          <${Field} ...${bound("high", "budget_max_amount")} label="To" required inputmode="decimal" maxlength="14" autocomplete="off"
            placeholder=${major(100_000, values.currency)} />
          <${Field} form=${form} as="select" name="currency" label="Currency" value=${values.currency}
            onChange=${(/** @type {any} */ { target }) => change({ currency: target.value })}>
            ${[...new Set([...CURRENCIES, values.currency])].map((code) => html`<option value=${code} key=${code}>${code}</option>`)}</${Field}>
        </div>
        <p class="soft small">Nothing is charged for a job. You pay for an offer, when a contractor accepts it.</p>
      </fieldset>
      <${Location} form=${form} values=${values} change=${change} label=${bound("label")} clear=${clear} />
      <fieldset class="stack"><legend class="job-legend">Pictures and files (optional)</legend>
        <${FilePicker} uploads=${uploads} what="A job" hint="Choose them or drop them here. Contractors see them while the job is open; later only you and the one who gets it." /></fieldset>
      <div class="row end"><a class="button" href=${values.version === undefined ? "/jobs" : `/jobs/${name.slice("job.".length)}`}>Cancel</a>
        <${Submit} form=${form}>${yes}</${Submit}></div>
    </form>
    <${Preview} values=${values} />
  </div>`;
}

/** "What … 34 of 120" when there is something to count. @param {string} text @param {string} given @param {number} most */
function limit(text, given, most) {
  const used = countCharacters(given);
  return used < most / 2 ? `${text} At most ${most.toLocaleString()} characters.`
    : `${text} ${used.toLocaleString()} of ${most.toLocaleString()} characters.`;
}

/** @param {{form: any, skills: string[], onChange: (skills: string[]) => void}} props */
function SkillsField({ form, skills, onChange }) {
  const [typed, setTyped] = useState("");
  const full = skills.length >= MAX_SKILLS;
  const add = (/** @type {string} */ text) => {
    const names = text.split(",").map((each) => shorten(each.trim(), MAX.skill)).filter(Boolean);
    const known = new Set(skills.map((each) => each.toLowerCase()));
    const fresh = names.filter((each) => !known.has(each.toLowerCase()));
    if (fresh.length) onChange([...skills, ...fresh].slice(0, MAX_SKILLS));
    setTyped("");
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && typed.trim()) {
      event.preventDefault();
      add(typed);
    } else if (event.key === "Backspace" && !typed && skills.length) onChange(skills.slice(0, -1));
  };
  return html`<div class="stack job-skills">
    <${Field} form=${form} name="skills" label="Skills (optional)" value=${typed} autocomplete="off" readonly=${full}
      placeholder=${full ? "" : "Plastering, colour advice"}
      hint=${`Separate them by commas. ${skills.length} of ${MAX_SKILLS}.`} onKeyDown=${key}
      onInput=${(/** @type {any} */ { target }) => (target.value.includes(",") ? add(target.value) : setTyped(target.value))}
      onBlur=${() => add(typed)} />
    ${skills.length > 0 && html`<ul class="row tight" aria-label="Chosen skills">${skills.map((skill) => html`<li key=${skill}>
      <button type="button" class="chip" onClick=${() => onChange(skills.filter((each) => each !== skill))}>
        <span>${skill}</span><${Icon} name="x" /><span class="visually-hidden">Remove</span></button></li>`)}</ul>`}
  </div>`;
}

/** @param {{form: any, values: Draft, change: (changes: Partial<Draft>) => void, label: any, clear: (field: string) => void}} props */
function Location({ form, values, change, label, clear }) {
  const pick = (/** @type {any} */ picked) => {
    clear("location");
    change({ point: picked?.point ?? null, place: picked?.text ?? "" });
  };
  const choice = (/** @type {boolean} */ placed, /** @type {string} */ title, /** @type {string} */ text) => html`<label class="choice">
    <input type="radio" name="placed" value=${String(placed)} checked=${values.placed === placed} onChange=${() => change({ placed })} />
    <span><span class="strong">${title}</span><br /><span class="soft small">${text}</span></span></label>`;
  return html`<fieldset class="choices"><legend class="job-legend">Where</legend>
    <div class="fields">${choice(false, "Anywhere", "It can be done from afar.")}
      ${choice(true, "At a place", "Contractors find it by its distance.")}</div>
    ${values.placed && html`<div class="fields">
      <${PlaceField} name="location" label="Place" value=${values.point && { point: values.point, text: values.place }} onChange=${pick}
        problem=${form.problems.value.location} hint="Contractors see it to about 1 km." />
      <${Field} ...${label} label="Address (optional)" maxlength=${MAX.label} autocomplete="street-address"
        hint="Only you and the contractor who gets the job see it." /></div>`}
  </fieldset>`;
}

/** @param {{values: Draft}} props */
function Preview({ values }) {
  const { title, description, category, skills, placed, place, files } = values;
  let budget = "Your budget";
  try {
    const amounts = { budget_min_amount: minor(values.low, values.currency), budget_max_amount: minor(values.high, values.currency) };
    budget = budgetOf({ ...amounts, currency: values.currency });
  } catch {
    // not typed yet
  }
  return html`<aside class="card stack job-preview" aria-label="How contractors see it">
    <p class="soft small">How contractors see it</p>
    <div><h2>${title || "Your title"}</h2><p class="amount">${budget}</p></div>
    <p class="job-facts soft small"><span>${category || "Category"}</span>
      <span class="job-fact"><${Icon} name="map-pin" />${placed ? place || "At a place" : "Anywhere"}</span></p>
    ${description && html`<p class="prose job-clamp">${description}</p>`}
    <${Skills} skills=${skills} />
    <${Attachments} files=${files} />
  </aside>`;
}

/**
 * What is stored joins the draft. What is on its way is lost with the page.
 *
 * @param {import("@preact/signals").Signal<Upload[]>} uploads
 * @param {import("@preact/signals").Signal<Draft>} draft
 * @param {(changes: Partial<Draft>) => void} change
 */
function keepFiles(uploads, draft, change) {
  const files = uploads.value.flatMap(({ state, attachment }) => (state.value === "done" && attachment ? [attachment] : []));
  const ids = (/** @type {Attachment[]} */ all) => all.map(({ id }) => id).join();
  untracked(() => ids(files) !== ids(draft.value.files) && change({ files }));
}

/** The server keeps a file for a day until it is used: what it has no more leaves the form. @param {import("@preact/signals").Signal<Upload[]>} uploads @param {any} refused */
function withoutGone(uploads, refused) {
  /** @type {string[]} */
  const gone = refused.code === "not_found" ? refused.details?.file_ids ?? [] : [];
  const lost = uploads.value.filter(({ attachment }) => attachment && gone.includes(attachment.id));
  if (!lost.length) return refused;
  uploads.value = uploads.value.filter((each) => !lost.includes(each));
  const names = lost.map(({ file }) => file.name).join(", ");
  return new Refusal({ code: "not_found", message: `${names} ${lost.length > 1 ? "were" : "was"} not kept for so long. Add what you need again, then send.` });
}

/** What is wrong, by the names of the fields in their order. @param {Draft} values */
function problemsOf(values) {
  const { title, category, description, low, high, currency, placed, point } = values;
  /** @type {Record<string, string>} */
  const problems = {};
  if (!title.trim()) problems.title = "Say in one line what is to be done.";
  if (!category.trim()) problems.category = "Name the kind of work.";
  if (!description.trim()) problems.description = "Describe what is to be done.";
  const [least, most] = [["budget_min_amount", low], ["budget_max_amount", high]].map(([name, text]) => {
    try {
      const amount = minor(text, currency);
      if (amount < 1) problems[name] = "This must be more than nothing.";
      return amount;
    } catch (refused) {
      problems[name] = text.trim() ? /** @type {Error} */ (refused).message : "Write an amount.";
      return null;
    }
  });
  if (least !== null && most !== null && most < least) problems.budget_max_amount = "This is below the lower end.";
  if (placed && !point) problems.location = "Choose a place, or say that it can be done anywhere.";
  return problems;
}

/** What the server takes. @param {Draft} values */
function fieldsOf({ title, description, category, skills, low, high, currency, placed, point, place, label }) {
  return {
    title: title.trim(), description: description.trim(), category: category.trim(), skills, currency,
    budget_min_amount: minor(low, currency), budget_max_amount: minor(high, currency),
    location: placed && point ? { ...point, label: shorten(label.trim() || place, MAX.label) } : null,
  };
}
