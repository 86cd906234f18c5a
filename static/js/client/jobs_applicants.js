// The applications to a customer's job, side by side.

import { useState } from "preact/hooks";
import { confirm } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { ListEnd } from "../shared/listing.js";
import { display } from "../shared/money.js";
import { Ago, Avatar, Badge, Empty, Skeleton } from "../shared/pieces.js";
import { go, place, setQuery, viewOf } from "../shared/router.js";
import { server, write } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { useList } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { againstBudget, chatWith, days, knownChat, standing } from "./jobs_pieces.js";
import { showProfile } from "./profile.js";
import { applications } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Job} Job */
/** @typedef {import("../../client/jobsphere.js").Application} Application */

const PAGE = 50;
const LONG = 280; // characters of a letter before it is folded
/** @type {[string, string, (one: Application, other: Application) => number][]} */
const ORDERS = [
  ["", "Newest", () => 0],
  ["price", "Lowest price", (one, other) => one.proposed_amount - other.proposed_amount],
  ["days", "Fastest", (one, other) => one.timeline_days - other.timeline_days],
];

/** @param {{job: Job}} props */
export function Applicants({ job }) {
  const list = useList(applications, {
    read: (cursor) => server.jobRequest.list({ job_id: job.id, limit: PAGE, ...(cursor && { cursor }) }),
    fits: (application) => application.job_id === job.id,
  }, [job.id]);
  const asked = place.value.query.get("order") ?? "";
  const [order, , compare] = ORDERS.find(([name]) => name === asked) ?? ORDERS[0];
  const all = list.ids.value.map((id) => /** @type {Application} */ (applications.of(id).value)).filter(Boolean);
  const active = all.filter(standing).sort((one, other) =>
    Number(other.status === "accepted") - Number(one.status === "accepted") || compare(one, other));
  const past = all.filter((each) => !standing(each));
  const ready = list.state.value === "ready";
  return html`<section class="stack" aria-labelledby="applications">
    <div class="row spread"><h2 id="applications">Applications ${active.length > 0 && html`<span class="soft">${active.length}${list.more.value ? "+" : ""}</span>`}</h2>
      ${active.length > 1 && html`<div class="segments" role="group" aria-label="Order">${ORDERS.map(([name, label]) => html`
        <button type="button" key=${name} aria-pressed=${String(name === order)} onClick=${() => setQuery({ order: name })}>${label}</button>`)}</div>`}</div>
    ${!ready && !list.problem.value && html`<${Skeleton} lines=${4} />`}
    ${ready && !active.length && html`<div class="card"><${Empty} icon="users" title=${past.length ? "No application to look at" : "No applications yet"}>
      ${job.status === "open" && html`<p>They appear here as they come in.</p>`}</${Empty}></div>`}
    <ul class="applicants">${active.map((application) => html`<${Applicant} key=${application.id} application=${application} job=${job} />`)}</ul>
    ${past.length > 0 && html`<details class="card"><summary>Declined and withdrawn (${past.length})</summary>
      <ul class="rows">${past.map((each) => html`<li key=${each.id}><div class="line"><${Avatar} id=${each.contractor_id} name=${each.contractor_name} size="small" />
        <span class="grow">${each.contractor_name}</span><span class="amount">${display(each.proposed_amount, each.currency)}</span>
        <${Badge} of=${statusOf("application", each.status)} /></div></li>`)}</ul></details>`}
    <${ListEnd} list=${list} />
  </section>`;
}

/** @param {{application: Application, job: Job}} props */
function Applicant({ application, job }) {
  const { id, contractor_id, contractor_name, cover_letter, proposed_amount, currency, timeline_days, status } = application;
  const [whole, setWhole] = useState(cover_letter.length <= LONG);
  const [busy, setBusy] = useState(false);
  const open = job.status === "open";
  const run = async (/** @type {() => Promise<any>} */ command) => {
    setBusy(true);
    try {
      await command();
    } catch (refused) {
      refuse(refused);
    } finally {
      setBusy(false);
    }
  };
  const shortlist = () => run(async () => {
    applications.put(await write(() => server.jobRequest.accept({ application_id: id })));
    say(`${contractor_name} is on your shortlist. You can talk now.`, { tone: "good" });
  });
  const decline = () => run(async () => {
    const yes = await confirm({
      title: `Decline ${contractor_name}?`, yes: "Decline", no: "Keep", danger: true,
      body: html`<p>${contractor_name} is told, and you cannot take it back.</p>`,
    });
    if (yes) applications.put(await write(() => server.jobRequest.reject({ application_id: id })));
  });
  const chat = () => run(async () => go(await chatWith(job.id, contractor_id)));
  const offer = `/offers/new?job=${job.id}&contractor=${contractor_id}`;
  return html`<li class=${`card applicant ${status === "accepted" ? "act" : ""}`}>
    <div class="row spread"><span class="row tight grow"><${Avatar} id=${contractor_id} name=${contractor_name} />
      <span class="grow"><h3>${contractor_name}</h3><span class="soft small"><${Ago} at=${application.created_at} /></span></span></span>
      <${Badge} of=${statusOf("application", status)} /></div>
    <dl class="facts"><div><dt>Price</dt><dd class="amount">${display(proposed_amount, currency)}</dd>
        ${currency === job.currency && html`<dd class="soft small">${againstBudget(proposed_amount, job)}</dd>`}</div>
      <div><dt>Time</dt><dd>${days(timeline_days)}</dd></div></dl>
    <div><p class="prose">${whole ? cover_letter : `${cover_letter.slice(0, LONG).trimEnd()}…`}</p>
      ${cover_letter.length > LONG && html`<button type="button" class="button quiet small" aria-expanded=${String(whole)} onClick=${() => setWhole(!whole)}>
        ${whole ? "Show less" : "Read all"}<span class="visually-hidden"> of ${contractor_name}</span></button>`}</div>
    <div class="row tight applicant-actions">
      ${open && status === "pending" && html`<button type="button" class="button primary" disabled=${busy} onClick=${shortlist}><${Icon} name="user-check" />Shortlist</button>`}
      ${open && status === "accepted" && makesOffers() && html`<a class="button primary" href=${offer}><${Icon} name="handshake" />Make an offer</a>`}
      <button type="button" class="button" onClick=${() => showProfile(contractor_id, contractor_name)}><${Icon} name="user" />Profile<span class="visually-hidden"> of ${contractor_name}</span></button>
      ${(status === "accepted" || knownChat(job.id, contractor_id)) && html`<button type="button" class="button" disabled=${busy} onClick=${chat}><${Icon} name="message-circle" />Chat</button>`}
      ${status === "pending" && html`<button type="button" class="button quiet" disabled=${busy} onClick=${decline}>Decline<span class="visually-hidden"> ${contractor_name}</span></button>`}
    </div>
  </li>`;
}

/** Whether this client has a view that makes offers. */
const makesOffers = () => viewOf("/offers/new").view !== undefined;
