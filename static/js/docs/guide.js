// What a reader needs before the first command: connections, pushes, refusals, limits.

import { code, line, link } from "./text.js";
import { el } from "./element.js";
import { page } from "./page.js";
import { setUp } from "./examples.js";
import { tabs } from "./operation_view.js";

const p = (...text) => el("p", {}, ...text.flatMap((part) => (typeof part === "string" ? line(part) : [part])));

const COMMAND = `const jobs = io("/job", { auth: { token } });
jobs.emit("create", fields, { request_id: crypto.randomUUID() }, (ack) => {
  // { ok: true, data: { id: "job_665f…", version: 1, … } }
  // { ok: false, error: { code: "invalid", message: "title: this is required.",
  //   details: { field: "title", rule: "required" } } }
});`;
const PUSH = `bidding.on("offer.created", ({ seq, at, data }) => {
  // data is the whole object with its version: keep the highest
});`;

export function startPage({ version, meta }) {
  return [
    el("h1", {}, "Build on JobSphere"),
    el("p.lead", {}, "Everything that a program can ask for and everything that is pushed to it."),
    p(`These pages show two documents, which programs read as well: `, el("a", { href: "/api/openapi.json" }, "OpenAPI"),
      " for HTTP and ", el("a", { href: "/api/asyncapi.json" }, "AsyncAPI"),
      ` for the sockets. Both are generated from the code that runs here, version ${version} of the contract.`),
    el("section", {}, el("h2", {}, "Get a token and a client"),
      p("Examples on these pages need what this makes: a shell has `TOKEN`, a program has `client`."),
      tabs(setUp(page.origin, "customer@demo.test", "demo-jobsphere")),
      p("The account is one of those that `make run` makes. `account.register` opens your own. The clients are the ",
        "packages in ", el("code", {}, "static/client"), " and ", el("code", {}, "static/client/python"), ".")),
    el("section", {}, el("h2", {}, "Tokens"),
      p("`account.login` answers an access token, which is good for ", `${meta.accounts.access_token_seconds / 60} minutes, `,
        "and a refresh token. ",
        "`account.refresh` changes the refresh token into a new pair, and the sockets of the session stay open. ",
        "A refresh token works once. Repeated within 30 seconds it answers the same pair; later, it ends the session."),
      p("A sign-in that answers `second_factor_required` is completed by `account.login_code` or `account.passkey_login`.")),
    el("section", {}, el("h2", {}, "Commands"),
      p("Sockets speak Socket.IO v4. Connect each namespace that you need with the token. A command is always answered, ",
        "in one form. Nearly every command has a twin over HTTP, with the same fields, answer and refusals."),
      code(COMMAND, "A command over Socket.IO"),
      p("A command with a request id (over HTTP the header ", el("code", {}, "Idempotency-Key"), ") may be repeated for ",
        "24 hours: the first success is answered again, and nothing happens twice. Commands of one connection run in the ",
        "order in which they were sent.")),
    el("section", {}, el("h2", {}, "Pushes"),
      p("Everything that happens to a user is pushed to all of their devices, as ", el("code", {}, "{seq, at, data}"), "."),
      code(PUSH, "A push over Socket.IO"),
      p("Numbered pushes have the user's own feed number as `seq`: one count over all namespaces, without gaps. After a ",
        "jump or a new connection, ask `account.sync` for what was missed, and `chat.sync` for messages. A push may come ",
        "twice, with the same `seq`.")),
    el("section", {}, el("h2", {}, "Values"),
      el("ul", {},
        el("li", {}, "Amounts are integers in minor units of the currency beside them: 1000 USD is 10.00 USD."),
        el("li", {}, "Times are in UTC, in the form 2026-03-02T09:30:00Z."),
        el("li", {}, "Ids are text; do not read them."),
        el("li", {}, "Commands refuse fields that they do not have. Answers may get further fields: ignore those that you do not know."),
        el("li", {}, "Lists come in pages: ask again with ", el("code", {}, "cursor"), ", the ", el("code", {}, "next_cursor"),
          " of the page before, until that is null."),
        el("li", {}, "What a server enforces (lengths, currencies, countries, fees, file types) is one read: ",
          link("#meta", el("code", {}, "GET /api/meta")), "."))),
    el("section", {}, el("h2", {}, "Try it"),
      p("The ", link("#console", "console"), " sends commands from this page and shows what comes.")),
  ];
}

const PROBLEM = `{
  "type": "about:blank", "title": "title: this is required.", "status": 422,
  "code": "invalid", "details": { "field": "title", "rule": "required" }
}`;

export function errorsPage({ errors, operations }) {
  return [
    el("h1", {}, "Refusals"),
    p("A refused command answers a `code` for programs, a sentence for people, and details. Over HTTP this is ",
      el("code", {}, "application/problem+json"), ", with the status that is given here. The values of codes never change; ",
      "new ones may come."),
    code(PROBLEM, "A refusal over HTTP"),
    el("ul.plain.errors", {}, [...errors.values()].map(({ code: name, meaning, statuses, operations: users }) => el(
      "li", { id: `errors.${name}`, tabindex: "-1" },
      el("h2", {}, link(`#errors.${name}`, el("code", {}, name)),
        [...statuses].map((status) => el("span.status", {}, status))),
      p(meaning),
      users.length > 12
        ? el("p.hint", {}, users.length === operations.size ? "From every operation." : `From ${users.length} operations.`)
        : el("p.hint", {}, "From ", users.flatMap((user, place) => [place ? ", " : "", link(`#${user}`, user)]), ".")))),
  ];
}

const kib = (bytes) => `${bytes / 1024} KiB`;

export function limitsPage({ operations, meta }) {
  const { rates } = meta;
  const limited = [...operations.values()].filter(({ limits }) => limits.length);
  return [
    el("h1", {}, "Limits"),
    p("A limit lets some requests through at once and refills evenly. When it is used up, the answer is `rate_limited`; ",
      el("code", {}, "details.retry_after"), " (over HTTP also the header ", el("code", {}, "Retry-After"),
      ") says for how many seconds to wait."),
    p(`All commands of a user together, over all connections: ${rates.all.requests} at once, and from then on `
      + `${rates.all.requests / rates.all.seconds} in a second. ${kib(rates.command_bytes)} of input, or ${kib(rates.answer_bytes)} of an answer, `
      + "count as one command. ", link("#meta", el("code", {}, "GET /api/meta")),
      " tells all limits that are in force."),
    el("section", {}, el("h2", {}, "Operations with limits of their own"),
      el("ul.plain.index", {}, limited.map(({ name, limits }) => el(
        "li", {}, link(`#${name}`, el("code", {}, name)),
        el("span", {}, limits.map(({ per, requests, seconds }) =>
          `${requests} in ${Math.round(seconds)} s for each ${per}`).join("; ")))))),
  ];
}
