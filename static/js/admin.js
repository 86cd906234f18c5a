// The live monitor, with figures every second and activity as it happens, and the other sections.

import { accountActions, accountView, forgetAccount, hasFactor, loadAccount } from "./account.js";
import { bell, bellActions, loadTold, told as tell } from "./bell.js";
import { adminDoor, doorActions } from "./sign_in.js";
import { brand, frameActions, mount, person, refuse } from "./frame.js";
import { changed, clear, notify, putUser, state } from "./state.js";
import { SECTIONS } from "./office/sections.js";
import { api } from "./api.js";
import { badge, button, empty, words } from "./parts.js";
import { display } from "./money.js";
import { el } from "./dom.js";

const KEPT = 60;

let stats = null;
let activity = []; // {key, at, namespace, name, data}, newest first
let told = 0;
let settingUp = false; // a second factor, as long as its recovery codes are shown

// -- figures ---------------------------------------------------------------------------------

function tile(label, value, tone = "") {
  return el(
    tone ? `div.tile.${tone}` : "div.tile", { "data-key": label, "data-tile": label },
    el("dt", {}, label), el("dd", {}, value),
  );
}

function money(label, sums) {
  const shown = Object.entries(sums).sort();
  return tile(label, shown.length > 0
    ? shown.map(([currency, sum]) => el("span.amount", { "data-key": currency }, display(sum, currency)))
    : "–", "money");
}

function group(title, ...tiles) {
  return el("section", { "data-key": title }, el("h2", {}, title), el("dl.tiles", {}, tiles));
}

function figures({ users, jobs, offers, payments, commission, escrow, sockets, dead_letters }) {
  const of = (counts, name) => String(counts[name] ?? 0);
  const dead = dead_letters > 0 ? "bad" : "";
  return [
    group("Jobs", tile("Open", of(jobs, "open")), tile("Assigned", of(jobs, "assigned")),
      tile("In progress", of(jobs, "in_progress")), tile("Completed", of(jobs, "completed"))),
    group("Offers and payments", tile("Offers pending", of(offers, "pending")),
      tile("Offers accepted", of(offers, "accepted")), tile("Payments held", of(payments, "authorized")),
      tile("Captured", of(payments, "captured"))),
    group("Money", money("Commission", commission), money("Escrow", escrow)),
    group("System", tile("Sockets", String(sockets)), tile("Dead letters", String(dead_letters), dead),
      tile("Customers", of(users, "customer")), tile("Contractors", of(users, "contractor"))),
  ];
}

// -- activity --------------------------------------------------------------------------------

function sum({ amount, currency, available }) {
  const value = amount ?? available;
  return value === undefined || !currency ? null : el("span.amount", {}, display(value, currency));
}

function line({ key, at, namespace, name, data }) {
  const time = new Date(at).toLocaleTimeString();
  const who = data.contractor_name ?? data.customer_name ?? data.name ?? null;
  return el(
    "li", { "data-key": key },
    el("time", { datetime: at }, time), el("code", {}, name),
    el("span", {}, data.status ? badge(data.status) : null),
    el("span.what", {}, [data.job_title ?? data.title ?? words(namespace.slice(1)), who]
      .filter(Boolean).join(" · ")),
    sum(data),
  );
}

function page() {
  if (!state.user) {
    return [el("header.bar", {}, brand("/admin")), el("main", { id: "main" }, adminDoor())];
  }
  if (api.session.second_factor_setup_required || settingUp) return setUp();
  const chosen = section();
  return [
    el("header.bar", {}, brand("/admin"), tabs(chosen), person(bell())),
    chosen ? el("main", { id: "main", tabindex: "-1", "data-key": chosen.name }, chosen.view()) : monitor(),
  ];
}

/** What an administrator without a second factor can do. */
function setUp() {
  return [
    el("header.bar", {}, brand("/admin"), person()),
    el(
      "main", { id: "main", "data-key": "set-up" }, el("h1", {}, "Set up a second factor"),
      el("p", {}, "Administrators sign in with a passkey or with a code beside the password."),
      accountView(),
      !api.session.second_factor_setup_required && hasFactor() &&
        button("Continue", "set_up_done", "", "primary"),
    ),
  ];
}

function tabs(chosen) {
  return el(
    "nav", { "aria-label": "Sections" },
    [{ name: "", label: "Monitor" }, ...SECTIONS].map(({ name, label }) =>
      el("a", { href: `#/${name}`, "aria-current": name === (chosen?.name ?? "") ? "page" : null }, label)),
  );
}

function monitor() {
  return el(
    "main.monitor", { id: "main", tabindex: "-1", "data-key": "monitor" },
    el("div.figures", {}, stats ? figures(stats) : empty("Loading…")),
    el("section.activity", {}, el("h2", {}, "Activity"),
      activity.length > 0 ? el("ol.lines.card", {}, activity.map(line))
        : empty("What happens in the market appears here.")),
  );
}

// -- sections --------------------------------------------------------------------------------

const account = { name: "account", load: loadAccount, view: accountView };

function section() {
  const name = location.hash.replace(/^#\//, "");
  return [...SECTIONS, account].find((each) => each.name === name) ?? null;
}

async function loadSection() {
  try {
    await section()?.load();
  } catch (problem) {
    if (state.user) refuse(problem);
  }
}

addEventListener("hashchange", () => {
  scrollTo(0, 0);
  changed();
  document.getElementById("main").focus({ preventScroll: true });
  if (state.live) loadSection();
});

// -- life ------------------------------------------------------------------------------------

async function enter() {
  if (api.session.user.role !== "admin") {
    await api.signOut();
    notify("The live monitor is for administrators.", { kind: "refusal" });
    return;
  }
  state.user = api.session.user;
  settingUp = Boolean(api.session.second_factor_setup_required);
  if (settingUp) await loadAccount();
  else api.connect(["/account", "/admin"]);
  changed();
}

api.onLive = async (live) => {
  const back = live && !state.live;
  state.live = live;
  changed();
  if (!back) return;
  try {
    const me = api.command("/account", "me").then(putUser);
    [stats] = await Promise.all([api.command("/admin", "live"), me, loadTold(), loadSection()]);
  } catch (problem) {
    refuse(problem);
  }
  changed();
};

api.onPush = (namespace, name, { seq, at, data }) => {
  if (name === "notification") tell(data, seq);
  if (namespace !== "/admin") return;
  if (name === "stats") stats = data;
  if (name === "activity") {
    told += 1;
    activity = [{ key: `activity-${told}`, at, ...data }, ...activity].slice(0, KEPT);
  }
  changed();
};

api.onEnd = (reason) => {
  stats = null;
  activity = [];
  settingUp = false;
  forgetAccount();
  SECTIONS.forEach((each) => each.forget());
  clear();
  if (reason) notify(reason, { kind: "refusal" });
};

/** A step of signing in; the last one leads in. */
const entering = (step) => async (event) => {
  await step(event);
  if (api.session && !state.user) await enter();
};

const actions = {
  ...Object.assign({}, ...SECTIONS.map((each) => each.actions)),
  ...accountActions,
  ...bellActions,
  ...frameActions,
  ...Object.fromEntries(Object.entries(doorActions).map(([name, step]) => [name, entering(step)])),
  set_up_done: () => enter(),
};

mount(page, (name) => actions[name]);
if (api.session?.user.role === "admin") enter().catch(refuse);
