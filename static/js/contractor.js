// The contractor's side: finding work, applying, answering offers, doing the work.

import { all, notify, put, state } from "./state.js";
import {
  amount, badge, button, choice, days, empty, field, form, history, jobCard, jobHead, meta,
  more, section, when,
} from "./parts.js";
import { load, search } from "./lists.js";
import { wallet, walletActions } from "./wallet.js";
import { api } from "./api.js";
import { el } from "./dom.js";
import { minor } from "./money.js";
import { sent } from "./files.js";

const ofJob = (id) => (record) => record.job_id === id;
const own = (job) => job.contractor_id === state.user.id;

// -- finding work ----------------------------------------------------------------------------

const find = {
  load: () => Promise.all([search(), load("applications")]),
  view() {
    const { ids, filters } = state.browse;
    const found = ids.map((id) => state.jobs.get(id)).filter((job) => job?.status === "open");
    const filtered = Object.keys(filters).length > 0;
    return el(
      "div", { "data-key": "find" },
      el("div.card.search", {}, searchForm(),
        filtered && button("Show all open jobs", "all", "", "quiet")),
      section("Open jobs", found.map((job) => jobCard(job, applied(job))),
        found.length === 0 && empty(filtered ? "Nothing fits." : "No open jobs right now."),
        state.cursors.browse && button("Show more", "further", "", "quiet")),
    );
  },
};

function searchForm() {
  return form(
    "search", "", "Search",
    field("Words", "q", { type: "search", required: false, maxlength: 200 }),
    field("Category", "category", { required: false, maxlength: 60 }),
    choice("Sort by", "sort", [["", "Newest"], ["budget", "Highest budget"]]),
  );
}

function applied(job) {
  const found = all("applications", ofJob(job.id))[0];
  return found ? el("p.news", {}, `You applied: ${found.status}`) : null;
}

async function searchFor({ fields }) {
  const given = Object.entries(fields).map(([name, value]) => [name, value.trim()]);
  state.browse = { filters: Object.fromEntries(given.filter(([, value]) => value)), ids: [] };
  await search();
}

async function showAll() {
  document.querySelector("form[data-action=search]")?.reset();
  await searchFor({ fields: {} });
}

// -- one job ---------------------------------------------------------------------------------

const job = {
  async load([id]) {
    const mine = Promise.all([load("applications"), load("offers", { job_id: id })]);
    put("jobs", await api.command("/job", "get", { job_id: id }));
    await mine;
  },
  view([id]) {
    const found = state.jobs.get(id);
    if (!found) return null;
    const [application] = all("applications", ofJob(id));
    const offers = all("offers", ofJob(id));
    const standing = ["pending", "accepted"].includes(application?.status);
    return el(
      "div.columns", { "data-key": id },
      el("div", {}, jobHead(found), own(found) && work(found)),
      el(
        "aside", {},
        offers.length > 0 && section("Offers to you", offers.map(offerCard)),
        application && section("Your application", applicationCard(application)),
        found.status === "open" && !standing && section("Apply", applyForm(found)),
      ),
    );
  },
};

function work(found) {
  if (found.status === "assigned") {
    return el("div.card.act", { "data-key": "work" },
      el("p", {}, "The job is yours and the money is safe. Start when you begin to work."),
      button("Start work", "start", found.id, "primary"));
  }
  if (found.status !== "in_progress") return null;
  return el(
    "div.card.act", { "data-key": "work" },
    el("p", {}, found.delivered_at
      ? "Delivered: the customer looks at it now. You can deliver again."
      : "Tell the customer what you have done."),
    form("deliver", found.id, "Deliver",
      field("Note", "note", { required: false, maxlength: 4000, rows: 3 }, "textarea"),
      field("Files", "files", { type: "file", multiple: true, required: false })),
  );
}

function applyForm(found) {
  return el(
    "div.card", { "data-key": `apply:${found.id}` },
    form(
      "apply", found.id, "Apply",
      field("Why you?", "cover_letter", { maxlength: 4000, rows: 4 }, "textarea"),
      el(
        "div.fields", {},
        field(`Your price in ${found.currency}`, "proposed", { inputmode: "decimal" }),
        field("Days", "timeline_days", { type: "number", min: 1, max: 365, value: 5 }),
      ),
    ),
  );
}

async function apply({ id, fields }) {
  const application = await api.command("/job-request", "apply", {
    job_id: id, cover_letter: fields.cover_letter, timeline_days: Number(fields.timeline_days),
    proposed_amount: minor(fields.proposed, state.jobs.get(id).currency),
  });
  put("applications", application);
  notify("Your application is in.");
}

function applicationCard(application) {
  const { id, job_id, customer_id, status } = application;
  const given = state.jobs.has(job_id) && state.jobs.get(job_id).status !== "open";
  return el(
    "article.card", { "data-key": id },
    el("div.row", {}, el("h3", {}, el("a", { href: `#/job/${job_id}` }, application.job_title)),
      badge(status, status === "accepted" ? "Shortlisted" : undefined)),
    meta(amount(application.proposed_amount, application.currency),
      days(application.timeline_days), when(application.created_at)),
    el("p.text", {}, application.cover_letter),
    el(
      "div.actions", {},
      status === "accepted" && el("a.button", { href: `#/chat/${job_id}/${customer_id}` }, "Chat"),
      !given && ["pending", "accepted"].includes(status) && button("Withdraw", "retract", id),
    ),
  );
}

function offerCard(offer) {
  const { id, job_id, status } = offer;
  return el(
    "article.card", { "data-key": id },
    el("div.row", {}, el("h3", {}, amount(offer.amount, offer.currency)), badge(status)),
    meta(el("a", { href: `#/job/${job_id}` }, offer.job_title), days(offer.timeline_days)),
    el("p.text", {}, offer.description),
    status === "pending" && meta("Answer until ", when(offer.expires_at)),
    status === "pending" && el(
      "div.actions", {},
      button("Accept", "accept", id, "primary"), button("Turn down", "turn_down", id),
    ),
    history(offer),
  );
}

// -- own work --------------------------------------------------------------------------------

const ownWork = {
  load: () => Promise.all([load("jobs"), load("applications"), load("offers")]),
  view() {
    const offers = all("offers", (offer) => ["pending", "accepting"].includes(offer.status));
    const jobs = all("jobs", own);
    const applications = all("applications");
    return el(
      "div.columns", { "data-key": "work" },
      el(
        "div", {},
        offers.length > 0 && section("Offers to answer", offers.map(offerCard)),
        section("Your jobs", jobs.map((found) => jobCard(found)),
          jobs.length === 0 && empty("No jobs yet."), more("jobs")),
      ),
      el("aside", {}, section("Your applications", applications.map(applicationCard),
        applications.length === 0 && empty("You have not applied yet."), more("applications"))),
    );
  },
};

export const contractor = {
  home: "find",
  tabs: [["find", "Find work"], ["work", "My work"], ["chat", "Messages"], ["wallet", "Wallet"]],
  views: { find, job, work: ownWork, wallet },
  actions: {
    ...walletActions,
    apply,
    search: searchFor,
    all: showAll,
    further: () => search(true),
    retract: async ({ id }) =>
      put("applications", await api.command("/job-request", "withdraw", { application_id: id })),
    accept: async ({ id }) => put("offers", await api.command("/bidding", "accept", { offer_id: id })),
    turn_down: async ({ id }) =>
      put("offers", await api.command("/bidding", "reject", { offer_id: id })),
    start: async ({ id }) => put("jobs", await api.command("/job", "start", { job_id: id })),
    async deliver({ id, fields, element }) {
      const file_ids = await sent(element.elements.files.files);
      put("jobs", await api.command("/job", "deliver", { job_id: id, note: fields.note, file_ids }));
      element.reset();
    },
  },
};
