// The console: commands sent live as the signed-in user, their acknowledgements, and pushes.

import { adminDoor, doorActions } from "../sign_in.js";
import { changed, clear, notify, putUser, state } from "../state.js";
import { code, json, link } from "./text.js";
import { liveMark, refuse } from "../frame.js";
import { Refusal } from "../../client/refusal.js";
import { api } from "../api.js";
import { button } from "../parts.js";
import { el } from "../dom.js";

const ACKS = 20;
const PUSHES = 100;
const FIRST = "account.me";
const DEMO = { password: "demo-jobsphere", names: ["customer", "contractor", "admin"] };
const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]"]);

let acks = []; // {key, name, took, ack}, newest first
let pushes = []; // {key, namespace, name, envelope}, newest first
let numbers = 0;

const key = () => `console-${(numbers += 1)}`;

// -- life ------------------------------------------------------------------------------------

/** Connect as the user who is signed in, if that has not been done. */
export function openConsole() {
  if (!api.session || state.user) return;
  state.user = api.session.user;
  if (!limited()) {
    const { namespaces } = reachable;
    api.connect(namespaces.filter((each) => each !== "/admin" || state.user.role === "admin"));
  }
  changed();
}

/** What the console can reach: the commands on sockets, and their namespaces. */
let reachable = { commands: [], namespaces: [] };

export function prepareConsole({ operations }) {
  const commands = [...operations.values()].filter(({ socket }) => socket);
  reachable = { commands, namespaces: [...new Set(commands.map(({ socket }) => socket.namespace))] };
}

/** An administrator without a second factor gets a session that can only set one up. */
const limited = () => Boolean(api.session?.second_factor_setup_required);

api.onLive = async (live) => {
  const back = live && !state.live;
  state.live = live;
  changed();
  if (back) await api.command("/account", "me").then(putUser).catch(refuse);
};

api.onPush = (namespace, name, envelope) => {
  pushes = [{ key: key(), namespace, name, envelope }, ...pushes].slice(0, PUSHES);
  changed();
};

api.onEnd = (reason) => {
  acks = [];
  pushes = [];
  clear();
  if (reason) notify(reason, { kind: "refusal" });
};

// -- views -----------------------------------------------------------------------------------

/** `name` is the chosen command. */
export function consolePage(name, page) {
  return [
    el("h1", {}, "Console"),
    el("p", {}, "Commands are sent over Socket.IO as the user who is signed in. They are real: what they change stays changed."),
    el("div.console", {},
      el("div", { "data-key": state.user ? "commands" : "door" }, state.user ? signedIn(name, page) : door()),
      el("div", { "data-key": "pushes" }, stream(page))),
  ];
}

function door() {
  return [adminDoor(), LOCAL.has(location.hostname) && el(
    "section", {}, el("h2", {}, "Demo accounts"),
    el("p.hint", {}, "A server that make run started has these."),
    el("div.actions", {}, DEMO.names.map((name) => button(`Sign in as ${name}`, "demo", name))))];
}

function signedIn(name, page) {
  if (limited()) {
    return el("p.empty", {}, "Administrators need a second factor first: ",
      el("a", { href: "/admin" }, "set it up"), ".");
  }
  return [
    el("div.row.whoami", {}, el("span", {}, state.user.name ?? "", " ", el("span.need", {}, state.user.role)), liveMark(),
      button("Sign out", "sign_out", "", "quiet")),
    commandForm(reachable.commands.find((each) => each.name === name) ?? reachable.commands.find((each) => each.name === FIRST)),
    el("section", {}, el("h2", {}, "Acknowledgements"),
      acks.length ? el("ol", {}, acks.map((each) => acknowledgement(each, page)))
        : el("p.none", {}, "The answer to each command appears here.")),
  ];
}

function commandForm(operation) {
  const { name, socket, example } = operation;
  const busy = state.busy.has(`send:${name}`);
  const text = json(example);
  return el(
    "form", { "data-action": "send", "data-id": name, "data-key": `send:${name}` },
    el("label.field", {}, el("span", {}, "Command"), el("select", { id: "command" },
      reachable.namespaces.map((namespace) => el("optgroup", { label: namespace }, reachable.commands
        .filter((each) => each.socket.namespace === namespace)
        .map((each) => el("option", { value: each.name, selected: each.name === name }, each.name)))))),
    el("p.hint", {}, "Emits ", el("code", {}, socket.event), " in ", el("code", {}, socket.namespace), ". ",
      link(`#${name}`, "What it does"), " Ctrl+Enter sends it."),
    el("label.field", {}, el("span", {}, "Fields (JSON)"), el("textarea.json", {
      name: "fields", rows: Math.min(18, text.split("\n").length + 1), spellcheck: "false", autocomplete: "off",
    }, text)),
    el("button.primary", { disabled: busy || !state.live }, busy ? "One moment…" : "Send"),
  );
}

function acknowledgement({ key: id, name, took, ack }, page) {
  return el(
    "li", { "data-key": id },
    el("p.heard", {}, el("strong", {}, name), el(ack.ok ? "span.badge.good" : "span.badge.bad", {}, ack.ok ? "ok" : ack.error.code),
      el("small", {}, `${took} ms`)),
    code(json(ack), `Acknowledgement of ${name}`, page.copied),
  );
}

function stream(page) {
  return el(
    "section", {}, el("div.row", {}, el("h2", {}, "Pushes"), pushes.length > 0 && button("Clear", "clear_pushes", "", "quiet")),
    pushes.length ? el("ol", {}, pushes.map((each) => push(each, page)))
      : el("p.none", {}, "What is pushed to this user appears here as it comes."),
  );
}

function push({ key: id, namespace, name, envelope }, page) {
  return el(
    "li", { "data-key": id },
    el("details", {}, el("summary", {}, el("code", {}, name), " ", el("small", {}, namespace,
      envelope.seq !== null && ` · ${envelope.seq}`)),
      code(json(envelope), `Push ${name}`, page.copied)),
  );
}

// -- actions ---------------------------------------------------------------------------------

/** A step of signing in; the last one leads in. */
const entering = (step) => async (event) => {
  await step(event);
  openConsole();
};

function parsed(text) {
  try {
    return JSON.parse(text || "{}");
  } catch (problem) {
    throw new Refusal({ code: "invalid", message: `The fields are not JSON: ${problem.message}.` });
  }
}

async function send({ id: name, fields: { fields: text } }) {
  const fields = parsed(text);
  const { socket } = reachable.commands.find((each) => each.name === name);
  const began = performance.now();
  const note = (ack) => {
    const took = Math.round(performance.now() - began);
    acks = [{ key: key(), name, took, ack }, ...acks].slice(0, ACKS);
  };
  try {
    note({ ok: true, data: await api.command(socket.namespace, socket.event, fields) });
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    const { code: refused, message, details } = problem;
    note({ ok: false, error: { code: refused, message, details } });
    if (refused === "step_up_required") throw problem; // the frame asks, and sends it again
  }
}

export const consoleActions = {
  ...Object.fromEntries(Object.entries(doorActions).map(([name, step]) => [name, entering(step)])),
  demo: entering(({ id }) => api.login(`${id}@demo.test`, DEMO.password)),
  send,
  clear_pushes() {
    pushes = [];
  },
};

/** Choosing another command, and Ctrl+Enter in the fields. */
export function followConsole() {
  document.addEventListener("change", ({ target }) => {
    if (target.id === "command") location.hash = `#console.${target.value}`;
  });
  document.addEventListener("keydown", (event) => {
    const sends = event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea.json");
    if (sends) event.target.form.requestSubmit();
  });
}
