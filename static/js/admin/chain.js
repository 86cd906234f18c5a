// The state of the audit trail's chain, and what a row of it says.

import { useSignal } from "@preact/signals";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Ago, Badge } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { Id, Value } from "./links.js";
import { Facts, step, useReading } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").ChainState} State */

const LATE_MS = 300_000; // rows are chained within seconds

export function ChainState() {
  const { found, problem, load } = useReading(() => server.admin.audit_chain({}), [], (again) => [server.admin.on("trail.checked", again)]);
  if (problem) return html`<p class="note bad" role="alert"><${Icon} name="circle-alert" />The state of the chain could not be read: ${problem.message}</p>`;
  if (!found) return html`<${Waiting} />`;
  const { head_seq, head_mac, waiting, oldest_waiting_at, last_check } = found;
  const verify = () => step({
    title: "Check the whole trail?", yes: "Check", reason: null, done: "The check has begun; its result comes by itself.",
    what: html`<p>All ${head_seq} rows are read, and each is compared with its seal and with the row before. It changes nothing, and takes a while.</p>`,
    run: () => server.admin.audit_verify({}),
  }).then((done) => done && load());
  return html`<section class="card stack chain" aria-label="State of the chain">
    <div class="row spread"><${Badge} of=${stateOf(found)} /><button type="button" class="button small" onClick=${verify}><${Icon} name="shield-check" />Check now…</button></div>
    <${Facts} facts=${[
      ["Last row in the chain", head_seq], ["Its seal", html`<code class="small break">${head_mac || "none yet"}</code>`],
      ["Rows that wait", waiting ? html`${waiting}${oldest_waiting_at && html`, the oldest since <${Ago} at=${oldest_waiting_at} />`}` : "none"],
      ["Last check", last_check ? html`<${Ago} at=${last_check.created_at} />, ${last_check.rows} rows` : "none yet"],
    ]} />
    ${last_check && last_check.finding_count > 0 && html`<div class="note bad" role="alert"><${Icon} name="shield-alert" /><div><p class="strong">The trail is not what was written, in ${last_check.finding_count} ${last_check.finding_count === 1 ? "place" : "places"}.</p>
      <ul>${last_check.findings.map(({ what, subject }) => html`<li key=${subject + what}><${Id} id=${subject} /> ${what}</li>`)}</ul></div></div>`}
  </section>`;
}

/** As high as what comes. */
function Waiting() {
  return html`<section class="card stack chain" aria-label="State of the chain" aria-busy="true">
    <div class="row spread"><${Badge} of=${{ word: "Being read", icon: "loader-circle", tone: "" }} /><button type="button" class="button small" disabled><${Icon} name="shield-check" />Check now…</button></div>
    <${Facts} facts=${[["Last row in the chain", "…"], ["Its seal", html`<code class="small break" style=${{ visibility: "hidden" }}>${"0".repeat(64)}</code>`], ["Rows that wait", "…"], ["Last check", "…"]]} /></section>`;
}

/** @param {State} state @returns {import("../shared/words.js").Status} */
function stateOf({ anchor_ok, last_check, oldest_waiting_at }) {
  const late = oldest_waiting_at !== null && Date.now() - new Date(oldest_waiting_at).getTime() > LATE_MS;
  if (!anchor_ok || (last_check?.finding_count ?? 0) > 0) return { word: "The trail was changed", icon: "shield-alert", tone: "bad" };
  if (late) return { word: "Rows are not chained", icon: "triangle-alert", tone: "wait" };
  if (!last_check) return { word: "Not checked yet", icon: "shield", tone: "wait" };
  return { word: "Unbroken at the last check", icon: "shield-check", tone: "good" };
}

/** What a row says: the fields of the command, and what changed. It is drawn when it is opened. @param {{row: import("../../client/jobsphere.js").AuditListing}} props */
export function Detail({ row }) {
  const opened = useSignal(false);
  const { fields = {}, changes = [] } = /** @type {any} */ (row.detail) ?? {};
  const toggle = (/** @type {any} */ { currentTarget }) => (opened.value = currentTarget.open);
  return html`<details class="small detail" onToggle=${toggle}><summary>${fields.reason ? `“${fields.reason}”` : changes.length ? `${changes.length} ${changes.length === 1 ? "change" : "changes"}` : "read"}</summary>
    ${opened.value && html`<${Written} row=${row} />`}</details>`;
}

/** @param {{row: import("../../client/jobsphere.js").AuditListing}} props */
function Written({ row: { detail, address, request_id, session_id } }) {
  const { fields = {}, changes = [] } = /** @type {any} */ (detail) ?? {};
  return html`<dl class="facts">${Object.entries(fields).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="break"><${Value} of=${value} /></dd></div>`)}
      <div><dt>From</dt><dd>${address || "the server"}</dd></div>${session_id && html`<div><dt>Session</dt><dd class="break">${session_id}</dd></div>`}${request_id && html`<div><dt>Request</dt><dd class="break">${request_id}</dd></div>`}</dl>
    ${changes.map((/** @type {any} */ change, /** @type {number} */ at) => html`<p class="strong" key=${`${at}`}>${change.collection} <${Id} id=${change.id} /></p>
      <ul class="changes" key=${`${at}#`}>${Object.keys(change.after ?? {}).map((name) => html`<li key=${name} class="break"><span class="soft">${name}:</span> ${change.before ? html`<del><${Value} of=${change.before[name]} /></del> → ` : ""}<${Value} of=${change.after[name]} /></li>`)}</ul>`)}`;
}
