// Saved cards and other ways to pay. They are kept by Stripe, not here.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Problem } from "../shared/listing.js";
import { useMeta } from "../shared/meta.js";
import { ask } from "../shared/money_step.js";
import { Empty, Skeleton, View } from "../shared/pieces.js";
import { go } from "../shared/router.js";
import { server, write } from "../shared/server.js";
import { refuse, say } from "../shared/toasts.js";
import { labelOf, readSaved, saved } from "./methods.js";
import { CANNOT_PAY, cannotPay, stripeKey } from "./payment_setup.js";
import { StripeForm } from "./stripe.js";

const BACK = "/payments/methods";

export function PaymentMethods() {
  const problem = useSignal(/** @type {any} */ (null));
  const secret = useSignal(/** @type {string | null} */ (null));
  const meta = useMeta();
  const key = stripeKey(meta);
  const read = async () => {
    try {
      await readSaved();
      problem.value = null;
    } catch (refused) {
      problem.value = refused;
    }
  };
  useEffect(() => {
    read();
    const back = new URLSearchParams(location.search).get("redirect_status"); // from the bank's page
    if (!back) return;
    if (back === "failed") say("Your bank did not agree: nothing was saved.", { tone: "bad" });
    else say("It is saved.", { tone: "good" });
    go(BACK, { replace: true });
  }, []);
  const add = async () => {
    const { client_secret, refusal } = await write(() => server.payment.setup({}));
    if (client_secret) secret.value = client_secret;
    else if (refusal) say(`Nothing can be saved now. ${refusal} JobSphere knows of it.`, { tone: "bad" });
    else say("Stripe is slow right now: try again in a moment.", { tone: "bad" });
  };
  const stored = async () => {
    secret.value = null;
    say("It is saved.", { tone: "good" });
    await read();
  };
  const content = () => {
    if (problem.value) return html`<${Problem} problem=${problem.value} again=${read} />`;
    if (!saved.value || !meta) return html`<${Skeleton} lines=${4} />`;
    if (!saved.value.length) {
      return html`<${Empty} icon="credit-card" title="Nothing is saved"><p>${key ? "Save a card to make offers faster." : cannotPay(meta) ? CANNOT_PAY : "This server plays with test cards. Choose one when you make an offer."}</p></${Empty}>`;
    }
    return html`<ul class="rows card flush" aria-label="Saved">${saved.value.map((method) => html`<li key=${method.id}><div class="line tall wraps">
      <${Icon} name="credit-card" class="large" /><span class="grow strong">${labelOf(method)}</span>
      ${method.is_default ? html`<span class="badge good"><${Icon} name="check" />Default</span>`
        : html`<button class="button small" type="button" onClick=${() => prefer(method)}>Make default<span class="visually-hidden">: ${labelOf(method)}</span></button>`}
      <button class="button small" type="button" onClick=${() => remove(method)}>Remove<span class="visually-hidden"> ${labelOf(method)}</span></button></div></li>`)}</ul>`;
  };
  return html`<${View} title="Saved cards" kind="narrow" back=${{ href: "/payments", label: "Payments" }}
    actions=${key && !secret.value && html`<button class="button primary" type="button" onClick=${() => add().catch(refuse)}><${Icon} name="plus" />Add</button>`}>
    <div class="stack">
      ${key && secret.value && html`<section class="card stack" aria-labelledby="new"><h2 id="new">A new card or way to pay</h2>
        <${StripeForm} setup stripeKey=${key} secret=${secret.value} yes="Save" back=${BACK} done=${stored} />
        <button class="button quiet" type="button" onClick=${() => (secret.value = null)}>Cancel</button></section>`}
      ${content()}
    </div>
  </${View}>`;
}

/** @param {import("./methods.js").SavedMethod} method */
async function prefer(method) {
  try {
    await write(() => server.payment.default({ method_id: method.id }));
    saved.value = (saved.value ?? []).map((each) => ({ ...each, is_default: each.id === method.id }));
    say("It is proposed first from now on.", { tone: "good" });
  } catch (refused) {
    refuse(refused);
  }
}

/** @param {import("./methods.js").SavedMethod} method */
async function remove(method) {
  const gone = await ask({
    title: "Remove it?", yes: "Remove", danger: true,
    body: () => html`<p>${labelOf(method)} is deleted at Stripe. Money that is held with it stays held, and offers that are paid with it go on.</p>`,
    run: () => write(() => server.payment.detach({ method_id: method.id })),
  });
  if (!gone) return;
  saved.value = (saved.value ?? []).filter(({ id }) => id !== method.id);
  say("It is removed.", { tone: "good" });
}
