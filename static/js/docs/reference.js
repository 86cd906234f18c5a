// The two documents as one reference: namespaces, operations, pushes, schemas and error codes.

const METHODS = ["get", "post", "put", "patch", "delete"];
const JSON_TYPE = "application/json";
const MEANING = /^- `(\w+)`: (.+)$/gm;

/** Everything that the pages show, from the parsed `/api/openapi.json` and `/api/asyncapi.json`. */
export function reference(openapi, asyncapi) {
  const documents = { openapi, asyncapi };
  const found = new Map([...routes(documents), ...socketOnly(documents)]);
  const operations = new Map([...found].sort(byPlace(openapi.tags)));
  const pushes = new Map(pushesOf(asyncapi));
  const names = new Set([...operations.values(), ...pushes.values()].map((each) => each.namespace));
  const namespaces = new Map([...names].map((name) => [name, {
    name,
    operations: [...operations.values()].filter((each) => each.namespace === name),
    pushes: [...pushes.values()].filter((each) => each.namespace === name),
  }]));
  const schemas = new Map(Object.entries({
    ...openapi.components.schemas, ...asyncapi.components.schemas,
  }).sort(([one], [other]) => (one < other ? -1 : 1)));
  return { version: openapi.info.version, namespaces, operations, pushes, schemas, errors: errorsOf(operations) };
}

/** The order of the document, namespace by namespace. */
function byPlace(tags) {
  const places = tags.map(({ name }) => name);
  return ([, one], [, other]) => places.indexOf(one.namespace) - places.indexOf(other.namespace);
}

/** What a `$ref` stands for, within its document. */
function resolve(document, found) {
  if (!found?.$ref) return found;
  return found.$ref.split("/").slice(1).reduce((part, name) => part[name], document);
}

export const nameOf = ({ $ref }) => $ref?.split("/").at(-1);

// -- operations ------------------------------------------------------------------------------

function* routes({ openapi, asyncapi }) {
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const method of METHODS.filter((name) => methods[name])) {
      const described = methods[method];
      const http = { method: method.toUpperCase(), path };
      const socket = asyncapi.operations[described.operationId];
      yield [described.operationId, {
        ...common(described.operationId, described.tags[0], described),
        http,
        socket: described["x-socket"] ?? null,
        joins: Boolean(socket?.["x-joins"]),
        open: described.security.length === 0,
        conditional: (described.parameters ?? []).some((each) => resolve(openapi, each).name === "If-None-Match"),
        ...input(openapi, described, twinExample(asyncapi, described)),
        ...(socket ? fromSocket(asyncapi, socket, described, openapi) : {}),
        answer: answerOf(openapi, described),
        statuses: statusesOf(openapi, described),
      }];
    }
  }
}

function* socketOnly({ openapi, asyncapi }) {
  for (const [name, described] of Object.entries(asyncapi.operations)) {
    if (described.action !== "receive" || described["x-http"]) continue;
    const { address } = resolve(asyncapi, described.channel);
    const ack = messageOf(asyncapi, described.reply);
    const [ok] = ack.payload.oneOf;
    const meanings = meaningsOf(openapi, described["x-codes"]);
    yield [name, {
      ...common(name, address.slice(1), described),
      http: null,
      socket: { namespace: address, event: messageOf(asyncapi, described).name },
      joins: Boolean(described["x-joins"]),
      open: described["x-roles"].length === 0,
      ...fromSocket(asyncapi, described),
      answer: { schema: ok.properties.data, example: ack.examples?.[0].payload.data, description: "", types: [JSON_TYPE] },
      statuses: [{ status: null, codes: meanings }],
    }];
  }
}

function common(name, namespace, described) {
  return {
    name,
    namespace,
    summary: described.summary,
    description: described.description ?? `${described.summary}.`,
    roles: described["x-roles"],
    limits: described["x-rate-limits"],
    repeat: described["x-repeat"],
    stepUp: Boolean(described["x-step-up"]),
    duringSetup: Boolean(described["x-during-setup"]),
  };
}

const messageOf = (asyncapi, { messages: [first] }) =>
  resolve(asyncapi, resolve(asyncapi, first));

/** The fields of the command, each with its place in the HTTP request. */
function fromSocket(asyncapi, described, route, openapi) {
  const message = messageOf(asyncapi, described);
  const payload = resolve(asyncapi, message.payload);
  const places = new Map(route ? parametersOf(openapi, route).map((each) => [each.name, each.in]) : []);
  return {
    fields: fieldsOf(payload, (name) => places.get(name) ?? "body"),
    example: message.examples?.[0].payload ?? {},
  };
}

/** The parameters of this operation alone; headers that many have are told once, in the facts. */
const parametersOf = (openapi, { parameters = [] }) =>
  parameters.filter((each) => nameOf(each) !== "IdempotencyKey" && nameOf(each) !== "IfNoneMatch")
    .map((each) => resolve(openapi, each));

/** The example of the command whose answer this route gives in another form. */
function twinExample(asyncapi, described) {
  const twin = asyncapi.operations[described["x-operation"]];
  return twin ? messageOf(asyncapi, twin).examples?.[0].payload : {};
}

/** The fields of an operation that has no socket command. */
function input(openapi, described, known) {
  const parameters = parametersOf(openapi, described);
  const content = described.requestBody?.content ?? {};
  const body = content[JSON_TYPE] ?? content["multipart/form-data"];
  const fields = parameters.map((each) => ({
    name: each.name,
    schema: { ...(each.schema ?? each.content[JSON_TYPE].schema), description: each.description },
    required: Boolean(each.required),
    place: each.in,
  }));
  const examples = parameters.filter((each) => "example" in each).map((each) => [each.name, each.example]);
  return {
    fields: [...fields, ...(body ? fieldsOf(resolve(openapi, body.schema), () => "body") : [])],
    example: { ...known, ...Object.fromEntries(examples), ...body?.example },
    upload: Boolean(content["multipart/form-data"]),
  };
}

/** The fields of an object's schema, as rows. */
export function fieldsOf(schema, place = () => null) {
  return Object.entries(schema.properties ?? {}).map(([name, field]) => ({
    name, schema: field, required: (schema.required ?? []).includes(name), place: place(name),
  }));
}

function answerOf(openapi, described) {
  const { content = {}, description } = resolve(openapi, described.responses[200]);
  const types = Object.keys(content);
  return { description, types, ...content[JSON_TYPE] };
}

// -- refusals --------------------------------------------------------------------------------

function meanings(description) {
  return [...description.matchAll(MEANING)].map(([, code, meaning]) => ({ code, meaning }));
}

function statusesOf(openapi, described) {
  return Object.entries(described.responses)
    .map(([status, response]) => ({ status, response: resolve(openapi, response) }))
    .filter(({ response }) => response["x-codes"])
    .map(({ status, response }) => ({ status, codes: meanings(response.description) }));
}

/** What codes mean, from wherever the document says it. */
function meaningsOf(openapi, codes) {
  const responses = Object.values(openapi.paths).flatMap((methods) => METHODS
    .flatMap((method) => Object.values(methods[method]?.responses ?? {})))
    .map((response) => resolve(openapi, response));
  const known = new Map(responses.flatMap(({ description }) => meanings(description))
    .map(({ code, meaning }) => [code, meaning]));
  return codes.map((code) => ({ code, meaning: known.get(code) ?? "" }));
}

function errorsOf(operations) {
  const errors = new Map();
  for (const operation of operations.values()) {
    for (const { status, codes } of operation.statuses) {
      for (const { code, meaning } of codes) {
        const known = errors.get(code) ?? { code, meaning, statuses: new Set(), operations: [] };
        if (status) known.statuses.add(status);
        known.operations.push(operation.name);
        errors.set(code, known);
      }
    }
  }
  return new Map([...errors].sort(([one], [other]) => (one < other ? -1 : 1)));
}

// -- pushes ----------------------------------------------------------------------------------

function* pushesOf(asyncapi) {
  for (const [name, described] of Object.entries(asyncapi.operations)) {
    if (described.action !== "send") continue;
    const message = messageOf(asyncapi, described);
    const { address } = resolve(asyncapi, described.channel);
    yield [name, {
      name,
      namespace: address.slice(1),
      event: message.name,
      summary: described.summary ?? message.summary,
      description: described.description ?? message.summary,
      numbering: described["x-numbering"],
      data: resolve(asyncapi, message.payload).properties.data,
      example: message.examples?.[0].payload,
    }];
  }
}
