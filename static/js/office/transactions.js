// The journal: every movement of money with its accounts.

import { amount, field, meta, when, words } from "../parts.js";
import { el } from "../dom.js";
import { listing } from "./listing.js";

export const transactions = listing({
  name: "transactions",
  label: "Transactions",
  filters: () => [
    field("User's id", "user_id", { required: false, maxlength: 64 }),
    field("Offer's id", "offer_id", { required: false, maxlength: 64 }),
    field("Kind", "kind", { required: false, maxlength: 40, placeholder: "captured" }),
    field("Fact", "fact", { required: false, maxlength: 200, placeholder: "capture:pay_…" }),
  ],
  row: (transaction) => el(
    "li.record", { "data-key": transaction.id },
    el("div.row", {}, el("strong", {}, words(transaction.kind)), when(transaction.created_at)),
    el("ol.postings", {}, transaction.postings.map((posting) => el(
      "li", {}, el("code", {}, posting.source), " → ", el("code", {}, posting.destination), " ",
      amount(posting.amount, transaction.currency),
    ))),
    meta(el("code", {}, transaction.fact), transaction.offer_id && el("code", {}, transaction.offer_id)),
  ),
});
