// The documents for programs: what they describe, searchable, and a console that sends commands.

import { errorsPage, limitsPage, startPage } from "./docs/guide.js";
import { frameActions, brand, mount, refuse } from "./frame.js";
import { consoleActions, consolePage, followConsole, openConsole, prepareConsole } from "./docs/console.js";
import { namespacePage, operationPage, pushPage } from "./docs/operation_view.js";
import { schemaList, schemaPage } from "./docs/schema_view.js";
import { changed, notify } from "./state.js";
import { el } from "./dom.js";
import { empty } from "./parts.js";
import { linkInto } from "./docs/text.js";
import { reference } from "./docs/reference.js";
import { search } from "./docs/search.js";
import { unique } from "../client/waiting.js";

const LANGUAGE = "jobsphere.docs.language";
const GUIDE = [["start", "Start"], ["errors", "Refusals"], ["limits", "Limits"], ["schemas", "Schemas"],
  ["console", "Console"]];
const CONSOLE = /^console(?:\.(.+))?$/;

let known = null; // the reference, when both documents are there
let failed = false;
let sought = "";
let menu = false; // whether a phone shows the list of contents
const page = {
  origin: location.origin,
  key: unique(),
  language: localStorage.getItem(LANGUAGE) ?? "curl",
  copied: "",
};

const place = () => placeIn(location.hash);

function placeIn(hash) {
  try {
    return decodeURIComponent(hash.slice(1)) || "start";
  } catch {
    return hash.slice(1); // not encoded, such as `#100%`
  }
}

// -- the content -----------------------------------------------------------------------------

function content(name) {
  if (!known) return failed ? empty("The documents cannot be read. Reload the page.") : empty("Loading…");
  if (name === "start") return startPage(known, page);
  if (name === "errors" || name.startsWith("errors.")) return errorsPage(known, page);
  if (CONSOLE.test(name)) return consolePage(CONSOLE.exec(name)[1], page);
  if (name === "limits") return limitsPage(known);
  if (name === "schemas") return schemaList(known);
  if (known.operations.has(name)) return operationPage(known.operations.get(name), known, page);
  if (known.pushes.has(name)) return pushPage(known.pushes.get(name), known, page);
  if (known.namespaces.has(name)) return namespacePage(known.namespaces.get(name));
  const schema = name.replace(/^schema\./, "");
  if (known.schemas.has(schema)) return schemaPage(schema, known);
  return [el("h1", {}, "Nothing is here"), el("p", {}, `There is no “${name}”. Search for it, or start at the `,
    el("a", { href: "#start" }, "start"), ".")];
}

// -- the list of contents --------------------------------------------------------------------

function contents(current) {
  return el(
    menu ? "nav.contents.open" : "nav.contents", { "aria-label": "Contents", id: "contents" },
    el("label.field", {}, el("span", {}, "Search"),
      el("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", placeholder: "job, offer_expired, cursor …" })),
    sought && known ? results() : tree(current),
  );
}

function results() {
  const found = search(known, sought);
  return el(
    "div.results", { "data-key": "results" },
    el("p.hint", { role: "status" }, found.length ? `${found.length === 30 ? "The best 30" : found.length} found` : "Nothing found"),
    el("ul.plain", {}, found.map(({ place: to, kind, name, summary }) => el(
      "li", { "data-key": to }, el("a", { href: `#${to}` }, el("code", {}, name), el("span.need", {}, kind),
        el("small", {}, summary.split("\n")[0]))))),
  );
}

function item(to, label, current) {
  return el("li", {}, el("a", { href: `#${to}`, "aria-current": to === current ? "page" : null }, label));
}

function tree(current) {
  return el(
    "div.tree", { "data-key": "tree" },
    el("ul.plain", {}, GUIDE.map(([to, label]) => item(to, label, current.startsWith("schema") ? "schemas" : shown(current)))),
    known && [...known.namespaces.values()].map((each) => branch(each, current)),
  );
}

function branch({ name, operations, pushes }, current) {
  const holds = current === name || [...operations, ...pushes].some((each) => each.name === current);
  return el(
    "details", { "data-key": name, open: holds },
    el("summary", {}, name),
    el("ul.plain", {}, item(name, "Overview", current), operations.map((each) => item(each.name, each.name.replace(`${name}.`, ""), current)),
      pushes.map((each) => item(each.name, ["⇠ ", each.event], current))),
  );
}

// -- the page --------------------------------------------------------------------------------

function view() {
  const current = place();
  return [
    el("a.skip", { href: "#main", "data-skip": true }, "To the content"),
    el("header.bar", {}, brand("/"), el("a.title", { href: "#start" }, "Documents"),
      el("button.quiet.menu", { type: "button", "data-action": "menu", "aria-expanded": String(menu), "aria-controls": "contents" }, "Contents")),
    el("div.docs", {}, contents(current),
      el("main", { id: "main", tabindex: "-1", "data-key": shown(current) }, content(current))),
  ];
}

function title() {
  const current = place();
  document.title = current === "start" ? "JobSphere: documents for programs" : `${current}: JobSphere documents`;
}

/** The key of what is shown: what stays the same is changed in place. */
function shown(current) {
  if (current.startsWith("errors")) return "errors";
  return CONSOLE.test(current) ? "console" : current;
}

/** After a draw: to the part of the page that the address names, or to its top. */
function arrive() {
  document.querySelector(".contents [aria-current]")?.scrollIntoView({ block: "nearest" });
  const part = document.getElementById(place());
  if (part && part.id !== "main") {
    part.scrollIntoView();
    part.focus({ preventScroll: true });
  } else {
    scrollTo(0, 0);
    document.getElementById("main").focus({ preventScroll: true });
  }
}

addEventListener("hashchange", ({ oldURL }) => {
  menu = false;
  title();
  if (CONSOLE.test(place())) openConsole();
  changed();
  const before = placeIn(new URL(oldURL).hash);
  if (!CONSOLE.test(before) || !CONSOLE.test(place())) queueMicrotask(arrive);
});

document.addEventListener("input", ({ target }) => {
  if (target.id !== "search") return;
  sought = target.value.trim();
  changed();
});

document.addEventListener("keydown", (event) => {
  const field = document.getElementById("search");
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    menu = true;
    changed();
    queueMicrotask(() => field.focus());
  }
});

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-skip]")) return;
  event.preventDefault();
  document.getElementById("main").focus();
});

const actions = {
  ...frameActions,
  ...consoleActions,
  menu() {
    menu = !menu;
  },
  language({ id }) {
    page.language = id;
    localStorage.setItem(LANGUAGE, id);
  },
  async copy({ id }) {
    if (!navigator.clipboard) { // pages over TLS and of this host have one
      notify("Browsers let pages copy over TLS only. Select the text instead.");
      return;
    }
    await navigator.clipboard.writeText(id);
    page.copied = id;
    setTimeout(() => {
      page.copied = "";
      changed();
    }, 2000);
  },
};

async function read() {
  const paths = ["/api/openapi.json", "/api/asyncapi.json", "/api/meta"];
  const [openapi, asyncapi, meta] = await Promise.all(paths.map(async (path) => {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response.json();
  }));
  known = { ...reference(openapi, asyncapi), meta };
  linkInto(known);
  prepareConsole(known);
  if (CONSOLE.test(place())) openConsole();
}

followConsole();
mount(view, (name) => actions[name]);
title();
read().catch((problem) => {
  failed = true;
  refuse(problem);
}).finally(() => {
  changed();
  queueMicrotask(() => location.hash && arrive());
});
