// The steps of an administrator that move money or hold it back: each names exact amounts and takes a reason.

import { useSignal } from "@preact/signals";
import { Field } from "../shared/form.js";
import { html } from "../shared/html.js";
import { limitsOf, readMeta } from "../shared/meta.js";
import { display, major } from "../shared/money.js";
import { amountIn, amountOrNull, at, MoneyField, Sums } from "../shared/money_step.js";
import { server } from "../shared/server.js";
import { step } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").PaymentDetails} Details */
/** @typedef {import("../../client/jobsphere.js").Transfer} Transfer */
/** @typedef {import("../../client/jobsphere.js").SeenUser} SeenUser */

/** Refund the customer, in whole or in part. @param {Details} details @param {() => void} again reads them after a conflict */
export async function refund({ payment, offer, customer_name, contractor_name }, again) {
  const { currency } = payment;
  const most = offer.refundable_amount;
  const { step: smallest } = limitsOf(await readMeta(), currency);
  const Amounts = (/** @type {{form: any}} */ { form }) => {
    const amount = useSignal(most);
    const earned = Math.max(0, amount.value - offer.earnable_amount);
    return html`<${MoneyField} form=${form} name="amount" label="Amount" currency=${currency} required defaultValue=${major(most, currency)} hint=${`At most ${display(most, currency)}.`}
        onInput=${(/** @type {any} */ { target }) => (amount.value = Math.min(most, amountOrNull(target.value, currency) ?? 0))} />
      <${Sums} currency=${currency} rows=${[["Of money that is not earned yet", amount.value - earned], earned > 0 && [`Of work that ${contractor_name} completed`, earned]]}
        total=${[`Back to ${customer_name}`, amount.value]} />
      ${earned > 0 && html`<p class="small soft">What ${contractor_name} has of it is taken from their wallet, and becomes a debt if it is not there. The platform returns its fees of that part.</p>`}`;
  };
  return step({
    title: "Refund the customer?", yes: "Refund", danger: true, done: "The refund is on its way.", reason: "Why, for the trail",
    what: html`<p>The money goes back to the card or account that ${customer_name} paid with. It cannot be taken back.</p>`,
    fields: (form) => html`<${Amounts} form=${form} />`,
    run: (given) => {
      const amount = amountIn(given, "amount", currency, { maximum: most, step: smallest });
      const all = amount === most; // that is what the server has by then, and it must be what the dialog names
      return server.admin.refund({ payment_id: payment.id, reason: given.reason, expected_amount: amount, ...(!all && { amount }) });
    },
    again,
  });
}

/** Release a payment that a fraud signal holds. @param {Details} details @param {() => void} again */
export const clearFraud = ({ payment, contractor_name }, again) => step({
  title: "Is this payment good?", yes: "Clear it", done: "The payment is cleared.", reason: "Why, for the trail",
  what: html`<p>What ${contractor_name} earns with it goes to their wallet again. If a chargeback follows, it is taken back from there.</p>`,
  run: ({ reason }) => server.admin.fraud_clear({ payment_id: payment.id, reason }),
  again,
});

/** Decide about the money of a refund that the bank returned. @param {Details} details @param {any} row @param {() => void} again */
export const decideRefund = ({ payment, offer, customer_name }, { id, amount }, again) => step({
  title: "What happens with this refund?", yes: "Decide", danger: true, done: "It is decided.", reason: "Why, for the trail",
  what: html`<p>The bank of ${customer_name} returned <span class="amount">${display(amount, payment.currency)}</span>. The money is parked and nobody else has it.</p>`,
  fields: (form) => html`<${Field} form=${form} name="decision" label="What to do" as="select" required>
    <option value="again">Make the refund again</option><option value="paid_otherwise">We have paid ${customer_name} in another way</option>
    ${offer.accepted_at && html`<option value="undo">Undo it: the money counts for the job again</option>`}</${Field}>`,
  run: ({ decision, reason }) => server.admin.refund_decide({ payment_id: payment.id, refund_id: id, decision, reason, expected_amount: amount }),
  again,
});

/** Send a parked transfer, or a waiting one at once. @param {Transfer} transfer @param {() => void} again reads it after a conflict */
export const release = ({ id, amount, currency, status }, again) => step({
  title: "Release this transfer?", yes: "Release", done: "The transfer is on its way.",
  what: html`<p><span class="amount">${display(amount, currency)}</span> go to the contractor’s account at Stripe${status === "parked" ? ", although it was set aside to be looked at" : " at once, if it can take them"}.</p>`,
  run: ({ reason }) => server.admin.release({ transfer_id: id, reason, expected_amount: amount }),
  again,
});

/** Correct a contractor's wallet. @param {SeenUser} user @param {string} currency the one that is offered first */
export async function adjust({ id, name, payout_currencies }, currency) {
  const meta = await readMeta();
  /** @type {string[]} */
  const currencies = [...new Set([currency, ...payout_currencies, ...meta.money.currencies.map((/** @type {any} */ each) => each.code)])].filter((code) => code in Object.fromEntries(meta.money.currencies.map((/** @type {any} */ each) => [each.code, 1])));
  const Amounts = (/** @type {{form: any}} */ { form }) => {
    const chosen = useSignal(currencies[0]);
    const way = useSignal("add");
    const amount = useSignal(0);
    return html`<${Field} form=${form} name="way" label="What to do" as="select" required onInput=${(/** @type {any} */ { target }) => (way.value = target.value)}>
        <option value="add">Add to the wallet</option><option value="take">Take from the wallet</option></${Field}>
      <${Field} form=${form} name="currency" label="Currency" as="select" required onInput=${(/** @type {any} */ { target }) => (chosen.value = target.value)}>
        ${currencies.map((code) => html`<option key=${code} value=${code}>${code}</option>`)}</${Field}>
      <${MoneyField} form=${form} name="amount" label="Amount" currency=${chosen.value} required
        onInput=${(/** @type {any} */ { target }) => (amount.value = amountOrNull(target.value, chosen.value) ?? 0)} />
      <${Field} form=${form} name="account" label="On account of" as="select" required hint="Where the money comes from, or goes to.">
        <option value="platform">The platform’s earnings</option><option value="losses">The platform’s losses</option></${Field}>
      <${Sums} currency=${chosen.value} rows=${[]} total=${[way.value === "add" ? `From the platform to ${name}` : `From ${name} to the platform`, amount.value]} />`;
  };
  return step({
    title: `Correct the wallet of ${name}?`, yes: "Correct", danger: true, done: `The wallet of ${name} is corrected.`,
    what: html`<p>What is added pays a debt first; the rest is transferred. What is taken and not there becomes a debt. ${name} is told the amount.</p>`,
    fields: (form) => html`<${Amounts} form=${form} />`,
    run: ({ way, currency: code, amount: text, account, reason }) => {
      const amount = amountIn({ amount: text }, "amount", code, { step: limitsOf(meta, code).step });
      if (!amount) throw at("amount", "This must not be zero.");
      return server.admin.adjust({ user_id: id, amount: way === "take" ? -amount : amount, currency: code, account, reason });
    },
  });
}

/** Stop what leaves a contractor's wallet. @param {SeenUser} user */
export const freeze = ({ id, name }) => step({
  title: `Freeze the wallet of ${name}?`, yes: "Freeze", danger: true, done: "The wallet is frozen.",
  what: html`<p>Transfers wait and nothing can be withdrawn until it is unfrozen. They are told by mail. Work and payments go on.</p>`,
  run: ({ reason }) => server.admin.freeze({ user_id: id, reason }),
});

/** @param {SeenUser} user */
export const unfreeze = ({ id, name, frozen_reason }) => step({
  title: `Unfreeze the wallet of ${name}?`, yes: "Unfreeze", done: "The wallet is open again.",
  what: html`<p>It was frozen because: “${frozen_reason}”. Transfers that have waited are sent, and they can withdraw again.</p>`,
  run: ({ reason }) => server.admin.unfreeze({ user_id: id, reason }),
});
