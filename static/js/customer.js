// The customer's side: posting jobs, choosing among applicants, offers and their payments.

import { all, notify, put, state } from "./state.js";
import {
  amount, badge, button, choice, currencyChoice, days, empty, field, folded, form, history,
  jobCard, jobHead, meta, more, section, when,
} from "./parts.js";
import { display, major, minor } from "./money.js";
import { api } from "./api.js";
import { el } from "./dom.js";
import { load } from "./lists.js";

const CARDS = [
  ["pm_card_visa", "Visa •••• 4242"],
  ["pm_card_authenticationRequired", "Visa with 3-D Secure •••• 3184"],
  ["pm_card_chargeDeclined", "Declined card •••• 0002"],
];
const CANCELLABLE = ["open", "assigned"];
const STANDING = ["awaiting_payment", "pending", "accepting", "accepted"];

const ofJob = (id) => (record) => record.job_id === id;

// -- jobs ------------------------------------------------------------------------------------

const jobs = {
  async load() {
    await load("jobs");
    const open = all("jobs", (job) => job.status === "open").slice(0, 20);
    await Promise.all(open.map((job) => load("applicants", { job_id: job.id })));
  },
  view() {
    const found = all("jobs");
    return el(
      "div.columns", { "data-key": "jobs" },
      section("Your jobs", found.map((job) => jobCard(job, waiting(job))),
        found.length === 0 && empty("Nothing posted yet."), more("jobs")),
      el("aside", {}, el("div.card", {}, el("h2", {}, "Post a job"), postForm())),
    );
  },
};

function waiting(job) {
  const pending = all("applications", ofJob(job.id)).filter((each) => each.status === "pending");
  if (job.status !== "open" || !pending.length) return null;
  const noun = pending.length === 1 ? "application" : "applications";
  return el("p.news", {}, `${pending.length} ${noun} to answer`);
}

function postForm() {
  return form(
    "post", "", "Post job",
    field("Title", "title", { maxlength: 120 }),
    field("Description", "description", { maxlength: 8000, rows: 4 }, "textarea"),
    field("Category", "category", { maxlength: 60, placeholder: "painting" }),
    field("Skills", "skills", { required: false, hint: "Separate them by commas." }),
    el(
      "div.fields", {},
      field("Budget from", "low", { inputmode: "decimal", placeholder: "500.00" }),
      field("to", "high", { inputmode: "decimal", placeholder: "1,000.00" }),
      currencyChoice(),
    ),
  );
}

async function post({ fields, element }) {
  const { title, description, category, currency } = fields;
  const skills = fields.skills.split(",").map((skill) => skill.trim()).filter(Boolean);
  const job = await api.command("/job", "create", {
    title, description, category, skills, currency,
    budget_min_amount: minor(fields.low, currency), budget_max_amount: minor(fields.high, currency),
  });
  put("jobs", job);
  element.reset();
  notify(`“${job.title}” is posted: contractors see it now.`, { link: `#/job/${job.id}` });
}

// -- one job ---------------------------------------------------------------------------------

const job = {
  async load([id]) {
    put("jobs", await api.command("/job", "get", { job_id: id }));
    await Promise.all([load("applicants", { job_id: id }), load("offers", { job_id: id })]);
  },
  view([id]) {
    const found = state.jobs.get(id);
    if (!found) return null;
    const applications = all("applications", ofJob(id));
    return el(
      "div.columns", { "data-key": id },
      el(
        "div", {}, jobHead(found), work(found),
        section(
          "Applications",
          applications.map((application) => applicationCard(application, found)),
          applications.length === 0 && empty("None yet. They appear here as they come in."),
          more("applicants", { job_id: id }),
        ),
      ),
      el("aside", {}, offersOf(found)),
    );
  },
};

function work(found) {
  if (found.status === "in_progress") {
    return el(
      "div.card.act", { "data-key": "work" },
      el("p", {}, found.delivered_at
        ? "The contractor has delivered. Approve the work to pay it out."
        : "The contractor is at work. You can approve as soon as you are satisfied."),
      button("Approve and pay out", "complete", found.id, "primary"),
    );
  }
  if (!CANCELLABLE.includes(found.status)) return null;
  return folded(
    "Cancel this job…", `cancel:${found.id}`,
    el("p", {}, found.status === "open"
      ? "Applicants are told, and held money is released."
      : "Work has not begun: you get everything back."),
    button("Cancel the job", "cancel", found.id, "danger"),
  );
}

function applicationCard(application, found) {
  const { id, job_id, contractor_id, contractor_name, status } = application;
  const standing = status === "pending" || status === "accepted";
  const offered = all("offers", ofJob(job_id)).some(
    (offer) => offer.contractor_id === contractor_id && STANDING.includes(offer.status));
  return el(
    "article.card", { "data-key": id },
    el("div.row", {}, el("h3", {}, contractor_name),
      badge(status, status === "accepted" ? "Shortlisted" : undefined)),
    meta(amount(application.proposed_amount, application.currency),
      days(application.timeline_days), when(application.created_at)),
    el("p.text", {}, application.cover_letter),
    el(
      "div.actions", {},
      found.status === "open" && status === "pending" && button("Shortlist", "shortlist", id, "primary"),
      status === "pending" && button("Reject", "decline", id),
      status === "accepted" && el("a.button", { href: `#/chat/${job_id}/${contractor_id}` }, "Chat"),
    ),
    found.status === "open" && standing && !offered && offerForm(application),
  );
}

function offerForm(application) {
  const { currency } = application;
  return folded(
    "Make an offer…", `offer:${application.id}`,
    form(
      "offer", application.id, "Send offer and hold the money",
      el(
        "div.fields", {},
        field(`Amount in ${currency}`, "amount", {
          inputmode: "decimal", value: major(application.proposed_amount, currency),
        }),
        field("Days", "timeline_days", {
          type: "number", min: 1, max: 730, value: application.timeline_days,
        }),
      ),
      field("What is agreed", "description", { maxlength: 4000, rows: 3 }, "textarea"),
      choice("Card (test mode)", "payment_method", CARDS),
    ),
  );
}

async function offer({ id, fields, element }) {
  const { job_id, contractor_id, currency } = state.applications.get(id);
  const made = await api.command("/bidding", "create", {
    job_id, contractor_id, currency, amount: minor(fields.amount, currency),
    timeline_days: Number(fields.timeline_days), description: fields.description,
    payment_method: fields.payment_method,
  });
  put("offers", made.offer);
  if (made.payment.status !== "failed") element.reset();
  follow(made.payment);
}

/** What a payment needs next: the bank's page, another card, or nothing. */
function follow(payment) {
  if (payment.status === "requires_payment" && payment.redirect_url) {
    location.assign(payment.redirect_url);
  } else if (payment.status === "failed" || payment.failure) {
    const why = (payment.failure ?? "declined").replaceAll("_", " ");
    notify(`The payment did not go through (${why}). Try another card.`, { kind: "refusal" });
  } else if (payment.status === "requires_payment") {
    notify("The payment is still being processed: you will see when the money is held.");
  } else if (payment.status === "canceled") {
    notify("The payment was cancelled.", { kind: "refusal" });
  } else {
    notify("The money is held and the offer is out.");
  }
}

/** Back from the bank's page. */
export async function paymentReturned(paymentId) {
  const payment = await api.command("/payment", "confirm", { payment_id: paymentId });
  const read = await api.command("/payment", "get", { payment_id: paymentId });
  put("payments", read);
  location.hash = `#/job/${read.job_id}`;
  if (payment.status !== "requires_payment") follow(payment);
  else notify("The payment is not finished: continue it at the offer.", { kind: "refusal" });
}

function offersOf(found) {
  const offers = all("offers", ofJob(found.id));
  return section("Offers", offers.map(offerCard),
    offers.length === 0 && empty("No offer yet. Make one to an applicant."));
}

function offerCard(made) {
  const { id, payment_id, status } = made;
  const named = all("applications", ofJob(made.job_id)).find(
    (application) => application.contractor_id === made.contractor_id);
  return el(
    "article.card", { "data-key": id },
    el("div.row", {}, el("h3", {}, amount(made.amount, made.currency)), badge(status)),
    meta(named ? `to ${named.contractor_name}` : null, days(made.timeline_days)),
    el("p.text", {}, made.description),
    status === "pending" && meta("The money is held until ", when(made.expires_at)),
    el(
      "div.actions", {},
      status === "awaiting_payment" && button("Continue payment", "pay", payment_id, "primary"),
      (status === "pending" || status === "awaiting_payment") && button("Withdraw", "withdraw", id),
    ),
    history(made),
  );
}

// -- payments --------------------------------------------------------------------------------

const payments = {
  load: () => Promise.all([load("payments"), load("offers")]),
  view() {
    const found = all("payments");
    return section(
      "Payments",
      found.map(paymentCard), found.length === 0 && empty("No payments yet."), more("payments"),
    );
  },
};

function paymentCard(payment) {
  const title = state.offers.get(payment.offer_id)?.job_title ?? "A job";
  const { captured_amount: taken, refunded_amount: back, currency } = payment;
  return el(
    "article.card", { "data-key": payment.id },
    el("div.row", {}, el("h3", {}, amount(payment.amount, currency)), badge(payment.status)),
    meta(el("a", { href: `#/job/${payment.job_id}` }, title), when(payment.created_at)),
    meta(taken > 0 ? `captured ${display(taken, currency)}` : null,
      back > 0 ? `refunded ${display(back, currency)}` : null,
      payment.failure ? payment.failure.replaceAll("_", " ") : null,
    ),
  );
}

// -- what can be done ------------------------------------------------------------------------

async function complete({ id }) {
  const { job: done, split } = await api.command("/job", "complete", { job_id: id });
  put("jobs", done);
  const { currency, contractor_amount: paid, platform_amount: fees } = split;
  notify(`Completed: ${display(paid, currency)} go to the contractor, ${display(fees, currency)} are fees.`);
}

export const customer = {
  home: "jobs",
  tabs: [["jobs", "Jobs"], ["chat", "Messages"], ["payments", "Payments"]],
  views: { jobs, job, payments },
  actions: {
    post,
    offer,
    complete,
    shortlist: async ({ id }) =>
      put("applications", await api.command("/job-request", "accept", { application_id: id })),
    decline: async ({ id }) =>
      put("applications", await api.command("/job-request", "reject", { application_id: id })),
    cancel: async ({ id }) => put("jobs", await api.command("/job", "cancel", { job_id: id })),
    withdraw: async ({ id }) =>
      put("offers", await api.command("/bidding", "withdraw", { offer_id: id })),
    pay: async ({ id }) => follow(await api.command("/payment", "confirm", { payment_id: id })),
  },
};
