// Amounts as people write and read them. Guard: the check of `kept.length > places` in `minor`
// (1.005 USD), and `EXPONENTS`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { display, minor } from "../../static/js/shared/money.js";

test("amounts are parsed exactly", () => {
  for (const [text, currency, amount] of [
    ["1000", "USD", 100_000],
    ["1,000.50", "USD", 100_050],
    ["0.07", "USD", 7],
    ["8.50000", "USD", 850],
    ["1.", "USD", 100],
    ["999999.99", "USD", 99_999_999],
    ["500", "JPY", 500],
    ["1.25", "KWD", 1_250],
  ]) {
    assert.equal(minor(text, currency), amount, text);
  }
});

test("what is no amount is refused", () => {
  const amounts = [
    ["1.005", "USD"], ["1.5", "JPY"], ["1,5", "USD"], ["-1", "USD"], ["1e3", "USD"], ["", "USD"],
    ["1000000", "USD"],
  ];
  for (const [text, currency] of amounts) {
    assert.throws(() => minor(text, currency), { code: "invalid" }, text);
  }
});

test("amounts are formatted exactly", () => {
  for (const [amount, currency, text] of [
    [70_000, "USD", "700.00 USD"],
    [5, "USD", "0.05 USD"],
    [-123_456, "EUR", "-1,234.56 EUR"],
    [1_234_567, "JPY", "1,234,567 JPY"],
    [1_250, "KWD", "1.250 KWD"],
    [0, "JPY", "0 JPY"],
  ]) {
    assert.equal(display(amount, currency), text);
  }
});
