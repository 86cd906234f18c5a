// The page of one operation, of one push, and of a namespace with both.

import { LANGUAGES, examples, listeners } from "./examples.js";
import { fields, typeOf } from "./schema_view.js";
import { code, json, line, link, paragraphs } from "./text.js";
import { el } from "./element.js";
import { choose, page } from "./page.js";
import { fieldsOf, nameOf } from "./reference.js";

const REPEATS = {
  request_id: "Repeat it with the same request id (over HTTP the header Idempotency-Key) if its answer was lost: "
    + "it is carried out once, and answered the same for 24 hours.",
  safe: "Repeat it freely if its answer was lost.",
  no: "If its answer was lost, it may have been carried out: ask the person before you repeat it.",
};
const NUMBERINGS = {
  feed: "Numbered. `seq` is its number in the user's feed, without gaps; `account.sync` reads what was missed.",
  parties: "Numbered for those whom it concerns: `seq` is then the number in their feed, and `account.sync` reads "
    + "what was missed. For all others `seq` is null.",
  conversation: "Numbered. `seq` is the number of the message in its conversation; `chat.sync` reads what was missed.",
  never: "Not numbered: `seq` is null, and it may be missed.",
};

// -- an operation ----------------------------------------------------------------------------

export function operationPage(operation, reference) {
  const { name, namespace, summary, description, http, socket } = operation;
  return el(
    "div.split", {},
    el("div", {},
      el("p.kind", {}, link(`#${namespace}`, namespace === "server" ? "server" : `/${namespace}`)),
      el("h1", {}, el("code", {}, name)),
      !description.startsWith(summary) && el("p", {}, line(`${summary}.`)),
      paragraphs(description),
      facts(operation),
      el("section", {}, el("h2", {}, "Fields"),
        fields(operation.fields, reference.schemas, true)),
      el("section", {}, el("h2", {}, "Answer"), answer(operation, reference)),
      el("section", {}, el("h2", {}, "Refusals"), refusals(operation)),
      el("section", {}, el("h2", {}, "Limits"), limits(operation))),
    el("div.aside", {},
      el("section", {}, el("h2", {}, "Call it"),
        tabs(examples(operation, page.origin, page.key)),
        !operation.open && el("p.hint", {}, link("#start", "How to get a token and a client")),
        socket && el("a.button", { href: `#console.${name}` }, "Try it in the console")),
      "example" in operation.answer && operation.answer.example !== undefined
        && el("section", {}, el("h2", {}, "What it answers"), code(json(operation.answer.example), "Example of the answer")),
      http && !socket && el("p.hint", {}, "There is no socket command: this goes over HTTP only.")),
  );
}

function fact(label, ...value) {
  return el("div", {}, el("dt", {}, label), el("dd", {}, ...value));
}

function facts({ roles, http, socket, repeat, stepUp, duringSetup, joins, conditional }) {
  return el(
    "dl.facts", {},
    fact("Who", roles.length ? roles.join(", ") : "anyone, without signing in"),
    http && fact("HTTP", el("code", {}, `${http.method} ${http.path}`)),
    socket && fact("Socket", el("code", {}, socket.event), " in ", el("code", {}, socket.namespace)),
    fact("Repeats", line(REPEATS[repeat])),
    stepUp && fact("Confirmation", line("It may answer `step_up_required`: confirm with `account.step_up`, then repeat it.")),
    conditional && fact("Known answers", "Over HTTP it has an ", el("code", {}, "ETag"), ". Sent back as ",
      el("code", {}, "If-None-Match"), ", it is answered 304 without a body as long as nothing has changed."),
    duringSetup && fact("Second factor", "Administrators may use it before they have set up their second factor."),
    joins && fact("Subscribes", "This connection gets the pushes from then on. Send it again after a reconnect."),
  );
}

function answer({ answer: { schema, description, types } }, { schemas }) {
  if (!schema) return el("p", {}, description, " ", `It is sent as ${types.length > 3 ? "the type that the file has" : types.join(" or ")}.`);
  const found = schemas.get(nameOf(schema));
  return [
    el("p.type", {}, typeOf(schema)),
    description && el("p", {}, line(description)),
    found?.properties && el("details", {}, el("summary", {}, `Fields of ${nameOf(schema)}`),
      fields(fieldsOf(found), schemas, false)),
  ];
}

function refusals({ statuses }) {
  const rows = new Map();
  for (const { status, codes } of statuses) {
    for (const { code: name, meaning } of codes) {
      const { found = [] } = rows.get(name) ?? {};
      rows.set(name, { meaning, found: status ? [...found, status] : found });
    }
  }
  return el("ul.plain.refusals", {}, [...rows].map(([name, { meaning, found }]) => el(
    "li", {},
    link(`#errors.${name}`, el("code", {}, name)), found.map((status) => el("span.status", {}, status)),
    el("span.meaning", {}, line(meaning)))));
}

const PER = { user: "user", address: "address", account: "account" };

function span(seconds) {
  const whole = Math.round(seconds);
  const [amount, unit] = whole % 3600 === 0 ? [whole / 3600, "hour"] : whole % 60 === 0 ? [whole / 60, "minute"] : [whole, "second"];
  return amount === 1 ? unit : `${amount} ${unit}s`;
}

function limits({ limits: all }) {
  return [
    all.length > 0 && el("ul", {}, all.map(({ per, bucket, requests, seconds, cost }) => el(
      "li", {},
      `${requests} at once, and from then on ${requests} in ${span(seconds)}, for each ${PER[per]}`,
      cost === null && "; the cost depends on the request",
      cost > 1 && `; this takes ${cost} of them`,
      ` (counted as “${bucket.replaceAll("_", " ")}”).`))),
    el("p.hint", {}, all.length ? "Besides, the limit of all commands applies: " : "Only the limit of all commands applies: ",
      link("#limits", "limits"), "."),
  ];
}

// -- examples --------------------------------------------------------------------------------

export function tabs(texts) {
  const shown = LANGUAGES.filter(([language]) => texts[language]);
  const [chosen] = shown.find(([language]) => language === page.language) ?? shown[0];
  return [
    el("div.segments.languages", { role: "group", "aria-label": "Language of the example" }, shown.map(([language, label]) =>
      el("button", { type: "button", onClick: () => choose(language), "aria-pressed": String(language === chosen) }, label))),
    code(texts[chosen], `Example, ${chosen}`),
  ];
}

// -- a push ----------------------------------------------------------------------------------

export function pushPage(push, { schemas }) {
  const { namespace, event, description, numbering, data, example } = push;
  const found = schemas.get(nameOf(data));
  return el(
    "div.split", {},
    el("div", {},
      el("p.kind", {}, link(`#${namespace}`, `/${namespace}`), " · push"),
      el("h1", {}, el("code", {}, event)),
      paragraphs(description),
      el("dl.facts", {}, fact("Socket", el("code", {}, event), " in ", el("code", {}, `/${namespace}`)),
        fact("Number", line(NUMBERINGS[numbering]))),
      el("section", {}, el("h2", {}, "Data"), el("p.type", {}, typeOf(data)),
        found?.properties && fields(fieldsOf(found), schemas, false),
        data.properties && fields(fieldsOf(data), schemas, false))),
    el("div.aside", {},
      el("section", {}, el("h2", {}, "Listen to it"), tabs(listeners(push)),
        el("p.hint", {}, link("#start", "How to get a client"))),
      example && el("section", {}, el("h2", {}, "What comes"), code(json(example), "Example of the push"))),
  );
}

// -- a namespace -----------------------------------------------------------------------------

export function namespacePage({ name, operations, pushes }) {
  return [
    el("p.kind", {}, name === "server" || name === "files" ? "HTTP only" : "Namespace"),
    el("h1", {}, el("code", {}, name === "server" ? "server" : `/${name}`)),
    el("section", {}, el("h2", {}, "Operations"), el("ul.plain.index", {}, operations.map((each) => entry(each.name, each.name, each)))),
    pushes.length > 0 && el("section", {}, el("h2", {}, "Pushes"),
      el("ul.plain.index", {}, pushes.map((each) => entry(each.name, each.event, each)))),
  ];
}

function entry(place, name, { summary, roles }) {
  return el("li", {}, link(`#${place}`, el("code", {}, name)), el("span", {}, line(summary)),
    roles?.length === 1 && el("span.need", {}, roles[0]));
}
