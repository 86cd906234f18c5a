// One event of Stripe: what it was about, what became of it, what Stripe sent, and processing it again.

import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { server } from "../shared/server.js";
import { statusOf } from "../shared/words.js";
import { Id, Value } from "./links.js";
import { Facts, Part, useReading } from "./work.js";
import { replay } from "./work_actions.js";

/** @param {string} event_id */
async function read(event_id) {
  const event = await server.admin.webhook_event({ event_id });
  const same = await server.admin.webhook_events({ object_id: event.object_id, limit: 20 });
  return { event, others: same.items.filter(({ id }) => id !== event_id) };
}

/** @param {{id: string}} props */
export function StripeEvent({ id }) {
  const { found, problem, load } = useReading(() => read(id), [id]);
  const back = { href: "/admin/webhook-events", label: "Stripe events" };
  if (!found) return html`<${View} title="Stripe event" back=${back}>${problem ? html`<${Problem} problem=${problem} again=${load} />` : html`<${Skeleton} lines=${8} />`}</${View}>`;
  const { event, others } = found;
  const again = async () => (await replay(/** @type {any} */ (event))) && load();
  return html`<${View} title=${event.type} back=${back} actions=${html`<button type="button" class="button" onClick=${again}><${Icon} name="rotate-ccw" />Process again…</button>`}>
    <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
      <section class="card stack" aria-label="State"><p><${Badge} of=${statusOf("event", event.status)} /></p>
        ${(event.last_error || event.reason) && html`<p class="note bad"><${Icon} name="circle-alert" /><span class="break"><${Value} of=${event.last_error ?? event.reason} /></span></p>`}
        <${Facts} facts=${[
          ["About", html`<${Id} id=${event.object_id} /> <span class="soft">${event.object_type}</span>`], ["Payment", event.payment_id && html`<${Id} id=${event.payment_id} />`],
          ["PaymentIntent", event.intent_id && html`<${Id} id=${event.intent_id} />`], ["Connected account", event.account && html`<${Id} id=${event.account} />`],
          ["Received", html`<${Ago} at=${event.created_at} />`], ["Processed", event.processed_at && html`<${Ago} at=${event.processed_at} />`], ["Attempts", event.attempts],
          ["Id at Stripe", html`<code class="small break">${event.id}</code>`],
        ]} /></section>
      <${Part} title="What Stripe sent">${event.payload ? html`<pre class="card payload" tabindex="0" aria-label="What Stripe sent"><${Value} of=${JSON.stringify(event.payload, null, 2)} /></pre>`
        : html`<p class="card">It is kept for 30 days, without personal fields, and is not there any more. Processing it again needs nothing of it.</p>`}</${Part}>
      ${others.length > 0 && html`<${Part} title="Other events about the same"><ul class="rows card flush">${others.map((other) => html`<li key=${other.id}><a class="line" href=${`/admin/webhook-events/${other.id}`}>
        <span class="grow">${other.type}</span><${Badge} of=${statusOf("event", other.status)} /><${Ago} at=${other.created_at} /></a></li>`)}</ul></${Part}>`}
    </div></${View}>`;
}
