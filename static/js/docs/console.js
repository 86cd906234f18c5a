// The console: commands sent live as the signed-in user, their acknowledgements, and pushes.

import { Refusal, live, me, server } from "../shared/server.js";
import { withStepUp } from "../shared/steps.js";
import { refuse, say } from "../shared/toasts.js";
import { el } from "./element.js";
import { changed } from "./page.js";
import { code, json, link } from "./text.js";

/** The address of the console, and of one command in it. */
export const CONSOLE = /^console(?:\.(.+))?$/;
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
  if (!server.user || connected || reachable.commands.length === 0) return;
  me.value = server.user;
  if (limited()) return;
  connected = true;
  const namespaces = reachable.namespaces.filter((each) => each !== "/admin" || server.user.role === "admin");
  server.connect({ namespaces, patience: Infinity }).catch(() => {}); // `end` tells why
}

let connected = false;

/** What the console can reach: the commands on sockets, and their namespaces. */
let reachable = { commands: [], namespaces: [] };

export function prepareConsole({ operations }) {
  const commands = [...operations.values()].filter(({ socket }) => socket);
  reachable = { commands, namespaces: [...new Set(commands.map(({ socket }) => socket.namespace))] };
}

/** An administrator without a second factor gets a session that can only set one up. */
const limited = () => Boolean(server.session.current?.second_factor_setup_required);

server.on("push", ({ namespace, name, ...envelope }) => {
  pushes = [{ key: key(), namespace, name, envelope }, ...pushes].slice(0, PUSHES);
  changed();
});

server.on("end", (reason) => {
  acks = [];
  pushes = [];
  connected = false;
  me.value = null;
  if (reason) say(reason, { tone: "bad" });
});

// -- views -----------------------------------------------------------------------------------

/** `name` is the chosen command. */
export function consolePage(name) {
  return [
    el("h1", {}, "Console"),
    el("p", {}, "Commands are sent over Socket.IO as the user who is signed in. They are real: what they change stays changed."),
    el("div.console", {},
      el("div", { key: me.value ? "commands" : "door" }, me.value ? signedIn(name) : door()),
      el("div", { key: "pushes" }, stream())),
  ];
}

function door() {
  const back = encodeURIComponent(location.pathname + location.hash);
  return [
    el("p.lead", {}, "Sign in first: commands are sent as you."),
    el("div.row", {}, el("a.button.primary", { href: `/sign-in?next=${back}` }, "Sign in"),
      LOCAL.has(location.hostname) && DEMO.names.map((name) => el("button.button", {
        type: "button", onClick: () => demo(name),
      }, `Demo ${name}`))),
    LOCAL.has(location.hostname) && el("p.hint", {}, "A server that ", el("code", {}, "make run"), " started has the demo accounts.")];
}

async function demo(name) {
  try {
    await server.account.login({ email: `${name}@demo.test`, password: DEMO.password });
    openConsole();
    changed();
  } catch (refused) {
    refuse(refused);
  }
}

function signedIn(name) {
  if (limited()) {
    return el("p.empty", {}, "Administrators need a second factor first: ",
      el("a", { href: "/admin" }, "set it up"), ".");
  }
  const { name: who, role } = me.value;
  return [
    el("div.row.whoami", {}, el("span.grow", {}, who ?? "", " ", el("span.need", {}, role)),
      el("span.soft", { role: "status" }, live.value ? "Live" : "Connecting…"),
      el("button.button.small", { type: "button", onClick: () => server.account.logout().catch(() => {}) }, "Sign out")),
    commandForm(reachable.commands.find((each) => each.name === name) ?? reachable.commands.find((each) => each.name === FIRST)),
    el("section", {}, el("h2", {}, "Acknowledgements"),
      acks.length ? el("ol", {}, acks.map((each) => acknowledgement(each)))
        : el("p.none", {}, "The answer to each command appears here.")),
  ];
}

function commandForm(operation) {
  const { name, socket, example } = operation;
  const text = json(example);
  return el(
    "form.stack", { key: `send:${name}`, onSubmit: (event) => send(event, operation) },
    el("label.field", {}, el("span", {}, "Command"), el("select.input", { id: "command", onChange: ({ target }) => { location.hash = `#console.${target.value}`; } },
      reachable.namespaces.map((namespace) => el("optgroup", { label: namespace }, reachable.commands
        .filter((each) => each.socket.namespace === namespace)
        .map((each) => el("option", { value: each.name, selected: each.name === name }, each.name)))))),
    el("p.hint", {}, "Emits ", el("code", {}, socket.event), " in ", el("code", {}, socket.namespace), ". ",
      link(`#${name}`, "What it does"), " Ctrl+Enter sends it."),
    el("label.field", {}, el("span", {}, "Fields (JSON)"), el("textarea.input.json", {
      name: "fields", rows: Math.min(18, text.split("\n").length + 1), spellcheck: false, autocomplete: "off", onKeyDown: quickly,
    }, text)),
    el("button.button.primary", { disabled: sending || !live.value }, sending ? "One moment…" : "Send"),
  );
}

function acknowledgement({ key: id, name, took, ack }) {
  return el(
    "li", { key: id },
    el("p.heard", {}, el("strong", {}, name), el(ack.ok ? "span.badge.good" : "span.badge.bad", {}, ack.ok ? "ok" : ack.error.code),
      el("small", {}, `${took} ms`)),
    code(json(ack), `Acknowledgement of ${name}`),
  );
}

function stream() {
  return el(
    "section", {}, el("div.row", {}, el("h2", {}, "Pushes"), pushes.length > 0 && el("button.button.small", { type: "button", onClick: clear }, "Clear")),
    pushes.length ? el("ol", {}, pushes.map((each) => push(each)))
      : el("p.none", {}, "What is pushed to this user appears here as it comes."),
  );
}

function push({ key: id, namespace, name, envelope }) {
  return el(
    "li", { key: id },
    el("details", {}, el("summary", {}, el("code", {}, name), " ", el("small", {}, namespace,
      envelope.seq !== null && ` · ${envelope.seq}`)),
      code(json(envelope), `Push ${name}`)),
  );
}

// -- actions ---------------------------------------------------------------------------------

let sending = false;

function parsed(text) {
  try {
    return JSON.parse(text || "{}");
  } catch (problem) {
    throw new Refusal({ code: "invalid", message: `The fields are not JSON: ${problem.message}.` });
  }
}

async function send(event, operation) {
  event.preventDefault();
  if (sending) return;
  const text = String(new FormData(event.target).get("fields"));
  sending = true;
  changed();
  try {
    const fields = parsed(text);
    await withStepUp(() => sent(operation, fields));
  } catch (problem) {
    if (!(problem instanceof Noted)) refuse(problem);
  } finally {
    sending = false;
    changed();
  }
}

/** A refusal that is among the acknowledgements. */
class Noted extends Refusal {}

async function sent({ name, socket }, fields) {
  const began = performance.now();
  const note = (ack) => {
    const took = Math.round(performance.now() - began);
    acks = [{ key: key(), name, took, ack }, ...acks].slice(0, ACKS);
    changed();
  };
  try {
    note({ ok: true, data: await server.command(socket.namespace, socket.event, fields) });
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    const error = { code: problem.code, message: problem.message, details: problem.details };
    note({ ok: false, error });
    throw new Noted(error);
  }
}

function clear() {
  pushes = [];
  changed();
}

/** Ctrl+Enter in the fields sends them. */
function quickly(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
}
