// Alerts: what needs an administrator, who takes it, and closing it.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { Ago, Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { server } from "../shared/server.js";
import { onReturn } from "../shared/use.js";
import { Id, Value } from "./links.js";
import { Assignee, readAssignments, step, words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").AlertRecord} Alert */

const PAGE = 50;

/** @param {Record<string, any>} fields */
function reading(fields) {
  const items = signal(/** @type {Alert[] | null} */ (null));
  const problem = signal(/** @type {any} */ (null));
  const cursor = signal(/** @type {string | null} */ (null));
  const load = async (/** @type {string | null} */ from = null) => {
    try {
      const page = await server.admin.alerts({ ...fields, limit: PAGE, ...(from && { cursor: from }) });
      items.value = from ? [...(items.peek() ?? []), ...page.items] : page.items;
      cursor.value = page.next_cursor;
      problem.value = null;
      readAssignments(page.items.map(({ id }) => id));
    } catch (refused) {
      problem.value = refused;
    }
  };
  return { items, problem, cursor, load };
}

const opened = reading({ open: true });
server.on("end", () => (opened.items.value = null));

/** @param {ReturnType<typeof reading>} list */
function useAlerts(list) {
  useEffect(() => {
    const again = () => list.load();
    again();
    const stops = [server.admin.on("alert", again), server.admin.on("alert.updated", again), server.on("reload", again), onReturn(again)];
    return () => stops.forEach((stop) => stop());
  }, [list]);
}

/** Those that are open, for the monitor; nothing if there are none. @param {{most?: number}} props */
export function AlertsPanel({ most = 5 }) {
  useAlerts(opened);
  const items = opened.items.value;
  if (!items) return html`<${Skeleton} lines=${1} />`;
  if (!items.length) return null;
  return html`<section class="card warn stack alerts-panel" aria-labelledby="alerts"><div class="row spread"><h2 id="alerts">Alerts</h2>
    <a class="small" href="/admin/alerts">${items.length > most ? `All ${items.length}${opened.cursor.value ? "+" : ""}` : "All"}</a></div>
    <${Lines} items=${items.slice(0, most)} /></section>`;
}

/** @type {Map<string, ReturnType<typeof reading>>} */
const lists = new Map();

export function Alerts() {
  const { query } = place.value;
  const show = query.get("show") ?? "open";
  const subject = query.get("subject") ?? "";
  const name = `${show} ${subject}`;
  if (!lists.has(name)) lists.set(name, reading({ ...(show === "open" ? { open: true } : show === "over" ? { open: false } : {}), ...(subject && { subject }) }));
  const list = /** @type {ReturnType<typeof reading>} */ (lists.get(name));
  useAlerts(list);
  const items = list.items.value;
  return html`<${View} title="Alerts" kind="wide"><div class="stack">
    <nav class="segments" aria-label="Show">${[["open", "Open"], ["over", "Closed"], ["all", "All"]].map(([value, label]) => html`
      <a key=${value} href=${`/admin/alerts?show=${value}`} aria-current=${value === show ? "page" : undefined}>${label}</a>`)}</nav>
    ${subject && html`<p class="row">About <${Id} id=${subject} /><button type="button" class="button small" onClick=${() => setQuery({ subject: "" })}><${Icon} name="x" />All</button></p>`}
    ${!items ? (list.problem.value ? html`<${Problem} problem=${list.problem.value} again=${() => list.load()} />` : html`<${Skeleton} lines=${6} />`)
      : items.length ? html`<div class="card"><${Lines} items=${items} /></div>` : html`<div class="card"><${Empty} icon="circle-check" title=${show === "open" ? "Nothing needs you" : "None"} /></div>`}
    ${list.cursor.value && html`<p class="row more"><button class="button" type="button" onClick=${() => list.load(list.cursor.value)}>Show more</button></p>`}
  </div></${View}>`;
}

/** @param {{items: Alert[]}} props */
const Lines = ({ items }) => html`<ul class="alerts">${items.map((alert) => html`<${Line} alert=${alert} key=${alert.id} />`)}</ul>`;

/** @param {{alert: Alert}} props */
function Line({ alert }) {
  const { id, kind, subject, message, open, urgent, count, last_at, closed_at, close_reason } = alert;
  const state = open ? { word: "Open", icon: "shield-alert", tone: "bad" } : urgent ? { word: "Closed", icon: "circle-check", tone: "good" } : { word: "For information", icon: "info", tone: "" };
  return html`<li class="alert">
    <div class="grow stack" style=${{ "--gap": "var(--space-1)" }}>
      <p class="row"><${Badge} of=${/** @type {any} */ (state)} /><span class="strong">${capital(words(kind))}</span>${count > 1 && html`<span class="soft small">${count} times</span>`}
        <span class="soft small"><${Ago} at=${last_at} /></span></p>
      <p><${Value} of=${message} /></p><p class="small">About <${Id} id=${subject} /></p>
      ${closed_at && html`<p class="small soft">Closed <${Ago} at=${closed_at} />: <${Value} of=${close_reason} /></p>`}</div>
    ${open && html`<div class="row"><${Assignee} id=${id} what="this alert" />
      <button type="button" class="button small" onClick=${() => close(alert)}><${Icon} name="check" />Close…</button></div>`}
  </li>`;
}

const capital = (/** @type {string} */ text) => text[0].toUpperCase() + text.slice(1);

/** @param {Alert} alert */
async function close(alert) {
  await step({
    title: "Close this alert?", yes: "Close it", done: "The alert is closed.", reason: "What was done about it",
    what: html`<p><${Value} of=${alert.message} apart /></p><p>It leaves the open alerts of all administrators. It changes nothing else: if the problem occurs again, there is a new one.</p>`,
    run: ({ reason }) => server.admin.alert_close({ alert_id: alert.id, reason }),
  });
}
