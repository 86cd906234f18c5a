// What happens on the market, in sentences: as it happens, and what was before.

import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Empty, Skeleton, View } from "../shared/pieces.js";
import { place, setQuery } from "../shared/router.js";
import { server } from "../shared/server.js";
import { onReturn } from "../shared/use.js";
import { activityList } from "./activity_list.js";
import { Id } from "./links.js";
import { words } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").ActivityItem} Item */

const PAGE = 50;

/** @param {Record<string, string>} fields */
const stream = (fields) => activityList((cursor) => server.admin.activity({ ...fields, limit: PAGE, ...(cursor && { cursor }) }));

const all = stream({});
server.on("end", () => (all.items.value = null));

/** @param {ReturnType<typeof stream>} list @param {(item: Item) => boolean} fits */
function useStream(list, fits) {
  useEffect(() => {
    list.load();
    const stops = [
      server.admin.on("activity", (item) => fits(item) && list.push(item)),
      server.on("reload", () => list.load()),
      onReturn(() => list.load()),
    ];
    return () => stops.forEach((stop) => stop());
  }, [list]);
}

/** The newest lines, for the monitor. @param {{most?: number}} props */
export function ActivityStream({ most = 30 }) {
  useStream(all, () => true);
  return html`<section aria-labelledby="stream"><div class="row spread"><h2 id="stream" class="home-title">What happens</h2>
    <a class="small" href="/admin/activity">All of the last seven days</a></div>
    <${Lines} list=${all} most=${most} /></section>`;
}

/** All of the last seven days. */
export function Activity() {
  const { query } = place.value;
  const text = query.toString();
  return html`<${Days} key=${text} subject=${query.get("subject") ?? ""} kind=${query.get("kind") ?? ""} />`;
}

/** @type {[string, string][]} */
const KINDS = [
  ["job.updated", "Jobs"], ["application.created", "Applications"], ["offer.created", "New offers"], ["offer.accepted", "Accepted offers"], ["offer.updated", "Changes of offers"],
  ["payment.updated", "Payments"], ["withdrawal.updated", "Withdrawals"], ["dispute.updated", "Disputes"], ["chargeback.updated", "Chargebacks"], ["account.updated", "Accounts"],
];
/** @type {Map<string, ReturnType<typeof stream>>} */
const filtered = new Map();

/** @param {{subject: string, kind: string}} props */
function Days({ subject, kind }) {
  const fields = Object.fromEntries(Object.entries({ subject, kind }).filter(([, value]) => value));
  const name = new URLSearchParams(fields).toString();
  const list = name ? (filtered.get(name) ?? stream(fields)) : all;
  if (name) filtered.set(name, list);
  useStream(list, (item) => (!kind || item.name === kind) && (!subject || [item.subject_id, item.job_id, item.customer_id, item.contractor_id, item.user_id, item.actor_id].includes(subject)));
  return html`<${View} title="Activity" kind="wide">
    <form class="filters" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <div class="field"><label for="kind">What</label><select class="input" id="kind" value=${kind} onChange=${(/** @type {any} */ { target }) => setQuery({ kind: target.value })}>
        <option value="">All</option>${KINDS.map(([value, label]) => html`<option key=${value} value=${value} selected=${value === kind}>${label}</option>`)}</select></div>
      <div class="field"><label for="subject">About (any id)</label><input class="input" id="subject" type="search" defaultValue=${subject}
        onChange=${(/** @type {any} */ { target }) => setQuery({ subject: target.value.trim() })} /></div>
    </form>
    ${list.waiting.value > 0 && html`<p class="row"><button class="button" type="button" onClick=${() => list.load()}><${Icon} name="refresh-cw" />Newer lines</button></p>`}
    <${Lines} list=${list} />
    ${list.cursor.value && html`<p class="row more"><button class="button" type="button" onClick=${() => list.load(list.cursor.value)}>Show more</button></p>`}
  </${View}>`;
}

/** @param {{list: ReturnType<typeof stream>, most?: number}} props */
function Lines({ list, most }) {
  const items = list.items.value;
  if (!items && list.problem.value) return html`<${Problem} problem=${list.problem.value} again=${() => list.load()} />`;
  if (!items) return html`<${Skeleton} lines=${6} />`;
  if (!items.length) return html`<div class="card"><${Empty} icon="zap" title="Nothing has happened in the last seven days" /></div>`;
  return html`<ol class="rows card flush stream">${(most ? items.slice(0, most) : items).map((item) => html`<li class="line timed" key=${item.id}>
    <${Icon} name=${iconOf(item.name)} /><span class="grow">${sentence(item)}</span><${Ago} at=${item.at} /></li>`)}</ol>`;
}

const ICONS = /** @type {Record<string, import("../shared/icons.js").IconName>} */ ({
  job: "briefcase", application: "user-plus", offer: "handshake", payment: "credit-card", withdrawal: "landmark",
  dispute: "scale", chargeback: "undo-2", account: "user", security: "key-round", approval: "check-check", reconciliation: "list-checks",
});
const iconOf = (/** @type {string} */ name) => ICONS[name.split(".")[0]] ?? "zap";

const JOB = /** @type {Record<string, string>} */ ({ open: "is open", assigned: "was assigned", in_progress: "is in progress", completed: "is completed", cancelled: "was cancelled" });
const PAYMENT = /** @type {Record<string, string>} */ ({
  requires_payment: "waits for the customer", authorized: "is held", capturing: "is being charged", captured: "was charged", partially_refunded: "was refunded in part",
  refunded: "was refunded", canceled: "was released", failed: "failed",
});
const WITHDRAWAL = /** @type {Record<string, string>} */ ({ requested: "was asked for", in_transit: "is on its way to the bank", paid: "has arrived", failed: "came back" });
const DID = /** @type {Record<string, string>} */ ({
  "offer.countered": "asks for other terms of", "offer.accepted": "accepted", "offer.rejected": "declined", "offer.withdrawn": "took back",
});

/** What happened, with the people and things as links. @param {Item} item */
export function sentence(item) {
  const { name, subject_id, job_id, job_title, customer_id, contractor_id, user_id, actor_id, status, names } = item;
  const person = (/** @type {string | null | undefined} */ id) => html`<${Id} id=${id}>${id === null || id === undefined ? "the platform" : names[id] || id}</${Id}>`;
  const job = html`<${Id} id=${job_id}>“${job_title || job_id}”</${Id}>`;
  const money = item.amount !== null && item.currency ? html`<span class="amount">${display(item.amount, item.currency)}</span>` : "";
  const thing = (/** @type {any} */ word) => html`<${Id} id=${subject_id}>${word}</${Id}>`;
  const state = status ?? "";
  if (name === "job.updated") return html`${job} of ${person(customer_id)} ${JOB[state] ?? words(state)}${actor_id && actor_id !== customer_id ? html`: ${person(actor_id)} changed it` : ""}`;
  if (name === "application.created") return html`${person(contractor_id)} applied for ${job}`;
  if (name === "application.updated") return html`The application of ${person(contractor_id)} for ${job} is ${words(state)}`;
  if (name === "offer.created") return html`${person(customer_id)} made ${person(contractor_id)} ${thing("an offer")} of ${money} for ${job}`;
  if (DID[name]) return html`${person(actor_id ?? contractor_id)} ${DID[name]} ${thing("the offer")} of ${money} for ${job}`;
  if (name === "offer.updated") return html`${thing("The offer")} of ${money} for ${job} changed: ${words(state)}`;
  if (name.startsWith("offer.")) return html`${thing("The offer")} of ${money} for ${job} ${name === "offer.expired" ? "has expired" : name === "offer.blocked" ? "was stopped: the job is taken" : "has failed"}`;
  if (name === "payment.updated") return html`${thing("The payment")} of ${money} by ${person(customer_id)} for ${job} ${PAYMENT[state] ?? words(state)}`;
  if (name === "withdrawal.updated") return html`${thing("A withdrawal")} of ${money} by ${person(user_id)} ${WITHDRAWAL[state] ?? words(state)}`;
  if (name === "dispute.updated") return html`${thing("The dispute")} about ${money} between ${person(customer_id)} and ${person(contractor_id)} over ${job} is ${words(state)}`;
  if (name === "chargeback.updated") return html`${thing("The chargeback")} of ${money} by the bank of ${person(customer_id)} for ${job} is ${words(state)}`;
  if (name === "account.updated") return html`The account of ${person(user_id)} changed`;
  if (name === "security.changed") return html`${person(user_id)} changed how they sign in`;
  if (name === "alert.updated") return html`${person(actor_id)} closed ${thing("an alert")}`;
  return html`${words(name)} ${thing(subject_id)} ${words(state)} ${money}`;
}
