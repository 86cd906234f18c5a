// What a payment needs after it was made or tried: the bank's page, Stripe's form, or nothing.

import { go } from "../shared/router.js";
import { say } from "../shared/toasts.js";
import { failureOf } from "./failures.js";

/**
 * Lead the person on. Returns whether the payment can go on or is done; false if it failed.
 *
 * @param {import("../../client/jobsphere.js").PaymentSheet} sheet
 * @param {string} offer_id
 * @param {{save?: boolean}} [options] `save` keeps the method for later offers
 */
export function follow({ id, status, redirect_url, failure, processing_since }, offer_id, { save = false } = {}) {
  if (status === "failed" || (failure && status !== "requires_payment")) {
    say(`The payment did not go through: ${failureOf(failure)}.`, { tone: "bad" });
    return false;
  }
  if (processing_since) {
    say("Your bank is working on the payment. You need not do anything.");
    go(`/offers/${offer_id}`, { replace: true });
  } else if (status === "requires_payment" && redirect_url) location.assign(redirect_url);
  else if (status === "requires_payment") go(`/payments/${id}${save ? "?save=1" : ""}`, { replace: true });
  else {
    if (status === "canceled") say("The payment was cancelled.", { tone: "bad" });
    else say(status === "captured" ? "The offer is paid, and out." : "The money is held, and the offer is out.", { tone: "good" });
    go(`/offers/${offer_id}`, { replace: true });
  }
  return true;
}
