// All pieces that views are made of, on one page: to look at when a style changes. In `dev` only.

import { render } from "preact";
import { Dialogs, confirm } from "./dialog.js";
import { Field, Submit, useForm } from "./form.js";
import { html } from "./html.js";
import { Icon } from "./icon.js";
import { ICONS } from "./icons.js";
import { MoneyField, Sums, at } from "./money_step.js";
import { Ago, Avatar, Badge, Empty, Skeleton, View } from "./pieces.js";
import { Toasts, say } from "./toasts.js";
import { STATUSES } from "./words.js";

const PEOPLE = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Édith Clarke", "Li Wei", "王芳", "Mo", "Zoë van den Berg"];
const SIZES = ["xs", "s", "m", "l", "xl", "2xl", "3xl"];
const COLOURS = ["canvas", "surface", "raised", "sunken", "hover", "line", "line-strong", "ink", "ink-soft",
  "accent", "accent-fill", "accent-tint", "good", "good-tint", "wait", "wait-tint", "bad", "bad-fill", "bad-tint"];

/** @param {{title: string, children: any}} props */
const Part = ({ title, children }) => html`<section class="card stack"><h2>${title}</h2>${children}</section>`;

function Type() {
  return html`<${Part} title="Type">${SIZES.map((size) =>
    html`<p style=${{ fontSize: `var(--text-${size})` }}>Good work, agreed in minutes <code style=${{ whiteSpace: "nowrap" }}>--text-${size}</code></p>`)}</${Part}>`;
}

function Colours() {
  return html`<${Part} title="Colours"><ul class="row">${COLOURS.map((name) => html`<li class="stack" style=${{ "--gap": "0.25rem" }}>
    <span style=${{ width: "5rem", height: "2.5rem", background: `var(--${name})`, border: "1px solid var(--line)", borderRadius: "var(--radius-s)" }} />
    <code class="small">${name}</code></li>`)}</ul></${Part}>`;
}

function Buttons() {
  const kinds = ["", "primary", "danger", "quiet"];
  const sizes = ["", "small"];
  return html`<${Part} title="Buttons">${sizes.map((size) => html`<div class="row">
    ${kinds.map((kind) => html`<button class=${`button ${kind} ${size}`} type="button">${kind || "plain"}</button>`)}
    <button class=${`button primary ${size}`} type="button"><${Icon} name="plus" />Post a job</button>
    <button class=${`button icon-only ${size}`} type="button" aria-label="Settings"><${Icon} name="settings" /></button>
    <button class=${`button primary ${size}`} type="button" disabled>Not now</button></div>`)}
    <div class="segments" role="group" aria-label="A choice">${["An hour", "A day", "A month"].map((name, place) =>
      html`<button type="button" aria-pressed=${place === 1 ? "true" : "false"}>${name}</button>`)}</div>
  </${Part}>`;
}

function Form() {
  const form = useForm(async () => {
    throw at("title", "Say in a few words what is to be done.");
  });
  return html`<${Part} title="Forms"><form class="stack" onSubmit=${form.submit}>
    <${Field} form=${form} name="title" label="Title" hint="Sending shows a problem here." />
    <${Field} form=${form} name="about" label="Description" as="textarea" />
    <div class="fields"><${Field} form=${form} name="kind" label="Category" as="select"><option>Painting</option><option>Plumbing</option></${Field}>
      <${MoneyField} form=${form} name="amount" label="Budget" currency="USD" /></div>
    <label class="check"><input type="checkbox" name="mail" checked />Mail me as well<span class="hint">At most once a day.</span></label>
    <div><${Submit} form=${form}>Send</${Submit}></div></form></${Part}>`;
}

function Statuses() {
  return html`<${Part} title="Statuses"><dl class="stack">${Object.entries(STATUSES).map(([kind, all]) =>
    html`<div><dt class="soft small">${kind}</dt><dd class="row tight">${Object.values(all).map((status) =>
      html`<${Badge} of=${status} />`)}</dd></div>`)}</dl></${Part}>`;
}

function Pieces() {
  const now = new Date().toISOString();
  return html`<${Part} title="People and lists">
    <div class="row">${PEOPLE.map((name, place) => html`<${Avatar} id=${name} name=${name} online=${place % 3 === 0} />`)}
      <${Avatar} id="small" name="Small One" size="small" /><${Avatar} id="large" name="Large One" size="large" /></div>
    <ul class="rows card flush">${PEOPLE.slice(0, 3).map((name) => html`<li><a class="line" href="#page"><${Avatar} id=${name} name=${name} />
      <span class="grow truncate">${name} has applied for a job with a rather long title that has to be cut</span><${Ago} at=${now} /></a></li>`)}</ul>
    <ol class="timeline"><li class="done"><span>Offer sent</span><${Ago} at=${now} /></li>
      <li aria-current="step"><span>Work delivered</span><${Ago} at=${now} /></li><li><span>Paid</span></li></ol>
  </${Part}>`;
}

function Places() {
  return html`<${Part} title="Notes, amounts, empty places">
    ${["", "mine", "good", "wait", "bad"].map((tone) => html`<p class=${`note ${tone}`}><${Icon} name="info" />What one should know before going on.</p>`)}
    <${Sums} currency="USD" rows=${[["The customer pays", 100_000], ["Fees", -30_000]]} total=${["You get", 70_000]} />
    <div class="progress" role="progressbar" aria-label="Upload" aria-valuenow="60" aria-valuemin="0" aria-valuemax="100"><div style=${{ width: "60%" }} /></div>
    <${Empty} icon="inbox" title="Nothing here yet"><p>What comes is shown here.</p></${Empty}><div class="sample"><${Skeleton} /></div>
  </${Part}>`;
}

function Asking() {
  const question = () => confirm({ title: "Pay 700.00 USD?", body: html`<p>Carla gets 700.00 USD now. This cannot be undone.</p>`, yes: "Pay" });
  return html`<${Part} title="Dialogs and news"><div class="row">
    <button class="button" type="button" onClick=${question}>Ask</button>
    ${/** @type {const} */ (["news", "good", "bad"]).map((tone) => html`<button class="button" type="button"
      onClick=${() => say(`News that is ${tone}`, { tone, link: "#page" })}>Say ${tone}</button>`)}</div></${Part}>`;
}

const Icons = () => html`<${Part} title="Icons"><ul class="row">${ICONS.map((name) =>
  html`<li class="row tight small"><${Icon} name=${name} />${name}</li>`)}</ul></${Part}>`;

render(html`<main id="main" tabindex="-1"><${View} title="Components"><div class="stack">
  <${Type} /><${Colours} /><${Buttons} /><${Form} /><${Statuses} /><${Pieces} /><${Places} /><${Asking} /><${Icons} />
</div></${View}></main><${Toasts} /><${Dialogs} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
