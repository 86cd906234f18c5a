// Money between people and the wire: exact, by digits; an amount is an integer in minor units.

import { Refusal } from "../../client/jobsphere.js";

/** @type {Record<string, number>} */
const EXPONENTS = { JPY: 0, KRW: 0, BHD: 3, JOD: 3, KWD: 3, OMR: 3, TND: 3 };
const MAX_DIGITS = 8;

export const CURRENCIES = ["USD", "EUR", "JPY", "KWD"];

/** How many decimals a currency has. @param {string} currency */
export function exponent(currency) {
  return EXPONENTS[currency] ?? 2;
}

/** Digits only, for an input: 100000 USD is "1000.00". @param {number} amount @param {string} currency */
export function major(amount, currency) {
  const places = exponent(currency);
  const digits = String(Math.abs(amount)).padStart(places + 1, "0");
  const whole = digits.slice(0, digits.length - places);
  const sign = amount < 0 ? "-" : "";
  return sign + whole + (places ? `.${digits.slice(-places)}` : "");
}

/** For people: "1,000.00 USD". @param {number} amount @param {string} currency */
export function display(amount, currency) {
  const [whole, rest] = major(amount, currency).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${grouped}${rest ? `.${rest}` : ""} ${currency}`;
}

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
