// The market at a glance: the figures of now, and what happens as it happens.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { display } from "../shared/money.js";
import { Ago, Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { live, server } from "../shared/server.js";
import { refuse } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";

const KEPT = 100; // lines of the stream

/** @type {import("@preact/signals").Signal<any>} */
const figures = signal(null);
/** @type {import("@preact/signals").Signal<{key: number, at: string, name: string, data: any}[]>} */
const stream = signal([]);
/** @type {import("@preact/signals").Signal<any[]>} */
const alerts = signal([]);
let numbers = 0;

export function Monitor() {
  const now = live.value;
  useEffect(() => {
    if (now) server.admin.live().then((found) => (figures.value = found), refuse);
  }, [now]);
  useEffect(() => {
    const stops = [
      server.admin.on("stats", (found) => (figures.value = found)),
      server.admin.on("activity", ({ name, data }, { at }) => {
        numbers += 1;
        stream.value = [{ key: numbers, at, name, data }, ...stream.peek()].slice(0, KEPT);
      }),
      server.admin.on("alert", (alert, { at }) => (alerts.value = [{ ...alert, at }, ...alerts.peek()].slice(0, KEPT))),
    ];
    return () => stops.forEach((stop) => stop());
  }, []);
  const found = figures.value;
  return html`<${View} title="Monitor" kind="wide">
    ${alerts.value.length > 0 && html`<section class="card warn stack" aria-labelledby="alerts"><h2 id="alerts">Alerts</h2>
      <ul class="stack">${alerts.value.map(({ message, subject, urgent, at }) => html`<li class="row" key=${at + subject}>
        <${Icon} name=${urgent ? "shield-alert" : "triangle-alert"} /><span class="grow">${message} <${Id} id=${subject} /></span><${Ago} at=${at} /></li>`)}</ul></section>`}
    ${found ? html`<${Figures} ...${found} />` : html`<${Skeleton} lines=${6} />`}
    <section aria-labelledby="stream"><h2 id="stream" class="home-title">What happens now</h2>
      ${stream.value.length ? html`<ol class="rows card flush">${stream.value.map((each) => html`<${Line} key=${each.key} ...${each} />`)}</ol>`
        : html`<div class="card"><${Empty} icon="zap" title="Nothing has happened since you opened this" /></div>`}</section>
  </${View}>`;
}

/** @param {any} found */
function Figures({ users, jobs, offers, payments, commission, escrow, dead_letters, sockets }) {
  const sums = (/** @type {Record<string, number>} */ all) => Object.entries(all).map(([currency, amount]) => display(amount, currency));
  return html`<div class="figures">
    <${Figure} label="Commission" values=${sums(commission)} /><${Figure} label="In escrow" values=${sums(escrow)} />
    <${Figure} label="Open connections" values=${[sockets]} /><${Figure} label="Dead letters" values=${[dead_letters]} href="/admin/dead-letters" />
    <${States} label="Users" all=${users} href="/admin/users?role=" /><${States} label="Payments" kind="payment" all=${payments} href="/admin/payments?status=" />
    <${States} label="Jobs" kind="job" all=${jobs} /><${States} label="Offers" kind="offer" all=${offers} />
  </div>`;
}

/** @param {{label: string, values: any[], href?: string}} props */
function Figure({ label, values, href }) {
  return html`<section class="card"><h2 class="home-title">${href ? html`<a href=${href}>${label}</a>` : label}</h2>
    ${values.length ? values.map((value) => html`<p class="amount big" key=${value}>${value}</p>`) : html`<p class="amount big">0</p>`}</section>`;
}

/** @param {{label: string, all: Record<string, number>, kind?: string, href?: string}} props */
function States({ label, all, kind, href }) {
  const word = (/** @type {string} */ name) => kind ? html`<${Badge} of=${statusOf(kind, name)} />` : name;
  return html`<section class="card"><h2 class="home-title">${label}</h2><dl class="sums">${Object.entries(all).map(([name, count]) => html`
    <dt key=${name}>${href ? html`<a href=${href + name}>${word(name)}</a>` : word(name)}</dt><dd class="number" key=${`${name}#`}>${count}</dd>`)}</dl></section>`;
}

/** @param {{name: string, data: any, at: string}} props */
function Line({ name, data, at }) {
  const what = name.replaceAll(".", " ").replaceAll("_", " ");
  return html`<li class="line"><${Icon} name="zap" /><span class="grow"><span class="strong">${what}</span>${" "}
    <span class="soft small">${data.title ?? data.job_title ?? ""} ${data.status ?? ""}${data.amount && data.currency ? ` · ${display(data.amount, data.currency)}` : ""}</span></span>
    <${Id} id=${data.id} /><${Ago} at=${at} /></li>`;
}
