// The market and the servers at a glance: what waits, today, figures over time, the processes, and
// what happens as it happens.

import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { html } from "../shared/html.js";
import { Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { live, server } from "../shared/server.js";
import { refuse } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { ActivityStream } from "./activity.js";
import { AlertsPanel } from "./alerts.js";
import { ChartCard } from "./charts.js";
import { SPANS, chartsOf, currenciesOf, reasonsOf, timesOf } from "./figures.js";
import { Processes } from "./processes.js";
import { figures, follow, load, loadWhenDue, problem } from "./series.js";
import { words } from "./work.js";

/** @type {import("@preact/signals").Signal<import("../../client/jobsphere.js").Overview | null>} */
const counts = signal(null);
server.on("end", () => {
  counts.value = null;
  figures.value = null;
});

export function Monitor() {
  const now = live.value;
  const asked = place.value.query.get("span") ?? "";
  const span = asked in SPANS ? asked : "hour";
  useEffect(() => {
    if (now) server.admin.live().then((found) => (counts.value = found), refuse);
  }, [now]);
  useEffect(() => {
    if (now) load(span);
  }, [now, span]);
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && loadWhenDue(), 30_000);
    const stops = [server.admin.on("stats", (found) => (counts.value = found)), server.admin.on("series", follow), () => clearInterval(timer)];
    return () => stops.forEach((stop) => stop());
  }, []);
  return html`<${View} title="Monitor" kind="wide">
    <${AlertsPanel} />
    ${counts.value ? html`<${Glance} counts=${counts.value} />` : html`<${Skeleton} lines=${4} />`}
    <${Charts} span=${span} />
    <h2 class="section-title">Processes</h2><${Processes} />
    ${counts.value && html`<${States} counts=${counts.value} />`}
    <${ActivityStream} />
  </${View}>`;
}

const WAITING = [["alerts", "Alerts", "/admin/alerts"], ["approvals", "Approvals", "/admin/approvals"], ["disputes", "Disputes to decide", "/admin/disputes?status=escalated"], ["dead_letters", "Dead letters", "/admin/dead-letters"], ["events", "Stripe events", "/admin/webhook-events"]];
const number = new Intl.NumberFormat();

/** What waits for an administrator, and today's sums. @param {{counts: import("../../client/jobsphere.js").Overview}} props */
function Glance({ counts: { waiting, today, sockets, commission, escrow } }) {
  const amounts = (/** @type {string} */ series) => Object.entries(today).filter(([name]) => name.startsWith(`${series}:`)).map(([name, amount]) => display(amount, name.split(":")[1]));
  const failed = Object.entries(today).filter(([name]) => name.startsWith("payments_failed")).reduce((all, [, count]) => all + count, 0);
  const sums = (/** @type {Record<string, number>} */ all) => Object.entries(all).filter(([, amount]) => amount).map(([currency, amount]) => display(amount, currency));
  return html`<section aria-labelledby="waits"><h2 class="home-title" id="waits">Waits for you</h2><div class="tiles">${WAITING.map(([name, label, href]) => html`
      <a key=${name} class=${`card tile ${waiting[name] ? "waits" : ""}`} href=${href}><span class="label">${label}</span><br /><span class="value">${number.format(waiting[name] ?? 0)}</span></a>`)}</div></section>
    <section aria-labelledby="today"><h2 class="home-title" id="today">Today (UTC) and now</h2><div class="tiles">
      <${Tile} label="Captured today" values=${amounts("captured")} /><${Tile} label="Commission today" values=${amounts("commission")} />
      <${Tile} label="Payments today" values=${[`${number.format(today.payments_captured ?? 0)} captured`, `${number.format(failed)} failed`]} />
      <${Tile} label="Platform's balance" values=${sums(commission)} /><${Tile} label="In escrow" values=${sums(escrow)} /><${Tile} label="Open connections" values=${[number.format(sockets)]} />
    </div></section>`;
}

/** @param {{label: string, values: string[]}} props */
function Tile({ label, values }) {
  return html`<div class="card tile"><p class="label">${label}</p>${(values.length ? values : ["0"]).map((value, at) => html`<p class=${at ? "strong small" : "value"} key=${value}>${value}</p>`)}</div>`;
}

/** @param {{span: string}} props */
function Charts({ span }) {
  const { query } = place.value;
  const address = (/** @type {Record<string, string>} */ changes) => `/admin?${new URLSearchParams({ ...Object.fromEntries(query), ...changes })}`;
  const found = figures.value;
  const currencies = found ? currenciesOf(found) : [];
  const wanted = query.get("currency") ?? "";
  const currency = currencies.includes(wanted) ? wanted : (currencies[0] ?? "USD");
  const [times, groups, reasons] = useMemo(() => (found ? [timesOf(found), chartsOf(found, currency), reasonsOf(found)] : [[], [], []]), [found, currency]);
  return html`<div class="monitor-bar" id="figures">
      <nav class="segments" aria-label="Span of the charts">${Object.entries(SPANS).map(([name, { label }]) => html`
        <a key=${name} href=${address({ span: name })} aria-current=${name === span ? "page" : undefined}>${label}</a>`)}</nav>
      ${currencies.length > 1 && html`<label class="row tight"><span class="small">Currency</span><select class="input" value=${currency}
        onChange=${(/** @type {any} */ { target }) => setQuery({ currency: target.value })}>${currencies.map((each) => html`<option key=${each} value=${each} selected=${each === currency}>${each}</option>`)}</select></label>`}
    </div>
    ${!found && (problem.value ? html`<${Problem} problem=${problem.value} again=${() => load(span)} />` : html`<div class="charts">${["a", "b", "c", "d", "e", "f"].map((each) => html`<div class="card chart" key=${each}><${Skeleton} lines=${6} /></div>`)}</div>`)}
    ${found && groups.map(({ title, charts }) => html`<section key=${title} aria-label=${title}><h2 class="section-title">${title}</h2><div class="charts">
      ${charts.map((chart) => html`<${ChartCard} key=${chart.title} chart=${chart} times=${times} step=${found.step} />`)}
      ${title === "Money" && html`<${Reasons} reasons=${reasons} words=${SPANS[found.span].words} />`}</div></section>`)}`;
}

/** @param {{reasons: [string, number][], words: string}} props */
function Reasons({ reasons, words: when }) {
  const most = reasons[0]?.[1] ?? 1;
  return html`<section class="card chart" aria-labelledby="reasons"><h3 id="reasons">Why payments failed</h3>
    ${reasons.length ? html`<ul class="bars">${reasons.map(([reason, count]) => html`<li key=${reason}><span>${capital(words(reason))}</span><span class="number strong">${number.format(count)}</span>
      <meter min="0" max=${most} value=${count} aria-hidden="true"></meter></li>`)}</ul>` : html`<p class="now">None ${when}</p>`}</section>`;
}

const capital = (/** @type {string} */ text) => text[0].toUpperCase() + text.slice(1);

/** How many records there are, by state. @param {{counts: import("../../client/jobsphere.js").Overview}} props */
function States({ counts: { users, payments, jobs, offers, counted_at } }) {
  return html`<section aria-labelledby="states"><h2 class="section-title" id="states">All records</h2>
    <p class="small soft">Counted <${Ago} at=${counted_at} /></p><div class="figures">
    <${State} label="Users" all=${users} href="/admin/users?role=" /><${State} label="Payments" kind="payment" all=${payments} href="/admin/payments?status=" />
    <${State} label="Jobs" kind="job" all=${jobs} /><${State} label="Offers" kind="offer" all=${offers} /></div></section>`;
}

/** @param {{label: string, all: Record<string, number>, kind?: string, href?: string}} props */
function State({ label, all, kind, href }) {
  const word = (/** @type {string} */ name) => kind ? html`<${Badge} of=${statusOf(kind, name)} />` : capital(name);
  return html`<section class="card"><h3 class="home-title">${label}</h3><dl class="sums">${Object.entries(all).map(([name, count]) => html`
    <dt key=${name}>${href ? html`<a href=${href + name}>${word(name)}</a>` : word(name)}</dt><dd class="number" key=${`${name}#`}>${number.format(count)}</dd>`)}</dl></section>`;
}
