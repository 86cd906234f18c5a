// Why a payment or a payout failed, in words, from Stripe's codes.

const WORDS = /** @type {Record<string, string>} */ ({
  generic_decline: "the bank declined it",
  card_declined: "the bank declined it",
  insufficient_funds: "there is not enough money on the card",
  too_many_attempts: "the card was tried too often; use another one, or wait",
  expired_card: "the card has expired",
  incorrect_cvc: "the security code is wrong",
  processing_error: "the bank could not be reached; try again",
  authentication_required: "the bank wants to ask you first",
  payment_intent_authentication_failure: "the bank's question was not answered",
  account_closed: "the bank account is closed",
  no_account: "there is no such bank account",
  could_not_process: "the bank could not process it",
  debit_not_authorized: "the bank did not allow it",
  lost_or_stolen_card: "the card does not exist any more",
});

/** @param {string | null} code */
export const failureOf = (code) => (code ? WORDS[code] ?? code.replaceAll("_", " ") : "the bank declined it");
