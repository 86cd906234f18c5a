// Pieces that both sides' views are made of.

import { CURRENCIES, display } from "./money.js";
import { attachments } from "./files.js";
import { cursorName } from "./lists.js";
import { el } from "./dom.js";
import { state } from "./state.js";

const WORDS = {
  in_progress: "In progress",
  awaiting_payment: "Awaiting payment",
  accepting: "Being accepted",
  requires_payment: "Payment needed",
  partially_refunded: "Partly refunded",
  in_transit: "On its way",
  authorized: "Held",
  capturing: "Being captured",
  blocked: "Closed",
};
const TONES = {
  good: ["accepted", "assigned", "completed", "captured", "paid", "delivered"],
  busy: ["open", "in_progress", "accepting", "authorized", "capturing", "in_transit", "requested"],
  wait: ["pending", "awaiting_payment", "requires_payment"],
};

export function words(status) {
  const plain = status.replaceAll("_", " ");
  return WORDS[status] ?? plain.charAt(0).toUpperCase() + plain.slice(1);
}

export function badge(status, label = words(status)) {
  const tone = Object.keys(TONES).find((name) => TONES[name].includes(status)) ?? "over";
  return el(`span.badge.${tone}`, {}, label);
}

export function jobBadge(job) {
  const delivered = job.status === "in_progress" && job.delivered_at;
  return delivered ? badge("delivered") : badge(job.status);
}

export function amount(value, currency) {
  return el("span.amount", {}, display(value, currency));
}

export function when(at) {
  const options = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return el("time", { datetime: at }, new Date(at).toLocaleString(undefined, options));
}

export function days(number) {
  return `${number} ${number === 1 ? "day" : "days"}`;
}

export function button(label, action, id = "", tone = "") {
  const busy = state.busy.has(`${action}:${id}`);
  const kind = tone ? `button.${tone}` : "button";
  return el(kind, { type: "button", "data-action": action, "data-id": id, disabled: busy }, label);
}

/** A form that runs `action`; its key keeps what is being typed where it belongs. */
export function form(action, id, label, ...fields) {
  const busy = state.busy.has(`${action}:${id}`);
  return el(
    "form", { "data-action": action, "data-id": id, "data-key": `${action}:${id}` },
    ...fields, el("button.primary", { disabled: busy }, busy ? "One moment…" : label),
  );
}

export function field(label, name, attributes = {}, tag = "input") {
  const { hint, ...rest } = attributes;
  return el(
    "label.field", {},
    el("span", {}, label), el(tag, { name, required: true, ...rest }), hint && el("small", {}, hint),
  );
}

export function choice(label, name, options, chosen = null) {
  const shown = options.map(([value, text]) =>
    el("option", { value, selected: value === chosen }, text));
  return el("label.field", {}, el("span", {}, label), el("select", { name }, ...shown));
}

export function currencyChoice() {
  const codes = [...new Set([state.currency, ...CURRENCIES])];
  return choice("Currency", "currency", codes.map((code) => [code, code]), state.currency);
}

/** Something that is done on second thought only. */
export function folded(summary, key, ...children) {
  return el("details.folded", { "data-key": key }, el("summary", {}, summary), ...children);
}

/** Small facts in a row. */
export function meta(...facts) {
  const shown = facts.filter((fact) => fact != null && fact !== false);
  return el("p.meta", {}, shown.map((fact) => el("span", {}, fact)));
}

export function empty(text) {
  return el("p.empty", {}, text);
}

export function section(title, ...children) {
  return el("section", { "data-key": `section:${title}` }, el("h2", {}, title), ...children);
}

export function more(list, fields = {}) {
  const known = state.cursors[cursorName(list, fields)];
  return known ? button("Show more", "more", JSON.stringify([list, fields]), "quiet") : null;
}

export function budget(job) {
  const { budget_min_amount: low, budget_max_amount: high, currency } = job;
  if (low === high) return amount(high, currency);
  return el("span.amount", {}, `${display(low, currency).replace(` ${currency}`, "")} – ${display(high, currency)}`);
}

export function jobCard(job, ...extra) {
  return el(
    "a.card.job", { href: `#/job/${job.id}`, "data-key": job.id },
    el("div.row", {}, el("h3", {}, job.title), jobBadge(job)),
    meta(budget(job), job.category, job.location?.label || null, when(job.created_at)),
    ...extra,
  );
}

const STEPS = ["open", "assigned", "in_progress", "delivered", "completed"];
const STEP_NAMES = ["Posted", "Assigned", "Started", "Delivered", "Completed"];

export function steps(job) {
  if (job.status === "cancelled") return null;
  const delivered = job.status === "in_progress" && job.delivered_at;
  const now = STEPS.indexOf(delivered ? "delivered" : job.status);
  return el(
    "ol.steps", { "aria-label": "Progress" },
    STEP_NAMES.map((name, place) =>
      el("li", { class: place <= now ? "done" : null, "aria-current": place === now ? "step" : null }, name)),
  );
}

export function jobHead(job) {
  return el(
    "header.card", { "data-key": `head:${job.id}` },
    el("div.row", {}, el("h1", {}, job.title), jobBadge(job)),
    meta(budget(job), job.category, job.location?.label || null,
      `by ${job.customer_name}`, when(job.created_at)),
    el("p.text", {}, job.description),
    job.skills.length > 0 && el("p.tags", {}, job.skills.map((skill) => el("span", {}, skill))),
    steps(job),
    job.delivery_note && el("blockquote", {}, el("strong", {}, "Delivered: "), job.delivery_note),
    attachments(job.delivery_files),
  );
}

export function history(offer) {
  return folded(
    "History", `history:${offer.id}`,
    el("ol.history", {}, offer.history.map((step) => el("li", {}, words(step.status), when(step.at)))),
  );
}
