// Stripe's own form for cards and other ways to pay. Its script comes from Stripe, and only when needed.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { Skeleton } from "../shared/pieces.js";

const SCRIPT = "https://js.stripe.com/v3/";

/** @type {Promise<any> | null} */
let loading = null;

/** @param {string} key the publishable key */
function load(key) {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = SCRIPT;
    script.onload = () => done(/** @type {any} */ (globalThis).Stripe(key));
    script.onerror = () => {
      loading = null;
      script.remove();
      failed(new Error("Stripe cannot be reached. Try again when you are online."));
    };
    document.head.append(script);
  });
  return loading;
}

/** The form in the colours of the page. */
function appearance() {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement("span");
  document.body.append(probe);
  const colour = (/** @type {string} */ name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const variables = {
    colorPrimary: colour("--accent"), colorBackground: colour("--surface"), colorText: colour("--ink"),
    colorTextSecondary: colour("--ink-soft"), colorDanger: colour("--bad"),
    fontFamily: style.getPropertyValue("--font"), borderRadius: "6px",
  };
  probe.remove();
  return { theme: "stripe", variables };
}

/**
 * Stripe's Payment Element for a payment, or for a method that is to be saved (`setup`).
 *
 * @param {{stripeKey: string, secret: string, yes: string, back: string, setup?: boolean, save?: boolean,
 *   done: () => Promise<void>}} props `back` is where a bank's page leads to
 */
export function StripeForm({ stripeKey, secret, yes, back, setup = false, save = false, done }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  const made = useRef(/** @type {any} */ (null));
  const ready = useSignal(false);
  const busy = useSignal(false);
  const problem = useSignal("");
  useEffect(() => {
    let here = true;
    load(stripeKey).then((stripe) => {
      if (!here) return;
      const elements = stripe.elements({ clientSecret: secret, appearance: appearance() });
      const element = elements.create("payment");
      element.on("ready", () => (ready.value = true));
      element.mount(place.current);
      made.current = { stripe, elements, element };
    }, (failure) => (problem.value = failure.message));
    return () => {
      here = false;
      made.current?.element.destroy();
      made.current = null;
    };
  }, [secret]);
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (busy.value || !made.current) return;
    const { stripe, elements } = made.current;
    busy.value = true;
    problem.value = "";
    const confirmParams = { return_url: new URL(back, location.origin).href, ...(save && { setup_future_usage: "off_session" }) };
    try {
      const { error } = await stripe[setup ? "confirmSetup" : "confirmPayment"]({ elements, confirmParams, redirect: "if_required" });
      if (error) problem.value = error.message;
      else await done();
    } catch (failure) {
      problem.value = /** @type {any} */ (failure).message;
    }
    busy.value = false;
  };
  return html`<form class="stack" onSubmit=${submit}>
    ${!ready.value && !problem.value && html`<${Skeleton} lines=${4} />`}
    <div ref=${place}></div>
    ${problem.value && html`<p class="note bad" role="alert"><${Icon} name="circle-alert" />${problem.value}</p>`}
    ${ready.value && html`<div class="row end"><button class="button primary" aria-busy=${busy.value ? "true" : undefined}>
      ${busy.value && html`<${Icon} name="loader-circle" />`}${yes}</button></div>`}
  </form>`;
}
