// The market at a glance: the figures of now, and what happens as it happens.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { display } from "../shared/money.js";
import { Badge, Skeleton, View } from "../shared/pieces.js";
import { live, server } from "../shared/server.js";
import { refuse } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { ActivityStream } from "./activity.js";
import { AlertsPanel } from "./alerts.js";

/** @type {import("@preact/signals").Signal<any>} */
const figures = signal(null);

export function Monitor() {
  const now = live.value;
  useEffect(() => {
    if (now) server.admin.live().then((found) => (figures.value = found), refuse);
  }, [now]);
  useEffect(() => {
    return server.admin.on("stats", (found) => (figures.value = found));
  }, []);
  const found = figures.value;
  return html`<${View} title="Monitor" kind="wide">
    <${AlertsPanel} />
    ${found ? html`<${Figures} ...${found} />` : html`<${Skeleton} lines=${6} />`}
    <${ActivityStream} />
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
