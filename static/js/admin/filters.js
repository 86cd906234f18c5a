// The filters that lists of the back office share.

/** Of lists whose rows have two sides. @type {import("./lists.js").Filter[]} */
export const SIDES = [{ name: "customer_id", label: "Customer id" }, { name: "contractor_id", label: "Contractor id" }];

/** Of lists that begin and end on a day. @type {import("./lists.js").Filter[]} */
export const SPAN = [{ name: "since", label: "From day", type: "date", more: true }, { name: "until", label: "Before day", type: "date", more: true }];

/** Days of filters as times: their beginnings here. @param {Record<string, any>} fields */
export function withTimes(fields) {
  const found = Object.entries(fields).map(([name, value]) => [name, /^\d{4}-\d\d-\d\d$/.test(value) ? new Date(`${value}T00:00`).toISOString() : value]);
  return Object.fromEntries(found);
}
