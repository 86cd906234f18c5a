// Money between people and the wire: exact, by digits; an amount is an integer in minor units.

import { Refusal } from "../../client/jobsphere.js";
import { display, exponent } from "./amounts.js";

export { display, displayRange, exponent, grouped, major } from "./amounts.js";

const MAX_DIGITS = 8;

export const CURRENCIES = ["USD", "EUR", "JPY", "KWD"];

/**
 * "1,000.50" in USD is 100050. Throws a Refusal that says what would be accepted.
 *
 * @param {string} text
 * @param {string} currency
 */
export function minor(text, currency) {
  const places = exponent(currency);
  const plain = text.trim();
  const grouped = /^\d{1,3}(,\d{3})+(\.\d*)?$/.test(plain);
  const found = /^(\d+)(?:\.(\d*))?$/.exec(grouped ? plain.replaceAll(",", "") : plain);
  if (!found) throw refused(`Write the amount as in ${display(123400, currency)}.`);
  const [, whole, rest = ""] = found;
  const kept = rest.replace(/0+$/, "");
  if (kept.length > places) {
    throw refused(`${currency} has ${places ? `${places} decimals` : "no decimals"}.`);
  }
  const digits = (whole + kept.padEnd(places, "0")).replace(/^0+(?=\d)/, "");
  if (digits.length > MAX_DIGITS) throw refused("This amount is too large.");
  return Number(digits);
}

/** @param {string} message */
function refused(message) {
  return new Refusal({ code: "invalid", message });
}
