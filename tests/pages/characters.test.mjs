// Lengths of texts: as people see them, and as the server counts them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLength, countCharacters, shorten, tooLong } from "../../static/js/shared/characters.js";

const FAMILY = "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}";

test("characters are counted as people see them", () => {
  const counts = { "": 0, fence: 5, "Łódź": 4, "e\u0301": 1, [FAMILY]: 1, "स्ते": 1, "\u{1f1ea}\u{1f1fa}": 1, "👍🏽": 1, "a\nb": 3 };
  for (const [text, count] of Object.entries(counts)) assert.equal(countCharacters(text), count, text);
});

test("what has no shape is no character", () => {
  assert.equal(countCharacters("a\u200bb\u00ad"), 2);
  assert.equal(countCharacters("❤\ufe0f"), 1);
});

test("a field takes as many emoji as characters, and no more", () => {
  assert.equal(tooLong("😀".repeat(100), 100), "");
  assert.equal(tooLong("😀".repeat(101), 100), "At most 100 characters; these are 101.");
  assert.match(tooLong(FAMILY.repeat(100), 100), /too much room: 1,800 of 800 bytes/);
});

test("a text is shortened between characters", () => {
  assert.equal(shorten(FAMILY.repeat(3), 2), FAMILY.repeat(2));
  assert.equal(shorten("fence", 3), "fen");
  assert.equal(shorten("fence", 5), "fence");
});

test("a form with too long a text is not sent until it is shorter", () => {
  const field = { value: "😀".repeat(3), validity: "", setCustomValidity(problem) { this.validity = problem; } };
  checkLength(field, 2);
  assert.notEqual(field.validity, "");
  field.value = "😀";
  assert.equal(checkLength(field, 2), "");
  assert.equal(field.validity, "");
});
