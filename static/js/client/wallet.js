// The wallet: what is there and what each part waits for, how it came about, and taking it to the bank.

import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { open, DialogHeader } from "../shared/dialog.js";
import { Field, Submit, useForm } from "../shared/form.js";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Listing, Problem } from "../shared/listing.js";
import { limitsOf, readMeta } from "../shared/meta.js";
import { display, major } from "../shared/money.js";
import { amountIn, ask, MoneyField, Sums } from "../shared/money_step.js";
import { Ago, Badge, Empty, Skeleton, View } from "../shared/pieces.js";
import { go, place } from "../shared/router.js";
import { me, putMe, server, write } from "../shared/server.js";
import { withStepUp } from "../shared/steps.js";
import { refuse, say } from "../shared/toasts.js";
import { Records } from "../shared/records.js";
import { useList, useReady } from "../shared/use.js";
import { statusOf } from "../shared/words.js";
import { failureOf } from "./failures.js";
import { WaitingFor, Wanted, useWaiting, waitingKnown } from "./wallet_waiting.js";
import { mainCurrency, offers, putWallet, wallets, withdrawals } from "./world.js";

/** @typedef {import("../../client/jobsphere.js").Transaction} Transaction */
/** @typedef {import("../../client/jobsphere.js").WalletBalances} Balances */

/** The currencies of the person's wallets, the main one first. */
const currencies = signal(/** @type {string[]} */ ([]));
const transactions = new Records();

server.on("end", () => {
  transactions.clear();
  currencies.value = [];
});

async function readWallets() {
  const { others, ...main } = await server.wallet.balance({});
  [main, ...others].forEach(putWallet);
  mainCurrency.value = main.currency;
  currencies.value = [main, ...others].map(({ currency }) => currency);
}

export function Wallet() {
  useWaiting();
  const problem = useSignal(/** @type {any} */ (null));
  const load = () => readWallets().then(() => (problem.value = null), (refused) => (problem.value = refused));
  useEffect(() => {
    if (me.value?.role === "customer") go("/payments", { replace: true });
    else load();
    return server.on("reload", load);
  }, []);
  const offer_id = place.value.query.get("offer");
  const history = useReady(useList(transactions, { read: (cursor) => readHistory(cursor, offer_id) }, [offer_id]));
  const own = currencies.value.map((currency) => wallets.of(currency).value).filter(Boolean);
  const paid = useList(withdrawals, { read: (cursor) => server.wallet.withdrawals({ cursor, limit: 10 }), fits: () => true }, []);
  const known = [history, paid].every(({ state, problem }) => state.value === "ready" || problem.value);
  const settled = own.length > 0 && waitingKnown() && known;
  const content = () => {
    if (problem.value) return html`<${Problem} problem=${problem.value} again=${load} />`;
    if (!settled) return html`<${Skeleton} lines=${8} />`;
    return html`<div class="columns">
      <div class="stack" style=${{ "--gap": "var(--space-5)" }}>
        ${own.map((wallet) => html`<${Purse} key=${wallet.currency} wallet=${wallet} several=${own.length > 1} />`)}
        <${History} list=${history} offer_id=${offer_id} />
      </div>
      <aside class="stack"><${Payouts} /><${Withdrawals} list=${paid} /><${Statements} /></aside>
    </div>`;
  };
  return html`<${View} title="Wallet">${content()}</${View}>`;
}

// -- what is there -----------------------------------------------------------------------------

/** @param {{wallet: Balances, several: boolean}} props */
function Purse({ wallet, several }) {
  const { currency, available, pending, held, in_transit, stranded = 0, debt } = wallet;
  const parts = [
    pending > 0 && { name: "On its way to you", amount: pending, why: html`<${WaitingFor} kinds=${["transfer", "remainder"]} currency=${currency}>Stripe is moving it to you. That takes some days at most.</${WaitingFor}>` },
    held > 0 && { name: "Held back", amount: held, why: html`<${WaitingFor} kinds=${["held"]} currency=${currency}>A customer's bank disputes a payment. It is decided within some weeks.</${WaitingFor}>` },
    in_transit > 0 && { name: "On its way to your bank", amount: in_transit, why: html`<p class="soft small">You have withdrawn it. Banks take some days.</p>` },
    stranded > 0 && { name: "On an old account at Stripe", amount: stranded, why: html`<p class="soft small">Stripe has closed or rejected that account, so it cannot be withdrawn. JobSphere finds out what became of it, and tells you.</p>` },
    debt < 0 && { name: "You owe", amount: -debt, why: html`<p class="soft small">More was taken back than was here. What you earn next pays this first.</p>` },
  ].filter((part) => part !== false);
  return html`<section class="card stack" aria-label=${`Wallet in ${currency}`}>
    <div class="row spread"><div><p class="soft">Available${several ? ` in ${currency}` : ""}</p><p class="amount big">${display(available, currency)}</p></div>
      ${available > 0 && me.value?.payouts_enabled && !me.value.frozen_at && html`<button class="button primary" type="button" onClick=${() => withdraw(currency).catch(refuse)}>
        <${Icon} name="landmark" />Withdraw</button>`}</div>
    ${parts.length > 0 && html`<ul class="wallet-parts">${parts.map(({ name, amount, why }) => html`<li key=${name}>
      <div class="row spread"><span class="strong">${name}</span><span class="amount">${display(amount, currency)}</span></div>
      ${why}</li>`)}</ul>`}
  </section>`;
}

// -- payouts -----------------------------------------------------------------------------------

function Payouts() {
  const user = me.value;
  if (!user || user.payouts_enabled === undefined) return null;
  if (user.frozen_at) {
    return html`<section class="card stack warn" aria-labelledby="payouts"><h2 id="payouts">Your wallet is frozen</h2>
      <p>Nothing can be withdrawn until JobSphere frees it. Your notifications say why.</p></section>`;
  }
  if (user.payout_setup === "rejected") {
    return html`<section class="card stack warn" aria-labelledby="payouts"><h2 id="payouts">Stripe has rejected your account</h2>
      <p>It pays out nothing to it any more, and that is final. Please get in touch with JobSphere, which sees to what you have earned.</p></section>`;
  }
  if (user.payouts_enabled) {
    const codes = user.payout_currencies.join(", ");
    return html`<section class="card stack" aria-labelledby="payouts"><div class="row spread"><h2 id="payouts">Payouts</h2>
      <${Badge} of=${user.payout_requirements?.length ? { word: "Stripe has questions", icon: "circle-alert", tone: "wait" } : { word: "Ready", icon: "circle-check", tone: "good" }} /></div>
      <p class="soft small">${codes ? `Your bank account takes ${codes}.` : "Your bank account is set up."}</p>
      <${Wanted} of=${user} />
      <div class="row"><button class="button small" type="button" onClick=${() => onboard().catch(refuse)}>Change at Stripe<${Icon} name="external-link" /></button></div></section>`;
  }
  if (user.payout_setup === "waiting") {
    return html`<section class="card stack" aria-labelledby="payouts"><div class="row spread"><h2 id="payouts">Payouts</h2>
      <${Badge} of=${{ word: "Being checked", icon: "hourglass", tone: "wait" }} /></div>
      <p>Stripe has all it asked for, and checks it. That takes some minutes, at times some days. You hear of it.</p>
      <div class="row"><button class="button small" type="button" onClick=${() => readState().catch(refuse)}><${Icon} name="refresh-cw" />Look again</button></div></section>`;
  }
  const begun = user.payout_setup === "started";
  return html`<section class="card stack act" aria-labelledby="payouts"><h2 id="payouts">${begun ? "Finish setting up payouts" : "Set up payouts"}</h2>
    ${user.payout_refusal && html`<p class="note bad"><${Icon} name="circle-alert" />Stripe refused it. ${user.payout_refusal} JobSphere knows of it; you can try again.</p>`}
    ${begun ? html`<${Wanted} of=${user} />`
      : html`<p>To be paid, tell Stripe who you are and where your bank account is. What you earn before that waits here for you.</p>`}
    <div class="row"><button class="button primary" type="button" onClick=${() => (begun ? onboard() : setUp()).catch(refuse)}>${begun ? "Go on at Stripe" : "Set up at Stripe"}<${Icon} name="external-link" /></button></div></section>`;
}

/** @param {string | null} [country] */
async function onboard(country) {
  const { url, refusal } = await withStepUp(() => write(() => server.account.onboard(/** @type {any} */ (country ? { country } : {}))));
  if (url) location.assign(url);
  else if (refusal) say(`Payouts could not be set up. ${refusal}`, { tone: "bad" });
  else say("Stripe is slow right now: try again in a moment.", { tone: "bad" });
}

/** Ask for the country of the bank account, which cannot be changed later. */
async function setUp() {
  const meta = await readMeta();
  const names = new Intl.DisplayNames(undefined, { type: "region" });
  const codes = (Array.isArray(meta.countries) ? meta.countries : Object.keys(meta.countries))
    .map((/** @type {string} */ code) => ({ code, name: names.of(code) ?? code }))
    .sort((/** @type {any} */ one, /** @type {any} */ other) => one.name.localeCompare(other.name));
  const guess = new Intl.Locale(navigator.language).maximize().region;
  const Question = (/** @type {{close: (answer?: any) => void}} */ { close }) => {
    const form = useForm(async ({ country }) => close(country));
    return html`<form onSubmit=${form.submit}><${DialogHeader} title="Where is your bank account?" close=${close} />
      <div class="body"><${Field} form=${form} name="country" label="Country" as="select" required hint="It cannot be changed later.">
        ${codes.map((/** @type {any} */ { code, name }) => html`<option value=${code} selected=${code === guess}>${name}</option>`)}</${Field}></div>
      <footer><button type="button" class="button" onClick=${() => close(undefined)}>Cancel</button><${Submit} form=${form}>Go to Stripe</${Submit}></footer></form>`;
  };
  const country = await open(Question);
  if (country) await onboard(country);
}

/** Read from Stripe how far payouts are set up. */
async function readState() {
  putMe(await server.account.payout_state({}));
}

/** Back from Stripe's pages. @param {{how: string}} props */
export function Onboarding({ how }) {
  useEffect(() => {
    if (how === "done") say("Thank you. Payouts are ready as soon as Stripe says so.", { tone: "good" });
    else say("That link was used up: ask for a new one.", { tone: "bad" });
    readState().catch(() => {}); // it is pushed, too
    go("/wallet", { replace: true });
  }, []);
  return html`<${View} title="Wallet"><${Skeleton} lines=${4} /></${View}>`;
}

/** @param {string} currency */
async function withdraw(currency) {
  const meta = await readMeta();
  const { step, minimum_withdrawal: least } = limitsOf(meta, currency);
  const available = () => wallets.of(currency).value?.available ?? 0;
  const Body = (/** @type {{form: any}} */ { form }) => {
    const most = available() - (available() % step);
    const text = useSignal(major(most, currency));
    let amount = 0;
    try {
      amount = amountIn({ amount: text.value }, "amount", currency, { maximum: most, step });
    } catch { /* it is said when it is sent */ }
    return html`<${MoneyField} form=${form} name="amount" label="Amount" currency=${currency} required autofocus value=${text.value}
        onInput=${(/** @type {any} */ { target }) => (text.value = target.value)} hint=${`Up to ${display(most, currency)}.${least ? ` ${display(least, currency)} or more, or all of it.` : ""}`} />
      <${Sums} currency=${currency} total=${["Stays in your wallet", available() - amount]} rows=${[["Goes to your bank account", amount]]} />
      <p class="soft small">There is no fee. Banks take some days.</p>`;
  };
  const sent = await ask({
    title: "Withdraw to your bank", yes: "Withdraw", body: Body,
    run: async (fields) => {
      const amount = amountIn(fields, "amount", currency, { maximum: available(), step });
      return withStepUp(() => write(() => server.wallet.withdraw({ amount, currency })));
    },
  });
  if (!sent) return;
  withdrawals.put(sent);
  say(`${display(sent.amount, currency)} are on their way to your bank.`, { tone: "good" });
}

/** @param {{list: import("../shared/records.js").RecordList}} props */
function Withdrawals({ list }) {
  if (list.state.value === "ready" && !list.ids.value.length) return null;
  return html`<section class="card flush" aria-labelledby="withdrawals"><h2 id="withdrawals" class="in-card">Withdrawals</h2>
    <div class="inside"><${Listing} list=${list} label="Withdrawals" kind="rows" empty=${null} row=${(/** @type {any} */ each) => html`<a class="line tall wraps" href=${`/wallet/withdrawals/${each.id}`}>
      <span class="grow"><span class="amount">${display(each.amount, each.currency)}</span><br /><span class="soft small"><${Ago} at=${each.created_at} />
        ${each.unasked && ": paid out by Stripe itself"}${each.failure && `: ${failureOf(each.failure)}`}</span></span><${Badge} of=${statusOf("withdrawal", each.status)} /></a>`} /></div></section>`;
}

// -- how it came about -------------------------------------------------------------------------

const KINDS = /** @type {Record<string, string>} */ ({
  accepted: "Offer accepted", completed: "Work approved", resolved: "Dispute ended", transfer_settled: "Became available",
  transfer_returned: "Taken back", withdrawn: "Withdrawn", paid_out: "Arrived at your bank", payout_failed: "Withdrawal came back",
  debt_repaid: "What you owed was paid", refunded: "Refunded to the customer", refund_failed: "A refund came back",
  refund_reserved: "Set aside for a refund", refund_released: "A refund was not made",
  chargeback_opened: "Disputed at the bank", chargeback_held: "Held for a dispute at the bank", chargeback_freed: "Free of a dispute again", chargeback_won: "Free of a dispute again", chargeback_lost: "Lost at the bank", chargeback_undone: "The bank gave it back",
  adjusted: "Corrected by JobSphere", remainder_given_up: "Too little to be paid out", corrected: "Corrected by JobSphere", written_off: "Written off by JobSphere",
  stranded: "Left on an old account at Stripe", unstranded: "Your account at Stripe works again",
  stranded_paid_out: "Stripe paid it out", stranded_returned: "Came back from an old account", stranded_replaced: "Paid again by JobSphere",
});

/** What a transaction moved in or out of one's own accounts, and between them. @param {Transaction} transaction */
function effectOf({ postings }) {
  const id = me.value?.id;
  const own = (/** @type {string} */ account) => account.startsWith(`wallet:${id}:`) || account === `debt:${id}`;
  let [sum, moved] = [0, 0];
  for (const { source, destination, amount } of postings) {
    if (own(destination) && own(source)) moved += amount;
    else sum += (own(destination) ? amount : 0) - (own(source) ? amount : 0);
  }
  return { sum, moved };
}

/** @param {Transaction} transaction */
const titleOf = ({ offer_id }) => (offer_id ? offers.of(offer_id).value?.job_title : null);

/** The offers whose titles were asked for. */
const asked = new Set();

/**
 * A page of the history, of one offer if it is given, with the offers whose titles it shows.
 *
 * @param {string | undefined} cursor
 * @param {string | null} only
 */
async function readHistory(cursor, only) {
  const page = await server.wallet.history({ cursor, limit: 30, ...(only && { offer_id: only }) });
  const missing = new Set(page.items.map(({ offer_id }) => offer_id).filter((id) => id && !offers.peek(id) && !asked.has(id)));
  await Promise.all([...missing].map((offer_id) => {
    asked.add(offer_id);
    return server.bidding.get({ offer_id: /** @type {string} */ (offer_id) }).then((offer) => offers.put(offer), () => {});
  }));
  return page;
}

/** @param {{list: import("../shared/records.js").RecordList, offer_id: string | null}} props */
function History({ list, offer_id }) {
  const byJob = place.value.query.get("history") === "jobs";
  const version = currencies.value.map((currency) => wallets.of(currency).value?.version ?? 0).join();
  useEffect(() => {
    if (list.state.peek() === "ready") list.load(); // the balance has changed
  }, [version]);
  return html`<section class="stack" aria-labelledby="history">
    <div class="row spread"><h2 id="history">History</h2>
      <nav class="segments" aria-label="History"><a href="/wallet" aria-current=${byJob ? undefined : "true"}>By time</a>
        <a href="/wallet?history=jobs" aria-current=${byJob ? "true" : undefined}>By job</a></nav></div>
    ${offer_id && html`<div class="row tight"><a class="chip" href="/wallet?history=jobs"><${Icon} name="briefcase" />
      <span>${offers.of(offer_id).value?.job_title ?? "One job"}</span><${Icon} name="x" /><span class="visually-hidden">Show all</span></a>
      <a class="button small" href=${`/offers/${offer_id}`}>The offer</a></div>`}
    ${byJob ? html`<${ByJob} version=${version} />`
      : html`<${Listing} list=${list} label="History" row=${(/** @type {Transaction} */ each) => html`<${TransactionLine} transaction=${each} />`}
        empty=${html`<${Empty} icon="wallet" title="Nothing has moved yet"><p>When work is approved, your part arrives here.</p></${Empty}>`} />`}
  </section>`;
}

/** @param {{transaction: Transaction}} props */
function TransactionLine({ transaction }) {
  const { currency, kind, offer_id, created_at } = transaction;
  const { sum, moved } = effectOf(transaction);
  const title = titleOf(transaction);
  const content = html`<span class="grow"><span class="strong">${KINDS[kind] ?? kind.replaceAll("_", " ")}</span><br />
      <span class="soft small"><${Ago} at=${created_at} />${title && ` · ${title}`}</span></span>
    <span class=${`amount ${sum > 0 ? "plus" : sum < 0 ? "" : "soft"}`}>${sum > 0 ? "+" : ""}${display(sum || moved, currency)}</span>`;
  return offer_id ? html`<a class="line tall" href=${`/offers/${offer_id}`}>${content}</a>` : html`<div class="line tall">${content}</div>`;
}

/** What each job moved, read again when the balance has changed. @param {{version: string}} props */
function ByJob({ version }) {
  const all = useSignal(/** @type {import("../../client/jobsphere.js").JobTotals[] | null} */ (null));
  const problem = useSignal(/** @type {any} */ (null));
  const read = () => server.wallet.by_job({}).then(({ items }) => {
    all.value = items;
    problem.value = null;
  }, (refused) => (problem.value = refused));
  useEffect(() => {
    read();
  }, [version]);
  if (problem.value) return html`<${Problem} problem=${problem.value} again=${read} />`;
  if (!all.value) return html`<${Skeleton} lines=${4} />`;
  if (!all.value.length) return html`<${Empty} icon="wallet" title="Nothing has moved yet" />`;
  return html`<ul class="rows card flush" aria-label="History by job">${all.value.map(({ offer_id, job_title, currency, in_amount, out_amount, count, last_at }) => {
    const sum = in_amount - out_amount;
    return html`<li key=${`${offer_id}.${currency}`}><a class="line tall" href=${`/wallet?offer=${offer_id}`}>
      <span class="grow"><span class="strong">${job_title}</span><br /><span class="soft small"><${Ago} at=${last_at} /> · ${count} ${count === 1 ? "movement" : "movements"}</span></span>
      <span class=${`amount ${sum > 0 ? "plus" : ""}`}>${sum > 0 ? "+" : ""}${display(sum, currency)}</span></a></li>`;
  })}</ul>`;
}

// -- statements --------------------------------------------------------------------------------

const DAY_MS = 24 * 60 * 60 * 1_000;
const dayText = (/** @type {Date} */ date) => date.toISOString().slice(0, 10);

/** From the first of these days to the end of the last, in UTC. @param {string} from @param {string} to */
const span = (from, to) => ({ start: `${from}T00:00:00Z`, end: `${dayText(new Date(Date.parse(to) + DAY_MS))}T00:00:00Z` });

function Statements() {
  const shown = useSignal(/** @type {any} */ (null));
  const today = new Date();
  const fieldsOf = (/** @type {any} */ { from, to, currency }) => ({ ...span(from, to), currency: currency ?? currencies.value[0] });
  const form = useForm(async (fields) => {
    shown.value = await server.wallet.statement(fieldsOf(fields));
  });
  const csv = async (/** @type {any} */ { target }) => {
    const element = target.closest("form");
    if (!element.reportValidity()) return;
    try {
      const { name, blob } = await server.wallet.statement_csv(fieldsOf(Object.fromEntries(new FormData(element))));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (refused) {
      refuse(refused);
    }
  };
  return html`<section class="card stack" aria-labelledby="statement"><h2 id="statement">Statement</h2>
    <form class="stack" onSubmit=${form.submit}>
      <div class="fields narrow">
        <${Field} form=${form} name="from" label="From" type="date" required value=${dayText(new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), 1)))} />
        <${Field} form=${form} name="to" label="To" type="date" required value=${dayText(today)} /></div>
      ${currencies.value.length > 1 && html`<${Field} form=${form} name="currency" label="Currency" as="select">
        ${currencies.value.map((currency) => html`<option>${currency}</option>`)}</${Field}>`}
      <div class="row"><${Submit} form=${form} class="">Show</${Submit}>
        <button class="button" type="button" onClick=${csv}><${Icon} name="download" />CSV</button></div>
    </form>
    ${shown.value && html`<${Statement} statement=${shown.value} />`}</section>`;
}

/** @param {{statement: import("../../client/jobsphere.js").AccountStatement}} props */
function Statement({ statement: { currency, opening, closing, lines } }) {
  const came = lines.filter(({ in_amount, out_amount }) => in_amount !== out_amount);
  return html`<div aria-live="polite"><${Sums} currency=${currency} total=${["At the end", closing.amount]} rows=${[
    ["At the start", opening.amount],
    ...came.map(({ kind, count, in_amount, out_amount }) => /** @type {[any, number]} */ (
      [`${KINDS[kind] ?? kind.replaceAll("_", " ")}${count > 1 ? ` (${count})` : ""}`, in_amount - out_amount])),
  ]} /></div>`;
}
