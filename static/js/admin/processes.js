// The processes of the deployment and how they are.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Problem } from "../shared/listing.js";
import { Ago, Badge, Skeleton } from "../shared/pieces.js";
import { live, server } from "../shared/server.js";
import { duration } from "./figures.js";

const EVERY_MS = 10_000;
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** @type {(process: import("../../client/jobsphere.js").ProcessHealth) => import("../shared/words.js").Status} */
function statusOf({ state, figures }) {
  if (state === "lost") return { word: "Not heard of", icon: "circle-alert", tone: "bad" };
  if (state === "ended") return { word: "Ended", icon: "circle", tone: "" };
  if (!figures.ready) return { word: "Not ready", icon: "triangle-alert", tone: "bad" };
  if (Object.keys(figures.reasons).length) return { word: "With trouble", icon: "triangle-alert", tone: "wait" };
  return { word: "Healthy", icon: "circle-check", tone: "good" };
}

export function Processes() {
  const found = useSignal(/** @type {import("../../client/jobsphere.js").ProcessHealth[] | null} */ (null));
  const problem = useSignal(/** @type {any} */ (null));
  const load = () => server.admin.processes().then((list) => { found.value = list; problem.value = null; }, (refused) => (problem.value = refused));
  const now = live.value;
  useEffect(() => {
    if (!now) return undefined;
    load();
    const timer = setInterval(() => document.visibilityState === "visible" && load(), EVERY_MS);
    return () => clearInterval(timer);
  }, [now]);
  if (!found.value) return problem.value ? html`<${Problem} problem=${problem.value} again=${load} />` : html`<${Skeleton} lines=${3} />`;
  const columns = ["State", "Process", "Connections", "A second", "In hand", "Memory", "Stripe", "Stalls", "Last heard of"];
  return html`<div class="card flush table" tabindex="0" role="region" aria-label="Processes"><table>
    <thead><tr>${columns.map((label) => html`<th scope="col" key=${label}>${label}</th>`)}</tr></thead>
    <tbody>${found.value.map((process) => html`<${Row} process=${process} key=${process.id} />`)}</tbody>
  </table></div>`;
}

/** @param {{process: import("../../client/jobsphere.js").ProcessHealth}} props */
function Row({ process }) {
  const { kind, host, pid, reasons, sockets, in_hand, queued_pushes, memory, stripe_p50, stripe_p95, rates, counts } = process.figures;
  const trouble = Object.entries(reasons).map(([name, reason]) => `${name}: ${reason}`);
  return html`<tr>
    <td data-label="State"><span><${Badge} of=${statusOf(process)} />${trouble.map((each) => html`<br key=${each} /><span class="small">${each}</span>`)}</span></td>
    <td data-label="Process"><span>${kind === "web" ? "Web" : "Worker"}<br /><span class="small soft">${host}, ${pid}<br />since <${Ago} at=${process.started_at} /></span></span></td>
    <td data-label="Connections" class="number">${sockets}</td>
    <td data-label="A second"><span class="small number">${number.format(rates.commands)} commands<br />${number.format(rates.messages)} messages<br />${number.format(rates.deliveries)} pushes</span></td>
    <td data-label="In hand"><span>${in_hand}${queued_pushes > 0 && html`<br /><span class="small soft">${queued_pushes} pushes wait</span>`}</span></td>
    <td data-label="Memory" class="number">${number.format(memory / 1_048_576)} MB</td>
    <td data-label="Stripe"><span class="small number">${stripe_p50 === null ? "No request" : html`Half in ${duration(stripe_p50)}<br />95 % in ${duration(stripe_p95 ?? stripe_p50)}`}<br />
      ${counts.stripe_errors} of ${counts.stripe_calls} failed</span></td>
    <td data-label="Stalls"><span>${counts.loop_stalls}${counts.loop_stalls > 0 && html`<br /><span class="small soft">${duration(counts.stalled_seconds)}</span>`}</span></td>
    <td data-label="Last heard of"><${Ago} at=${process.beat_at} /></td>
  </tr>`;
}
