// What each part of the wallet waits for, by job, and what Stripe still wants to know.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../shared/html.js";
import { Icon } from "../shared/icon.js";
import { display } from "../shared/money.js";
import { server } from "../shared/server.js";
import { dayOf } from "../shared/times.js";

/** @typedef {import("../../client/jobsphere.js").WaitingMoney} WaitingMoney */

const PAUSE_MS = 400; // after a push, as one step makes several

/** Null while it is not read. @type {import("@preact/signals").Signal<WaitingMoney[] | null>} */
const all = signal(null);

server.on("end", () => (all.value = null));

/** Whether it was read. */
export const waitingKnown = () => all.value !== null;

async function read() {
  try {
    all.value = (await server.wallet.waiting({})).items;
  } catch {
    all.value ??= []; // the balance says why the wallet cannot be read
  }
}

/** Read it, and again when money has moved. */
export function useWaiting() {
  useEffect(() => {
    let timer = 0;
    read();
    const stops = [server.on("reload", read), server.on("push", ({ namespace, name }) => {
      if (namespace !== "/wallet" && name !== "account.updated" && name !== "chargeback.updated") return;
      clearTimeout(timer);
      timer = window.setTimeout(read, PAUSE_MS);
    })];
    return () => {
      clearTimeout(timer);
      for (const stop of stops) stop();
    };
  }, []);
}

/** @param {WaitingMoney} part */
function reasonOf({ reason, until, why }) {
  if (why) return reason === "setup" ? why : `${why} JobSphere looks at it.`;
  const day = until && (dayOf(until) === "today" ? "today" : `on ${dayOf(until)}`);
  return /** @type {Record<string, string>} */ ({
    setup: "It waits until you have set up payouts.",
    frozen: "Your wallet is frozen. JobSphere has told you why.",
    chargeback: "A customer's bank disputes the payment. It is decided within some weeks.",
    funds: `Stripe has the customer's payment ready ${day || "in some days"} at the earliest.`,
    stripe: "Stripe is moving it. That takes some days at most.",
    administrator: "JobSphere looks at it.",
    bank: "Your bank gets it within some days.",
    step: "It is too little to be moved alone, and goes with what you earn next.",
  })[reason] ?? reason.replaceAll("_", " ");
}

/**
 * What waits of one kind in a currency; nothing while it is not known.
 *
 * @param {{kinds: string[], currency: string, children: any}} props `children` is shown instead of nothing
 */
export function WaitingFor({ kinds, currency, children }) {
  const found = (all.value ?? []).filter((each) => each.currency === currency && kinds.includes(each.kind));
  if (!found.length) return html`<p class="soft small">${children}</p>`;
  const [first] = found;
  const same = found.every((each) => reasonOf(each) === reasonOf(first));
  return html`${same && html`<p class="soft small">${reasonOf(first)}</p>`}
    ${(found.length > 1 || first.job_title) && html`<ul class="wallet-waiting">${found.map((each, at) => html`<li key=${each.id || at}>
      <span class="row spread small"><span class="grow">${each.offer_id ? html`<a href=${`/offers/${each.offer_id}`}>${each.job_title || "A job"}</a>` : "Without a job"}</span>
        <span class="number">${display(each.amount, each.currency)}</span></span>
      ${!same && html`<p class="soft small">${reasonOf(each)}</p>`}</li>`)}</ul>`}`;
}

// -- what Stripe wants -------------------------------------------------------------------------

/** By the ends of Stripe's codes, the first that fits. @type {[RegExp, string][]} */
const WANTED = [
  [/external_account/, "Your bank account"],
  [/tos_acceptance/, "That you agree to Stripe's terms"],
  [/verification\.(additional_)?document|proof_of|documents/, "A picture of an identity document"],
  [/\.(first_name|last_name|full_name)/, "Your name"],
  [/\.dob/, "Your date of birth"],
  [/\.address/, "Your address"],
  [/\.(id_number|ssn_last_4)/, "Your tax or identity number"],
  [/\.(email)/, "Your e-mail address"],
  [/\.(phone)/, "Your phone number"],
  [/business_profile/, "What you do, and where people find it"],
  [/business_type/, "Whether you are a person or a company"],
  [/company|owners|directors|representative/, "About your company and who runs it"],
];

/** Each once, in words. @param {string[]} codes */
export const wantedOf = (codes) => [...new Set(codes.map((code) =>
  WANTED.find(([pattern]) => pattern.test(code))?.[1] ?? code.replaceAll(/[._]/g, " ")))];

/** @param {{of: import("../../client/jobsphere.js").User}} props whose account it is about */
export function Wanted({ of: { payout_requirements: codes = [], payout_past_due: overdue = [], payout_deadline: until } }) {
  if (!codes.length) return null;
  const why = overdue.length ? "Stripe pays out nothing before it knows:" : `Stripe still wants to know${until ? `, until ${dayOf(until)}` : ""}:`;
  return html`<p class="small">${why}</p>
    <ul class="stack small" style=${{ "--gap": "var(--space-1)" }}>${wantedOf(codes).map((text) => html`<li class="row tight" key=${text}><${Icon} name="circle" /><span class="grow">${text}</span></li>`)}</ul>`;
}
