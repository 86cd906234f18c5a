// The command palette: which entries fit what one types.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fitting } from "../../static/js/shared/palette.js";

const ENTRIES = [
  { path: "/payments", label: "Payments", icon: "credit-card", more: "Money" },
  { path: "/payments/methods", label: "Saved payment methods", icon: "credit-card", more: "Payments" },
  { path: "/settings/security", label: "Security", icon: "key-round", more: "Settings" },
];
const paths = (text) => fitting(ENTRIES, text).map(({ path }) => path);

test("words are found by their beginnings, in any order and case", () => {
  assert.deepEqual(paths("PAY"), ["/payments", "/payments/methods"]);
  assert.deepEqual(paths("meth pay"), ["/payments/methods"]);
  assert.deepEqual(paths("set sec"), ["/settings/security"]);
});

test("nothing typed is everything, and parts within words are nothing", () => {
  assert.equal(paths("  ").length, 3);
  assert.deepEqual(paths("ments"), []);
});
