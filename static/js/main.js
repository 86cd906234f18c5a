// The web client: routes, signing in and out, and keeping everything live.

import { accountActions, accountView, exportView, forgetAccount, loadAccount } from "./account.js";
import { bell, bellActions, closeBell, loadTold } from "./bell.js";
import { chatActions, chatView, catchUp } from "./chat.js";
import { changed, clear, notify, putUser, state, unread } from "./state.js";
import { customer, paymentReturned } from "./customer.js";
import { door, doorActions } from "./sign_in.js";
import { mailedActions, mailedPage } from "./mailed_links.js";
import { brand, frameActions, mount, person, refuse } from "./frame.js";
import { load, loadConversations, loadWallet } from "./lists.js";
import { api } from "./api.js";
import { apply } from "./events.js";
import { contractor } from "./contractor.js";
import { el } from "./dom.js";
import { fileActions } from "./files.js";

const NAMESPACES = ["/account", "/job", "/job-request", "/chat", "/bidding", "/payment", "/wallet"];
const SIDES = { customer, contractor };

const common = {
  views: {
    chat: chatView,
    account: { load: loadAccount, view: accountView },
    export: { load: async () => {}, view: exportView },
  },
};

const side = () => SIDES[state.user.role];

// -- routes ----------------------------------------------------------------------------------

function readRoute() {
  const [name, ...params] = location.hash.replace(/^#\//, "").split("/").filter(Boolean);
  state.route = { name: name ?? "", params: params.map(decodeURIComponent) };
  if (state.user && !currentView() && !mailedPage(state.route)) state.route = { name: side().home, params: [] };
}

function currentView() {
  const { name } = state.route;
  return common.views[name] ?? side().views[name];
}

async function loadRoute() {
  if (!state.user || !currentView()) return;
  const route = state.route;
  try {
    await currentView().load(route.params);
  } catch (problem) {
    if (state.route === route) refuse(problem);
  }
}

function page() {
  const open = mailedPage(state.route);
  if (open || !state.user) {
    return [el("header.bar", {}, brand("#/")),
      el("main", { id: "main", tabindex: "-1" }, open ?? door(state.route.name === "register"))];
  }
  const { params } = state.route;
  return [
    el("header.bar", {}, brand("#/"), tabs(), person(bell())),
    el("main", { id: "main", tabindex: "-1" },
      currentView().view(params) ?? el("p.empty", {}, state.live ? "There is nothing to see here." : "Loading…")),
  ];
}

function tabs() {
  const waiting = [...state.conversations.values()].filter((each) => unread(each) > 0).length;
  return el(
    "nav", { "aria-label": "Sections" },
    side().tabs.map(([name, label]) =>
      el("a", { href: `#/${name}`, "aria-current": name === state.route.name ? "page" : null },
        label, name === "chat" && waiting > 0 && el("span.count", {}, String(waiting)))),
  );
}

// -- the person ------------------------------------------------------------------------------

function enter() {
  state.user = api.session.user;
  if (state.user.role === "admin") {
    location.replace("/admin");
    return;
  }
  if (["sign-in", "register", "code", "verify"].includes(state.route.name)) history.replaceState(null, "", "#/");
  readRoute();
  api.connect(NAMESPACES);
  returned().catch(refuse);
  changed();
}

/** Back from one of Stripe's pages: finish what led there, and clean the address. */
async function returned() {
  const query = new URLSearchParams(location.search);
  if (!query.size) return;
  history.replaceState(null, "", `/${location.hash}`);
  const payment = query.get("payment");
  const onboarding = query.get("onboarding");
  if (payment && state.user.role === "customer") await paymentReturned(payment);
  if (onboarding) location.hash = "#/wallet";
  if (onboarding === "done") notify("Thank you. Payouts are ready as soon as Stripe says so.");
  if (onboarding === "again") notify("That link was used up: ask for a new one.");
}

/** Everything that the views start from. What is older than the feed remembers is read here. */
async function reload() {
  const mine = state.user.role === "contractor" ? [load("applications")] : [];
  const [user] = await Promise.all([
    api.command("/account", "me"),
    ...mine, load("jobs"), load("offers"), loadConversations(), loadWallet(), loadTold(),
  ]);
  putUser(user);
  await loadRoute();
  await catchUp();
}

async function onLive(live) {
  const back = live && !state.live;
  state.live = live;
  changed();
  if (back) await recover();
}

/** After a break: first what the feed has, then what was only said aloud meanwhile. */
async function recover() {
  try {
    await api.catchUp();
    await reload();
  } catch (problem) {
    if (state.user) refuse(problem);
  }
}

function onPush(namespace, name, { data, seq }) {
  if (name === "resync") recover();
  else apply(namespace, name, data, seq);
}

api.onLive = onLive;
api.onPush = onPush;
api.onReload = () => reload().catch(refuse);
api.onEnd = (reason) => {
  clear();
  forgetAccount();
  location.hash = "#/sign-in";
  if (reason) notify(reason, { kind: "refusal" });
};

addEventListener("hashchange", () => {
  readRoute();
  closeBell();
  scrollTo(0, 0);
  changed();
  document.getElementById("main").focus({ preventScroll: true });
  if (state.live) loadRoute();
});

/** A step of signing in; the last one leads in. */
const entering = (step) => async (event) => {
  await step(event);
  if (api.session && !state.user) enter();
};

common.actions = {
  ...accountActions,
  ...bellActions,
  ...chatActions,
  ...fileActions,
  ...frameActions,
  ...Object.fromEntries(Object.entries(doorActions).map(([name, step]) => [name, entering(step)])),
  ...mailedActions,
  more: ({ id }) => load(...JSON.parse(id), true),
};

readRoute();
mount(page, (name) => common.actions[name] ?? side().actions[name]);
if (api.session) enter();
