// The steps of an administrator about money that cannot be moved from here: he finds out what became of it, and says so.

import { Field } from "../shared/form.js";
import { html } from "../shared/html.js";
import { limitsOf, readMeta } from "../shared/meta.js";
import { display, major } from "../shared/money.js";
import { amountIn, amountOrNull, at, MoneyField } from "../shared/money_step.js";
import { server } from "../shared/server.js";
import { Id } from "./links.js";
import { step } from "./work.js";

/** @typedef {import("../../client/jobsphere.js").SeenUser} SeenUser */
/** @typedef {import("../../client/jobsphere.js").WalletBalances} Balances */
/** @typedef {import("../../client/jobsphere.js").SeenWithdrawal} Withdrawal */
/** @typedef {import("../../client/jobsphere.js").OwnerlessMoney} Ownerless */
/** @typedef {import("../../client/jobsphere.js").ForeignLine} Line */
/** @typedef {import("../../client/jobsphere.js").BookDifference} Difference */

/** Say what became of money on a closed or rejected account. @param {SeenUser} user @param {Balances} balances */
export async function settleStranded({ id, name }, { currency, stranded }) {
  const { step: smallest } = limitsOf(await readMeta(), currency);
  return step({
    title: `Settle what ${name} has on an old account?`, yes: "Settle", danger: true, done: "It is settled.",
    what: html`<p><span class="amount">${display(stranded, currency)}</span> are on an account at Stripe that is closed or rejected. Look it up in Stripe’s dashboard first: what you say here is booked, and ${name} is told.</p>`,
    fields: (form) => html`<${Field} form=${form} name="outcome" label="What became of it" as="select" required>
        <option value="paid_out">Stripe paid it to their bank</option><option value="returned">Stripe gave it back to us, and we transfer it again</option>
        <option value="replaced">It is lost, and we pay it again</option></${Field}>
      <${MoneyField} form=${form} name="amount" label="Amount" currency=${currency} required defaultValue=${major(stranded, currency)} hint=${`At most ${display(stranded, currency)}.`} />`,
    run: (given) => server.admin.stranded_settle({
      user_id: id, currency, reason: given.reason, outcome: given.outcome,
      amount: amountIn(given, "amount", currency, { maximum: stranded, step: smallest }),
    }),
  });
}

/** Say how a withdrawal ended whose account is closed. @param {Withdrawal} withdrawal */
export const endWithdrawal = ({ id, amount, currency }) => step({
  title: "Say how this withdrawal ended?", yes: "End it", danger: true, done: "The withdrawal has ended.",
  what: html`<p><span class="amount">${display(amount, currency)}</span> were under way when the account at Stripe was closed, so Stripe cannot be asked. Its owner is told.</p>`,
  fields: (form) => html`<${Field} form=${form} name="outcome" label="How it ended" as="select" required>
    <option value="paid">The bank has it</option><option value="failed">It came back</option></${Field}>`,
  run: ({ outcome, reason }) => server.admin.withdrawal_end({ withdrawal_id: id, outcome, reason }),
});

// -- people who are gone -------------------------------------------------------------------------

/** Pay the wallet of somebody who is gone to their bank. @param {Ownerless} money */
export async function payOut({ subject, amount: most, currency }) {
  const { step: smallest } = limitsOf(await readMeta(), currency);
  return step({
    title: "Pay it out?", yes: "Pay out", danger: true, done: "It is on its way to their bank.",
    what: html`<p>The bank account that they gave Stripe gets it. They are banned or deleted, so nobody else can ask for it.</p>`,
    fields: (form) => html`<${MoneyField} form=${form} name="amount" label="Amount" currency=${currency} required defaultValue=${major(most, currency)} hint="At most what is available in the wallet." />`,
    run: (given) => server.admin.pay_out({ user_id: subject, currency, reason: given.reason, amount: amountIn(given, "amount", currency, { maximum: most, step: smallest }) }),
  });
}

/** Give up money or a debt of somebody who is gone. @param {Ownerless} money */
export async function writeOff({ subject, kind, amount, currency }) {
  const { step: smallest } = limitsOf(await readMeta(), currency);
  const debt = kind === "debt_closed";
  const most = Math.abs(amount);
  return step({
    title: debt ? "Write off this debt?" : "Write off this money?", yes: "Write off", danger: true, done: "It is written off.",
    what: debt ? html`<p>Nobody will pay it. It becomes a loss of the platform.</p>` : html`<p>It goes back from their account at Stripe to the platform, and is booked against its losses. Their bank does not get it.</p>`,
    fields: (form) => html`<${MoneyField} form=${form} name="amount" label="Amount" currency=${currency} required defaultValue=${major(most, currency)} hint=${`At most ${display(most, currency)}.`} />`,
    run: (given) => server.admin.write_off({
      user_id: subject, currency, reason: given.reason, what: debt ? "debt" : "money",
      amount: amountIn(given, "amount", currency, { maximum: most, ...(!debt && { step: smallest }) }),
    }),
  });
}

/** Say why it stays where it is. @param {Ownerless} money */
export const hold = ({ id, amount, currency }) => step({
  title: "Leave it where it is?", yes: "Hold", done: "The others see why it stays.", reason: "Why it stays",
  what: html`<p><span class="amount">${display(amount, currency)}</span> stay where they are. Nothing moves; the other administrators see your reason.</p>`,
  run: ({ reason }) => server.admin.hold({ ownerless_id: id, reason }),
});

// -- Stripe's books --------------------------------------------------------------------------------

/** Say whose a line is. @param {Line} line */
export const assignLine = ({ id, what, net, currency, line_id }) => step({
  title: "Whose is this line?", yes: "Assign", danger: true, done: "The line is assigned.",
  what: html`<p><code>${line_id}</code> is ${what}: <span class="amount">${display(net, currency)}</span>.</p>`,
  fields: (form) => html`<${Field} form=${form} name="owner" label="It is" as="select" required>
    <option value="not_ours">of other business: nothing is booked</option><option value="platform">the platform’s: booked to its earnings</option>
    <option value="losses">a loss of the platform: booked as one</option></${Field}>`,
  run: ({ owner, reason }) => server.admin.line_assign({ line_id: id, owner, reason }),
});

const ACCOUNTS = "As the journal names it: platform, losses, stripe_fees, world:stripe, world:bank, escrow:ofr_…, wallet:usr_…:available, debt:usr_….";

/** Close a difference, and book what is missing. @param {Difference} difference */
export async function correct({ id, what, subject }) {
  const meta = await readMeta();
  const recount = what === "balance";
  return step({
    title: "Correct this difference?", yes: "Correct", danger: true, done: "It is corrected.",
    what: html`<p>${what} of <${Id} id=${subject} apart />. ${recount ? "Without an amount the balance is counted again from the journal." : "Without an amount nothing is booked, and your reason explains it."} The audit names it no more while its values stay.</p>`,
    fields: (form) => html`<${Field} form=${form} name="amount" label="Amount to book (optional)" inputmode="decimal" />
      <${Field} form=${form} name="currency" label="Currency" as="select">${meta.money.currencies.map((/** @type {any} */ { code }) => html`<option key=${code} value=${code}>${code}</option>`)}</${Field}>
      <${Field} form=${form} name="source" label="From account" maxlength="120" hint=${ACCOUNTS} /><${Field} form=${form} name="destination" label="To account" maxlength="120" />`,
    run: ({ amount: text, currency, source, destination, reason }) => {
      const amount = text ? amountOrNull(text, currency) : 0;
      if (amount === null) throw at("amount", "This is no amount.");
      return server.admin.correct({ difference_id: id, reason, ...(amount > 0 && { amount, currency, source, destination }) });
    },
  });
}
