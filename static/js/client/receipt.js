// Receipts: of a payment, for both of its sides, and of a withdrawal. They are made to be printed.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { Sums } from "../shared/money_step.js";
import { Badge, Skeleton, View } from "../shared/pieces.js";
import { me, server } from "../shared/server.js";
import { fullTime } from "../shared/times.js";
import { useRecord } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { failureOf } from "./failures.js";
import { withdrawals } from "./world.js";

/** @param {{title: string, back: any, children: any}} props */
const Paper = ({ title, back, children }) => html`<${View} title=${title} kind="narrow" back=${back}
  actions=${html`<button class="button" type="button" onClick=${() => print()}><${Icon} name="download" />Print or save</button>`}>
  <article class="card stack receipt">${children}</article></${View}>`;

/** @param {{id: string}} props */
export function PaymentReceipt({ id }) {
  const found = useSignal(/** @type {import("../../client/jobsphere.js").Receipt | null} */ (null));
  const problem = useSignal(/** @type {any} */ (null));
  const read = () => server.payment.receipt({ payment_id: id }).then((receipt) => (found.value = receipt), (refused) => (problem.value = refused));
  useEffect(() => {
    read();
  }, [id]);
  const back = { href: `/payments/${id}`, label: "The payment" };
  const receipt = found.value;
  if (!receipt) return html`<${View} title="Receipt" kind="narrow" back=${back}>${problem.value ? html`<${Problem} problem=${problem.value} again=${read} />` : html`<${Skeleton} lines=${8} />`}</${View}>`;
  const { currency, milestones, refunds } = receipt;
  return html`<${Paper} title="Receipt" back=${back}>
    <dl class="facts"><div><dt>Number</dt><dd>${receipt.number}</dd></div>
      <div><dt>Paid</dt><dd>${receipt.paid_at ? fullTime(receipt.paid_at) : "Yes"}</dd></div>
      <div><dt>Customer</dt><dd>${receipt.customer_name}</dd></div><div><dt>Contractor</dt><dd>${receipt.contractor_name}</dd></div></dl>
    <h2>${receipt.job_title}</h2>
    <${Sums} currency=${currency} rows=${[
      ...milestones.map(({ title, amount, status }) => /** @type {[any, number]} */ ([
        html`${title} <span class="soft small">${statusOf("milestone", status).word}</span>`, amount])),
    ]} total=${["Paid by the customer", receipt.paid_amount]} />
    ${(refunds.length > 0 || receipt.charged_back_amount > 0) && html`<h3>What went back</h3><${Sums} currency=${currency} rows=${[
      ...refunds.filter(({ status }) => status !== "failed").map(({ amount, asked_at, status }) => /** @type {[any, number]} */ ([
        `${status === "made" ? "Refunded" : "Being refunded"}, ${fullTime(asked_at)}`, amount])),
      receipt.charged_back_amount > 0 && ["Lost at the bank", receipt.charged_back_amount],
    ]} />`}
    <h3>Who has the rest</h3>
    <${Sums} currency=${currency} rows=${[
      [receipt.contractor_name, receipt.contractor_amount], ["JobSphere, as fees", receipt.platform_amount],
      receipt.escrow_amount > 0 && ["Kept for work that is not approved yet", receipt.escrow_amount],
    ]} total=${["Together", receipt.contractor_amount + receipt.platform_amount + receipt.escrow_amount]} />
  </${Paper}>`;
}

/** @param {{id: string}} props */
export function WithdrawalReceipt({ id }) {
  const { record: withdrawal, problem } = useRecord(withdrawals, id, (withdrawal_id) => server.wallet.withdrawal({ withdrawal_id }));
  const back = { href: "/wallet", label: "Wallet" };
  if (!withdrawal) return html`<${View} title="Withdrawal" kind="narrow" back=${back}>${problem ? html`<${Problem} problem=${problem} />` : html`<${Skeleton} lines=${5} />`}</${View}>`;
  const { status, sent_at, paid_at, failed_at, failure, created_at, currency, amount } = withdrawal;
  const times = /** @type {[string, string | null][]} */ ([
    ["Asked for", created_at], ["Sent to the bank", sent_at], ["Arrived", paid_at], ["Came back", failed_at]]);
  return html`<${Paper} title="Withdrawal" back=${back}>
    <div class="row spread"><h2>To your bank account</h2><${Badge} of=${statusOf("withdrawal", status)} /></div>
    ${failure && html`<p class="note bad"><${Icon} name="circle-alert" />It came back: ${failureOf(failure)}. The money is in your wallet again.</p>`}
    ${withdrawal.unasked && html`<p class="soft">Stripe paid it out by itself: nobody had asked for it here.</p>`}
    <${Sums} currency=${currency} rows=${[]} total=${["Withdrawn", amount]} />
    <dl class="facts"><div><dt>Number</dt><dd>${id.split("_")[1]?.toUpperCase()}</dd></div><div><dt>For</dt><dd>${me.value?.name ?? ""}</dd></div>
      ${times.map(([name, at]) => at && html`<div key=${name}><dt>${name}</dt><dd>${fullTime(at)}</dd></div>`)}</dl>
  </${Paper}>`;
}
