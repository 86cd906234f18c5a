// Amounts as people read them. It needs no other module, so that the first view can use it.

/** @type {Record<string, number>} */
const EXPONENTS = { JPY: 0, KRW: 0, BHD: 3, JOD: 3, KWD: 3, OMR: 3, TND: 3 };
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

/** For people, where the currency stands elsewhere: "1,000.00". @param {number} amount @param {string} currency */
export function grouped(amount, currency) {
  const [whole, rest] = major(amount, currency).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
}

/** For people: "1,000.00 USD". @param {number} amount @param {string} currency */
export const display = (amount, currency) => `${grouped(amount, currency)} ${currency}`;

/** "500.00 to 1,000.00 USD". @param {number} low @param {number} high @param {string} currency */
export const displayRange = (low, high, currency) =>
  low === high ? display(high, currency) : `${grouped(low, currency)} to ${display(high, currency)}`;
