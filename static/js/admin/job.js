// One job: what it is, and its offers, payments and disputes. An offer is shown with its payment.

import { useEffect } from "preact/hooks";
import { Attachments } from "../shared/attachments.js";
import { html } from "../shared/html.js";
import { Linked } from "../shared/links.js";
import { Problem } from "../shared/listing.js";
import { display, displayRange } from "../shared/money.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { go } from "../shared/router.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";
import { Facts, Part, useReading, words } from "./work.js";

const SHOWN = 20;

/** @param {string} job_id */
async function read(job_id) {
  const limit = SHOWN;
  const [job, offers, payments, disputes] = await Promise.all([
    server.job.get({ job_id }), server.admin.offers({ job_id, limit }), server.admin.payments({ job_id, limit }), server.admin.disputes({ job_id, limit }),
  ]);
  return { job, offers, payments, disputes };
}

/** @param {{id: string}} props */
export function JobRecord({ id }) {
  const { found, problem, load } = useReading(() => read(id), [id]);
  const back = { href: "/admin/jobs", label: "Jobs" };
  if (!found) return html`<${View} title="Job" back=${back}>${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${8} />`}</${View}>`;
  const { job, offers, payments, disputes } = found;
  return html`<${View} title=${job.title} kind="wide" back=${back}><div class="columns facts-first"><div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      <section class="card stack"><p class="prose"><${Linked} text=${job.description} /></p><${Attachments} files=${job.files} /></section>
      <${Rows} title="Offers" kind="offer" page=${offers} more=${`/admin/offers?job_id=${id}`} name=${(/** @type {any} */ row) => html`To <${Id} id=${row.contractor_id}>${row.contractor_name || undefined}</${Id}>`} />
      <${Rows} title="Payments" kind="payment" page=${payments} more=${`/admin/payments?job_id=${id}`} name=${(/** @type {any} */ row) => html`<a href=${`/admin/payments/${row.id}`}>Payment</a> for <${Id} id=${row.contractor_id} />`} />
      <${Rows} title="Disputes" kind="dispute" page=${disputes} more=${`/admin/disputes?job_id=${id}`} name=${(/** @type {any} */ row) => html`<a href=${`/admin/disputes/${row.id}`}>${words(row.reason)}</a>`} />
    </div><aside class="stack"><section class="card stack" aria-labelledby="about"><h2 id="about">About it</h2><p><${Badge} of=${statusOf("job", job.status)} /></p><${Facts} facts=${[
      ["Customer", html`<${Id} id=${job.customer_id}>${job.customer_name}</${Id}>`], ["Contractor", job.contractor_id && html`<${Id} id=${job.contractor_id} />`],
      ["Budget", displayRange(job.budget_min_amount, job.budget_max_amount, job.currency)], ["Category", job.category], ["Skills", job.skills.join(", ")],
      ["Place", job.location?.label], ["Posted", html`<${Ago} at=${job.created_at} />`], ["Id", html`<code class="small break">${job.id}</code>`],
    ]} /><p><a href=${`/admin/activity?subject=${id}`}>Its activity</a> · <a href=${`/admin/audit?subject=${id}`}>In the audit trail</a></p></section></aside></div></${View}>`;
}

/** @param {{title: string, kind: string, page: {items: any[], next_cursor: string | null}, more: string, name: (row: any) => any}} props */
function Rows({ title, kind, page, more, name }) {
  if (!page.items.length) return null;
  return html`<${Part} title=${title} more=${page.next_cursor && more}><ul class="rows card flush">${page.items.map((row) => html`<li class="line wrap" key=${row.id}>
    <span class="grow">${name(row)}${kind === "offer" && html`<br /><a class="small" href=${`/admin/payments/${row.payment_id}`}>Its payment</a>`}</span>
    <span class="amount">${display(row.amount, row.currency)}</span><${Badge} of=${statusOf(kind, row.status)} /><${Ago} at=${row.created_at} /></li>`)}</ul></${Part}>`;
}

/** Every offer has one payment, whose page shows both. @param {{id: string}} props */
export function OfferRecord({ id }) {
  const { found, problem, load } = useReading(() => server.admin.offer({ offer_id: id }), [id]);
  useEffect(() => {
    if (found) go(`/admin/payments/${found.payment_id}`, { replace: true });
  }, [found]);
  return html`<${View} title="Offer">${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${4} />`}</${View}>`;
}
