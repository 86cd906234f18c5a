// One payment with its journal, and refunding it.

import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { DialogHeader, open } from "../shared/dialog.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { display, major, minor } from "../shared/money.js";
import { Ago, Badge, Skeleton, View } from "../shared/pieces.js";
import { server, write } from "../shared/server.js";
import { withStepUp } from "../shared/steps.js";
import { refuse, say } from "../shared/toasts.js";
import { statusOf } from "../shared/words.js";
import { Id } from "./links.js";

const SHOWN = 50;

/** @param {string} id */
async function read(id) {
  const payment = await server.payment.get({ payment_id: id });
  const journal = await server.admin.transactions({ offer_id: payment.offer_id, limit: SHOWN });
  return { payment, journal: journal.items };
}

/** @param {{id: string}} props */
export function Payment({ id }) {
  const found = useMemo(() => signal(/** @type {Awaited<ReturnType<typeof read>> | null} */ (null)), [id]);
  const load = () => read(id).then((all) => (found.value = all), refuse);
  useEffect(() => {
    load();
  }, [id]);
  const back = { href: "/admin/payments", label: "Payments" };
  if (!found.value) return html`<${View} title="Payment" back=${back}><${Skeleton} lines=${8} /></${View}>`;
  const { payment, journal } = found.value;
  const { amount, currency, captured_amount, refunded_amount, disputed_amount } = payment;
  const refund = async () => {
    const done = await open((/** @type {any} */ props) => html`<${Refund} payment=${payment} ...${props} />`);
    if (done) load();
  };
  return html`<${View} title=${payment.job_title} back=${back} actions=${captured_amount > refunded_amount && html`<button class="button danger" type="button" onClick=${refund}>Refund…</button>`}>
    <div class="stack" style=${{ "--gap": "1.5rem" }}>
      <section class="card"><p class="row"><span class="amount big">${display(amount, currency)}</span><${Badge} of=${statusOf("payment", payment.status)} /></p>
        <dl class="facts"><div><dt>Customer</dt><dd><${Id} id=${payment.customer_id} /></dd></div><div><dt>Contractor</dt><dd><${Id} id=${payment.contractor_id} /></dd></div>
        <div><dt>Charged</dt><dd>${display(captured_amount, currency)}</dd></div><div><dt>Refunded</dt><dd>${display(refunded_amount, currency)}</dd></div>
        ${disputed_amount > 0 && html`<div><dt>Charged back</dt><dd>${display(disputed_amount, currency)}</dd></div>`}
        ${payment.failure && html`<div><dt>Failed</dt><dd>${payment.failure}</dd></div>`}
        <div><dt>Made</dt><dd><${Ago} at=${payment.created_at} /></dd></div></dl></section>
      <section><h2 class="home-title">Journal</h2><ul class="rows card flush">${journal.map((row) => html`<li class="line" key=${row.id}>
        <span class="grow"><span class="strong">${row.kind.replaceAll("_", " ")}</span>${row.postings.map((posting, at) => html`<br key=${at} /><span class="soft small">
          ${posting.source} → ${posting.destination} <span class="number">${display(posting.amount, row.currency)}</span></span>`)}</span><${Ago} at=${row.created_at} /></li>`)}</ul></section>
    </div></${View}>`;
}

/** @param {{payment: any, close: (answer?: any) => void}} props */
function Refund({ payment, close }) {
  const { id, currency, captured_amount, refunded_amount } = payment;
  const most = captured_amount - refunded_amount;
  const form = useForm(async ({ amount, reason }) => {
    const fields = { payment_id: id, reason, amount: minor(amount, currency) };
    await write(() => withStepUp(() => server.admin.refund(fields)));
    say(`${display(fields.amount, currency)} go back to the customer.`, { tone: "good" });
    close(true);
  });
  return html`<form onSubmit=${form.submit}><${DialogHeader} title="Refund the customer" close=${close} />
    <div class="body"><p>At most ${display(most, currency)} can go back. What the contractor has of it is taken from their wallet, and becomes a debt if it is not there.</p>
      <${Field} form=${form} name="amount" label=${`Amount in ${currency}`} inputmode="decimal" required defaultValue=${major(most, currency)} />
      <${Field} form=${form} name="reason" label="Why, for the trail" as="textarea" required maxlength="1000" /></div>
    <footer><button type="button" class="button" onClick=${() => close()}>Cancel</button><${Submit} form=${form} class="danger">Refund</${Submit}></footer></form>`;
}
