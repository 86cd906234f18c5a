// One comparison of our books with Stripe's: what was compared, and what differs.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { fullTime } from "../shared/times.js";
import { statusOf } from "../shared/words.js";
import { Compared, Id, Value } from "./links.js";
import { Facts, Part, useReading, words } from "./work.js";
import { reconcile } from "./work_actions.js";

/** @param {{id: string}} props */
export function Reconciliation({ id }) {
  const { found, problem, load } = useReading(() => server.admin.reconciliation({ reconciliation_id: id }), [id],
    (again) => [server.admin.on("reconciliation.updated", (pushed) => pushed.id === id && again())]);
  const back = { href: "/admin/reconciliations", label: "Reconciliation" };
  if (!found) return html`<${View} title="Reconciliation" back=${back}>${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${6} />`}</${View}>`;
  const { status, start, end, by, compared, differences, difference_count, booked_count, foreign_count = 0, failure, finished_at, created_at } = found;
  return html`<${View} title="Reconciliation" back=${back} actions=${html`<button type="button" class="button" onClick=${() => reconcile({ start, end })}><${Icon} name="scale" />Compare again…</button>`}>
    <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      <section class="card stack" aria-label="Result"><p><${Badge} of=${statusOf("reconciliation", status)} /></p>
        ${failure && html`<p class="note bad"><${Icon} name="circle-alert" /><span class="break"><${Value} of=${failure} /></span></p>`}
        <${Facts} facts=${[["From", fullTime(start)], ["Until", fullTime(end)], ["Started by", by === "system" ? "JobSphere, as each day" : html`<${Id} id=${by} />`], ["Started", html`<${Ago} at=${created_at} />`],
          ["Ended", finished_at && html`<${Ago} at=${finished_at} />`], ["Missing lines that were booked", booked_count], ["Lines that are not ours", foreign_count > 0 && html`<a href="/admin/foreign-lines">${foreign_count}</a>`], ["Differences", difference_count]]} /></section>
      ${differences.length > 0 && html`<${Part} title=${difference_count > differences.length ? `The first ${differences.length} of ${difference_count} differences` : "Differences"}
        actions=${html`<a class="small" href="/admin/differences?status=open">All that are open</a>`}>
        <div class="card flush table" tabindex="0" role="region" aria-label="Differences"><table><thead><tr>${["What", "About", "Here", "At Stripe"].map((heading) => html`<th key=${heading} scope="col">${heading}</th>`)}</tr></thead>
          <tbody>${differences.map((each) => html`<tr key=${each.what + each.subject}><td data-label="What">${each.what}</td><td data-label="About"><${Id} id=${each.subject} /></td>
            <td data-label="Here"><${Compared} value=${each.expected} /></td><td data-label="At Stripe"><${Compared} value=${each.found} /></td></tr>`)}</tbody></table></div></${Part}>`}
      <${Part} title="Lines that were compared"><dl class="sums card">${Object.entries(compared).map(([type, count]) => html`<dt key=${type}>${words(type)}</dt><dd class="number" key=${`${type}#`}>${count}</dd>`)}
        ${!Object.keys(compared).length && html`<dt>None</dt><dd>0</dd>`}</dl></${Part}>
    </div></${View}>`;
}
