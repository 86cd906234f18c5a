// Payments with Stripe's ids, to look them up there.

import { amount, badge, choice, field, meta, when, words } from "../parts.js";
import { el } from "../dom.js";
import { listing } from "./listing.js";

const STATUSES = [
  "requires_payment", "authorized", "capturing", "captured", "partially_refunded", "refunded",
  "canceled", "failed",
];
const PARTS = [["captured_amount", "captured"], ["refunded_amount", "refunded"], ["disputed_amount", "disputed"]];

export const payments = listing({
  name: "payments",
  label: "Payments",
  filters: () => [
    choice("Status", "status", [["", "Any status"], ...STATUSES.map((status) => [status, words(status)])]),
    field("Customer's id", "customer_id", { required: false, maxlength: 64 }),
    field("Contractor's id", "contractor_id", { required: false, maxlength: 64 }),
  ],
  row: (payment) => el(
    "li.record", { "data-key": payment.id },
    el("div.row", {}, amount(payment.amount, payment.currency), badge(payment.status)),
    meta(...PARTS.map(([part, label]) => payment[part] > 0 &&
      el("span", {}, `${label} `, amount(payment[part], payment.currency))),
    payment.failure?.replaceAll("_", " "), when(payment.created_at)),
    meta(...["id", "offer_id", "customer_id", "contractor_id", "intent_id", "charge_id"]
      .filter((name) => payment[name]).map((name) => el("code", {}, payment[name]))),
  ),
});
