// Code that calls an operation: for a shell, with the JavaScript client, and with the Python client.
//
// The examples of a page stand in a context: `$TOKEN` is an access token, `client` is a client that
// is signed in. `setUp` shows how one gets there. A test runs every example.

import { nameOf } from "./reference.js";

export const LANGUAGES = [["curl", "curl"], ["javascript", "JavaScript"], ["python", "Python"]];
const WIDTH = 76; // of a line that is not broken

/** The example of an operation in each language. `key` is a request id that is used once. */
export function examples(operation, origin, key) {
  const call = { ...operation, origin, key };
  return { curl: curl(call), javascript: javascript(call), python: python(call) };
}

/** The same of a push. There is nothing to ask for in a shell. */
export function listeners(push) {
  const { namespace, event, numbering } = push;
  const name = variable(push.data) ?? "data";
  const seq = numbering === "never" ? "" : ", { seq }";
  return {
    javascript: `client.${camel(namespace)}.on("${event}", (${name}${seq}) => {\n  console.log(${name}${seq && ", seq"});\n});`,
    python: `async for push in client.${snake(namespace)}.pushes("${event}"):\n    print(push.data${seq && ", push.seq"})`,
  };
}

/** How to get to a token and to clients that are signed in. */
export function setUp(origin, email, password) {
  const fields = { email, password };
  return {
    curl: [
      `TOKEN=$(curl --silent ${origin}/api/account/login \\`,
      `  --header 'Content-Type: application/json' \\`,
      `  --data ${quoted(JSON.stringify(fields))} |`,
      `  sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`,
    ].join("\n"),
    javascript: [
      `import { JobSphere } from "jobsphere-client";`,
      ``,
      `const client = new JobSphere({ url: "${origin}" });`,
      `${braces("await client.account.login(", fields)});`,
      `await client.connect();`,
    ].join("\n"),
    python: [
      `from jobsphere import Client`,
      ``,
      `client = Client("${origin}")`,
      called("await client.login", fields),
    ].join("\n"),
  };
}

// -- curl ------------------------------------------------------------------------------------

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl({ http, socket, fields, example, open, repeat, upload, answer, origin, key }) {
  if (!http) return null;
  const place = new Map(fields.map((field) => [field.name, field.place]));
  const at = (wanted) => Object.entries(example).filter(([name]) => (place.get(name) ?? "body") === wanted);
  const path = at("path").reduce(
    (found, [name, value]) => found.replace(`{${name}}`, encodeURIComponent(value)), http.path);
  const body = Object.fromEntries(at("body"));
  const isRead = http.method === "GET";
  const lines = [`${isRead ? "" : `--request ${http.method} `}${origin}${path}`];
  if (!open) lines.push(`--header "Authorization: Bearer $TOKEN"`);
  if (repeat === "request_id") lines.push(`--header 'Idempotency-Key: ${key}'`);
  for (const { name, place: where, required } of fields) {
    if (where === "header" && required) lines.push(`--header "${name}: $${name.replaceAll("-", "_").toUpperCase()}"`);
  }
  if (isRead && at("query").length) {
    const pairs = at("query").flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
    lines.push("--get", ...pairs.map(([name, value]) => `--data-urlencode ${quoted(`${name}=${asQuery(value)}`)}`));
  }
  if (upload) lines.push(`--form 'file=@fence.png'`);
  else if (!isRead && (Object.keys(body).length || !socket)) {
    lines.push(`--header 'Content-Type: application/json'`, `--data ${quoted(JSON.stringify(body, null, 2))}`);
  }
  if (isFile(answer)) lines.push(`--output ${fileName(answer)}`);
  return `curl ${lines.join(" \\\n  ")}`;
}

const asQuery = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
const isFile = ({ types }) => !types.includes("application/json");
const fileName = ({ types }) => (types.includes("text/csv") ? "statement.csv" : "copy.png");

// -- both clients ----------------------------------------------------------------------------

const camel = (name) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replaceAll("-", "_");
const method = (name) => name.slice(name.indexOf(".") + 1).replaceAll(".", "_");

/** A name for what an answer is: `job` for a Job. */
function variable(schema) {
  const name = schema && nameOf(schema);
  return name && name[0].toLowerCase() + name.slice(1);
}

/** All in one line if there is room behind `before`, or else a line for each entry. */
function listed(before, [open, close], entries, step) {
  const line = `${before}${open}${entries.join(", ")}${close}`;
  if (entries.length === 0 || (line.length <= WIDTH && !line.includes("\n"))) return line;
  const lines = entries.map((entry) => `${step}${entry.replaceAll("\n", `\n${step}`)},\n`);
  return `${before}${open.trimEnd()}\n${lines.join("")}${close.trimStart()}`;
}

// -- JavaScript ------------------------------------------------------------------------------

const TWO = "  ";

function literal(value) {
  if (Array.isArray(value)) return listed("", "[]", value.map(literal), TWO);
  return value && typeof value === "object" ? braces("", value) : JSON.stringify(value);
}

function braces(before, value) {
  const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
  const entries = Object.entries(value).map(([name, each]) => `${key(name)}: ${literal(each)}`);
  return listed(before, entries.length ? ["{ ", " }"] : ["{", "}"], entries, TWO);
}

function javascript({ name, namespace, example, answer, upload, http, origin }) {
  const given = variable(answer.schema) ?? "answer";
  if (name === "meta") return `const meta = await client.meta();`;
  if (namespace === "server") return fetched({ http, origin, given });
  const path = `client.${camel(namespace)}.${method(name)}`;
  if (upload) {
    return [
      `const file = new Blob(["Two coats of white paint."]);`,
      `const ${given} = await ${path}({ file, name: "paint.txt" });`,
    ].join("\n");
  }
  const result = isFile(answer) ? "{ name, blob }" : given;
  const call = `const ${result} = await ${path}(`;
  return `${Object.keys(example).length ? braces(call, example) : call});`;
}

function fetched({ http, origin, given }) {
  const options = http.method === "GET" ? "" : `, { method: "${http.method}" }`;
  return [
    `const response = await fetch("${origin}${http.path}"${options});`,
    `const ${given} = await response.json();`,
  ].join("\n");
}

// -- Python ----------------------------------------------------------------------------------

const FOUR = "    ";
const OF_CLIENT = new Set(["account.login", "account.register"]); // they connect as well
const SIGNS_IN = new Set(["account.login_code", "account.passkey_login"]);

function python({ name, namespace, example, answer, upload, http, origin }) {
  const given = snakeCase(variable(answer.schema) ?? "answer");
  if (name === "meta") return `meta = await client.meta()`;
  if (namespace === "server") return requested({ http, origin, given });
  if (upload) return `${given} = await client.upload(Path("fence.png"))`;
  if (name === "files.get") return `await client.download("${example.file_id}", Path("copy.png"))`;
  if (isFile(answer)) {
    return listed("await client.save", "()", [
      `"${http.path}"`, `Path("${fileName(answer)}")`, pythonic(example),
    ], FOUR);
  }
  const owner = OF_CLIENT.has(name) ? "client" : `client.${snake(namespace)}`;
  const call = called(`${given} = await ${owner}.${method(name)}`, example);
  return SIGNS_IN.has(name) ? `${call}\nawait client.resume(${given})` : call;
}

function pythonic(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return listed("", "[]", value.map(pythonic), FOUR);
  if (typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${pythonic(each)}`);
  return listed("", "{}", entries, FOUR);
}

function called(before, fields) {
  const entries = Object.entries(fields).map(([name, value]) => `${name}=${pythonic(value)}`);
  return listed(before, "()", entries, FOUR);
}

const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function requested({ http, origin, given }) {
  return [
    `async with aiohttp.ClientSession() as http:`,
    `    async with http.${http.method.toLowerCase()}("${origin}${http.path}") as response:`,
    `        ${given} = await response.json()`,
  ].join("\n");
}
