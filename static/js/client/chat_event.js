// A card of a conversation: what has happened to an offer or a job, and what a person can do about it.

import { useComputed } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { display } from "../shared/money.js";
import { Badge } from "../shared/pieces.js";
import { me, server } from "../shared/server.js";
import { fullTime, timeOf } from "../shared/times.js";
import { refuse } from "../shared/toasts.js";
import { useRecord } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { conversations } from "./conversations.js";
import { useOther } from "./names.js";
import { accept, approve, reject } from "./offer_steps.js";
import { jobs, offers } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Offer} Offer */
/** @typedef {import("./talk.js").Entry} Entry */
/** @typedef {import("./talk.js").Talk} Talk */

/** @type {Record<string, import("../shared/icons.js").IconName>} */
const ICONS = {
  "offer.created": "hand-coins", "offer.countered": "reply", "offer.accepted": "handshake", "offer.rejected": "circle-x",
  "offer.withdrawn": "undo-2", "offer.expired": "hourglass", "offer.blocked": "ban", "offer.failed": "circle-alert",
  "job.started": "zap", "job.delivered": "eye", "job.completed": "circle-check", "job.cancelled": "circle-x",
  "milestone.delivered": "eye", "milestone.completed": "circle-check", "milestone.cancelled": "circle-x",
};

/** @type {Record<string, "good" | "wait" | "bad" | "mine">} */
const TONES = {
  "offer.created": "mine", "offer.countered": "mine", "offer.accepted": "good", "offer.failed": "bad", "job.delivered": "wait",
  "milestone.delivered": "wait", "job.completed": "good", "milestone.completed": "good",
};

/**
 * What a person can do about an event, if it is theirs to do and nothing has happened since. `Acts`
 * are the steps that the card itself takes.
 *
 * @type {Record<string, {role: string, label: string, Acts?: any}>}
 */
const STEPS = {
  "offer.created": { role: "contractor", label: "Look at the offer", Acts: Answer },
  "offer.countered": { role: "customer", label: "Answer the other terms" },
  "offer.accepted": { role: "contractor", label: "Go to the work" },
  "offer.failed": { role: "customer", label: "See what happened" },
  "job.delivered": { role: "customer", label: "Look at the work", Acts: Approve },
  "milestone.delivered": { role: "customer", label: "Look at the work" },
};

/** @param {{entry: Entry, talk: Talk}} props */
export function Event({ entry, talk }) {
  const { kind, subject_id, text, created_at, seq } = entry.message.value;
  const jobId = conversations.peek().get(talk.id)?.job_id;
  const ofOffer = subject_id?.startsWith("ofr_");
  const newest = useComputed(() => !talk.behind.value && talk.newestEvent.value === entry.key).value;
  const step = newest && STEPS[kind]?.role === me.value?.role ? STEPS[kind] : null;
  const link = (/** @type {string} */ tone) => html`<a class=${`button small ${tone}`}
    href=${ofOffer ? `/offers/${subject_id}` : `/jobs/${jobId}`}>${step?.label ?? (ofOffer ? "Offer" : "Job")}</a>`;
  return html`<li class=${`event ${TONES[kind] ?? ""} ${step ? "step" : ""}`} data-key=${entry.key} data-seq=${seq} tabindex="-1">
    <${Icon} name=${ICONS[kind] ?? "info"} class="large" />
    <div class="grow"><p>${text}</p>
      ${ofOffer && (kind === "offer.created" || kind === "offer.countered") && html`<${OfferFacts} id=${subject_id} />`}
      <small class="soft"><time datetime=${created_at} title=${fullTime(created_at)}>${timeOf(created_at)}</time></small></div>
    <div class="acts">${step?.Acts ? html`<${step.Acts} id=${subject_id} link=${link} />` : link(step ? "primary" : "")}</div>
  </li>`;
}

const asked = new Set();

server.on("end", () => asked.clear());

/** How an offer stands now. @param {{id: string}} props */
function OfferFacts({ id }) {
  const offer = offers.of(id).value;
  useEffect(() => {
    if (offer || asked.has(id)) return;
    asked.add(id);
    readOffer(id).then((found) => offers.put(found), () => {});
  }, [id]);
  if (!offer) return html`<p class="row tight unknown"><${Badge} of=${statusOf("offer", "pending")} /></p>`; // its line, so that nothing moves
  const steps = offer.milestones.length;
  return html`<p class="row tight"><${Badge} of=${statusOf("offer", offer.status)} />
    ${steps > 1 && html`<span class="small">${steps} milestones</span>`}</p>`;
}

// -- what the card itself does -----------------------------------------------------------------

const readOffer = (/** @type {string} */ offer_id) => server.bidding.get({ offer_id });
const readJob = (/** @type {string} */ job_id) => server.job.get({ job_id });

/**
 * Take a step in its dialog. When it is done its button is gone, so the card gets the focus.
 *
 * @param {() => Promise<void>} step
 */
const run = (step) => async (/** @type {any} */ { currentTarget }) => {
  const card = currentTarget.closest(".event");
  await step().catch(refuse);
  requestAnimationFrame(() => document.activeElement === document.body && card.focus({ preventScroll: true }));
};

/**
 * A button of a card; without a step it only keeps its place until the offer is known.
 *
 * @param {{label: string, about: string, tone: string, step: (() => Promise<void>) | null}} props `about` is for screen readers
 */
function Act({ label, about, tone, step }) {
  return html`<button type="button" class=${`button small ${tone} ${step ? "" : "unknown"}`} onClick=${step && run(step)}>
    ${label}<span class="visually-hidden"> ${about}</span></button>`;
}

/** Accept or decline an offer while it is pending. @param {{id: string, link: (tone: string) => any}} props */
function Answer({ id, link }) {
  const { record: offer, problem } = useRecord(offers, id, readOffer);
  const other = useOther(offer);
  if (offer ? offer.status !== "pending" : problem) return link("primary");
  const about = offer ? `the offer of ${display(offer.amount, offer.currency)}` : "";
  return html`
    <${Act} label="Accept" about=${about} tone="primary" step=${offer && (() => accept(offer, other))} />
    <${Act} label="Decline" about=${about} tone="" step=${offer && (() => reject(offer, other))} />
    ${link("quiet")}`;
}

/** Whether one step approves all of the work: one milestone, delivered and not contested. @param {Offer} offer @param {{status: string}} job */
function isApprovable({ status, milestones: [milestone, ...others], contested_amount }, job) {
  return status === "accepted" && job.status === "in_progress" && !others.length && milestone.status === "delivered"
    && !milestone.dispute_id && !contested_amount;
}

/** Approve the delivered work of a job. @param {{id: string, link: (tone: string) => any}} props */
function Approve({ id, link }) {
  const { record: job, problem: noJob } = useRecord(jobs, id, readJob);
  const { record: offer, problem: noOffer } = useRecord(offers, job?.offer_id, readOffer);
  const other = useOther(offer);
  if (offer ? !isApprovable(offer, job) : noJob || noOffer) return link("primary");
  return html`
    <${Act} label="Approve and pay" about=${offer ? `“${offer.milestones[0].title}”` : ""} tone="primary"
      step=${offer && (() => approve(offer, 1, other))} />
    ${link("quiet")}`;
}
