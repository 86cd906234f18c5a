// Schemas for people: the fields of an object in a table, each with its type, limits and meaning.

import { el } from "./element.js";
import { fieldsOf, nameOf } from "./reference.js";
import { line, link, paragraphs } from "./text.js";

const number = (value) => value.toLocaleString("en");
const FORMATS = { "date-time": "time", email: "e-mail address", binary: "file", int64: "integer" };
const PATTERNS = {
  "[^\\s\\x1c-\\x1f\\x85\\ufeff]": "not only spaces",
  "^[^\\s\\x1c-\\x1f\\x85\\ufeff]+$": "no spaces",
  "^[\\x20-\\x7e]+$": "printable ASCII characters",
  "^[A-Za-z]{3}$": "three letters",
  "^[0-9]{6}$": "six digits",
};

const isNull = (schema) => schema.type === "null";

/** A schema without the null that it may be instead. */
function parts(schema) {
  const choices = schema.anyOf ?? schema.oneOf ?? [schema];
  const types = choices.flatMap((each) =>
    Array.isArray(each.type) ? each.type.map((type) => ({ ...each, type })) : [each]);
  return { choices: types.filter((each) => !isNull(each)), nullable: types.some(isNull) };
}

/** The type in words and links. */
export function typeOf(schema) {
  const { choices, nullable } = parts(schema);
  const shown = choices.flatMap((each, place) => (place > 0 ? [" or ", ...single(each)] : single(each)));
  return nullable ? [...shown, " or null"] : shown;
}

function single(schema) {
  if (schema.$ref) return [link(`#schema.${nameOf(schema)}`, nameOf(schema))];
  if ("const" in schema) return [el("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return schema.enum.flatMap((each, place) => [place ? " or " : "", el("code", {}, each)]);
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items ?? {})];
  if (typeof schema.additionalProperties === "object") return ["object, each value: ", ...typeOf(schema.additionalProperties)];
  if (schema.format) return [FORMATS[schema.format] ?? schema.format];
  return [{ string: "text", integer: "integer", number: "number", boolean: "true or false", object: "object" }[schema.type]
    ?? "anything"];
}

function range(least, most, unit) {
  if (least != null && most != null) return `${number(least)} to ${number(most)}${unit}`;
  if (most != null) return `up to ${number(most)}${unit}`;
  return least != null ? `at least ${number(least)}${unit}` : null;
}

/** The limits of one value, each in a few words. */
export function limitsOf(schema) {
  return parts(schema).choices.flatMap((each) => [
    range(each.minLength, each.maxLength, " characters"),
    range(each.minimum, each.maximum && each.exclusiveMinimum == null ? each.maximum : null, ""),
    each.exclusiveMinimum != null
      && `more than ${number(each.exclusiveMinimum)}${each.maximum ? `, up to ${number(each.maximum)}` : ""}`,
    range(each.minItems, each.maxItems, " items"),
    range(each.minProperties, each.maxProperties, " entries"),
    each.pattern && (PATTERNS[each.pattern] ?? el("code", {}, each.pattern)),
    ...(each.type === "array" && each.items ? limitsOf(each.items).map((limit) => ["each ", limit]) : []),
  ]).filter(Boolean);
}

function defaultOf({ schema, required }) {
  if (required || schema.default == null) return null;
  return ["default ", el("code", {}, JSON.stringify(schema.default))];
}

const PLACES = { path: "in the path", query: "in the query", header: "a header" };

/** `isInput` says which fields may be left out; answers have all of theirs. */
function row(field, schemas, isInput) {
  const { name, schema, required, place } = field;
  const limits = [...limitsOf(schema), defaultOf(field)].filter(Boolean);
  const inner = isInput ? nested(schema, schemas) : null;
  return el(
    "div.field-row", {},
    el("dt", {},
      el("code.field-name", {}, name),
      el("span.type", {}, typeOf(schema)),
      isInput && el(required ? "span.need.must" : "span.need", {}, required ? "required" : "optional"),
      PLACES[place] && el("span.need", {}, PLACES[place])),
    el("dd", {},
      schema.description && el("p", {}, line(schema.description)),
      limits.length > 0 && el("p.limits", {}, limits.flatMap((each, place) => [place ? " · " : "", each].flat())),
      inner),
  );
}

/** The fields of an object in a command, below the field that holds it. */
function nested(schema, schemas) {
  const [only] = parts(schema).choices;
  const name = nameOf(only?.type === "array" ? only.items : only ?? {});
  const found = schemas.get(name);
  if (!found?.properties) return null;
  return el("details", {}, el("summary", {}, `Fields of ${name}`), fields(fieldsOf(found), schemas, true));
}

export function fields(rows, schemas, isInput) {
  if (rows.length === 0) return el("p.none", {}, "No fields.");
  return el("dl.fields-list", {}, rows.map((field) => row(field, schemas, isInput)));
}

/** The page of one schema. */
export function schemaPage(name, reference) {
  const schema = reference.schemas.get(name);
  const isInput = schema.additionalProperties === false;
  return [
    el("p.kind", {}, "Schema"),
    el("h1", {}, el("code", {}, name)),
    schema.description && paragraphs(schema.description),
    schema.enum ? choices(schema.enum) : shape(schema, reference.schemas, isInput),
    usedBy(name, reference),
  ];
}

function shape(schema, schemas, isInput) {
  const title = schema.anyOf ? "One of" : "Fields";
  const content = schema.anyOf ? el("p", {}, typeOf(schema)) : fields(fieldsOf(schema), schemas, isInput);
  return el("section", {}, el("h2", {}, title), content);
}

function choices(values) {
  return el("section", {}, el("h2", {}, "Values"),
    el("ul.plain", {}, values.map((value) => el("li", {}, line(`\`${value}\``)))));
}

const mentions = (value, name) => JSON.stringify(value ?? null).includes(`/schemas/${name}"`);

function usedBy(name, { operations, pushes, schemas }) {
  const users = [
    ...[...operations.values()].filter((each) => mentions(each.fields, name) || mentions(each.answer.schema, name)),
    ...[...pushes.values()].filter((each) => mentions(each.data, name)),
  ].map((each) => link(`#${each.name}`, el("code", {}, each.name)));
  const holders = [...schemas].filter(([, schema]) => mentions(schema, name))
    .map(([holder]) => link(`#schema.${holder}`, el("code", {}, holder)));
  const all = [...users, ...holders];
  return all.length > 0 && el("section", {}, el("h2", {}, "Used by"),
    el("ul.plain", {}, all.map((each) => el("li", {}, each))));
}

export function schemaList({ schemas }) {
  return [
    el("h1", {}, "Schemas"),
    el("p", {}, "What commands, answers and pushes are made of. Answers and pushes always have all of their "
      + "fields and may get further ones: ignore those that you do not know."),
    el("ul.plain.index", {}, [...schemas].map(([name, { description }]) =>
      el("li", {}, link(`#schema.${name}`, el("code", {}, name)),
        description && el("small", {}, " ", line(description.split(/\n\s*\n/)[0]))))),
  ];
}
