// The documents for programs: what they describe, searchable, and a console that sends commands.

import { render } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { Dialogs } from "../shared/dialog.js";
import { html } from "../shared/html.js";
import { Toasts, refuse } from "../shared/toasts.js";
import { CONSOLE, consolePage, openConsole, prepareConsole } from "./console.js";
import { el } from "./element.js";
import { errorsPage, limitsPage, startPage } from "./guide.js";
import { namespacePage, operationPage, pushPage } from "./operation_view.js";
import { changed, drawing } from "./page.js";
import { reference } from "./reference.js";
import { schemaList, schemaPage } from "./schema_view.js";
import { search } from "./search.js";
import { linkInto } from "./text.js";

const GUIDE = [["start", "Start"], ["errors", "Refusals"], ["limits", "Limits"], ["schemas", "Schemas"],
  ["console", "Console"]];

let known = null; // the reference, when both documents are there
let failed = false;
let sought = "";
let menu = false; // whether a phone shows the list of contents
let arriving = false; // whether what is drawn next is to be gone to

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
  if (!known) return failed ? el("p.none", {}, "The documents cannot be read. Reload the page.") : el("p.none", {}, "Loading…");
  if (name === "start") return startPage(known);
  if (name === "errors" || name.startsWith("errors.")) return errorsPage(known);
  if (CONSOLE.test(name)) return consolePage(CONSOLE.exec(name)[1]);
  if (name === "limits") return limitsPage(known);
  if (name === "schemas") return schemaList(known);
  if (known.operations.has(name)) return operationPage(known.operations.get(name), known);
  if (known.pushes.has(name)) return pushPage(known.pushes.get(name), known);
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
      el("input.input", { type: "search", id: "search", autocomplete: "off", spellcheck: false, onInput: seek, placeholder: "job, offer_expired, cursor …" })),
    sought && known ? results() : tree(current),
  );
}

function results() {
  const found = search(known, sought);
  return el(
    "div.results", { key: "results" },
    el("p.hint", { role: "status" }, found.length ? `${found.length === 30 ? "The best 30" : found.length} found` : "Nothing found"),
    el("ul.plain", {}, found.map(({ place: to, kind, name, summary }) => el(
      "li", { key: to }, el("a", { href: `#${to}` }, el("code", {}, name), el("span.need", {}, kind),
        el("small", {}, summary.split("\n")[0]))))),
  );
}

function item(to, label, current) {
  return el("li", {}, el("a", { href: `#${to}`, "aria-current": to === current ? "page" : null }, label));
}

function tree(current) {
  return el(
    "div.tree", { key: "tree" },
    el("ul.plain", {}, GUIDE.map(([to, label]) => item(to, label, current.startsWith("schema") ? "schemas" : shown(current)))),
    known && [...known.namespaces.values()].map((each) => branch(each, current)),
  );
}

function branch({ name, operations, pushes }, current) {
  const holds = current === name || [...operations, ...pushes].some((each) => each.name === current);
  return el(
    "details", { key: name, open: holds },
    el("summary", {}, name),
    el("ul.plain", {}, item(name, "Overview", current), operations.map((each) => item(each.name, each.name.replace(`${name}.`, ""), current)),
      pushes.map((each) => item(each.name, ["⇠ ", each.event], current))),
  );
}

// -- the page --------------------------------------------------------------------------------

function Page() {
  drawing.value;
  const current = place();
  useLayoutEffect(() => {
    if (arriving) arrive();
    arriving = false;
  });
  return [
    el("a.skip", { href: "#main", onClick: skip }, "To the content"),
    el("header.docs-bar", {}, el("a.brand", { href: "/" }, el("img", { src: LOGO, alt: "" }), "JobSphere"),
      el("a.title", { href: "#start" }, "Documents"),
      el("button.button.small.toggle", {
        type: "button", onClick: toggle, "aria-expanded": String(menu), "aria-controls": "contents",
      }, "Contents")),
    el("div.docs", {}, contents(current),
      el("main", { id: "main", tabindex: "-1", key: shown(current), "data-key": shown(current) }, content(current))),
    html`<${Toasts} /><${Dialogs} />`,
  ];
}

const LOGO = new URL("../../favicon.svg", import.meta.url).href;

function toggle() {
  menu = !menu;
  changed();
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function seek({ target }) {
  sought = target.value.trim();
  changed();
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
  const before = placeIn(new URL(oldURL).hash);
  menu = false;
  arriving = !CONSOLE.test(before) || !CONSOLE.test(place());
  title();
  if (CONSOLE.test(place())) openConsole();
  changed();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  menu = true;
  changed();
  const field = document.getElementById("search");
  field.focus(); // at once, so that no letter that is typed next is lost
  if (document.activeElement !== field) setTimeout(() => field.focus()); // a phone shows it first
});

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

render(html`<${Page} />`, document.getElementById("page"));
title();
read().catch((problem) => {
  failed = true;
  refuse(problem);
}).finally(() => {
  arriving = location.hash !== "";
  changed();
});
