// Search over names, summaries, fields and codes. Every word must occur; names count most.

const SHOWN = 30;

let index = null;

function entries({ operations, pushes, schemas, errors }) {
  return [
    ...[...operations.values()].map((each) => entry(each.name, "operation", each.name, each.summary,
      [each.description, each.http && `${each.http.method} ${each.http.path}`, ...each.fields.map(({ name }) => name),
        ...each.statuses.flatMap(({ codes }) => codes.map(({ code }) => code))])),
    ...[...pushes.values()].map((each) => entry(each.name, "push", each.event, each.summary, [each.namespace])),
    ...[...errors.values()].map((each) => entry(`errors.${each.code}`, "refusal", each.code, each.meaning, [])),
    ...[...schemas].map(([name, schema]) => entry(`schema.${name}`, "schema", name, schema.description ?? "",
      Object.keys(schema.properties ?? {}))),
  ];
}

function entry(place, kind, name, summary, more) {
  const lower = (text) => text.toLowerCase();
  return { place, kind, name, summary, key: lower(name), second: lower(summary), third: lower(more.filter(Boolean).join(" ")) };
}

function score({ key, second, third, kind }, word) {
  const weight = { operation: 3, push: 2, refusal: 1, schema: 0 }[kind];
  if (key === word) return 100 + weight;
  if (key.startsWith(word) || key.includes(`.${word}`)) return 60 + weight;
  if (key.includes(word)) return 40 + weight;
  if (second.includes(word)) return 20 + weight;
  return third.includes(word) ? 5 + weight : 0;
}

/** What fits best, at most 30. */
export function search(reference, text) {
  index ??= entries(reference);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = index.map((each) => ({ each, scores: words.map((word) => score(each, word)) }))
    .filter(({ scores }) => scores.every((points) => points > 0))
    .map(({ each, scores }) => ({ each, points: scores.reduce((sum, points) => sum + points, 0) }));
  found.sort((one, other) => other.points - one.points || (one.each.key < other.each.key ? -1 : 1));
  return found.slice(0, SHOWN).map(({ each }) => each);
}
