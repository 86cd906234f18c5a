// Which ways to pay are offered, by what the server says about Stripe.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cannotPay, stripeKey, testMethods } from "../../static/js/client/payment_setup.js";

const SERVERS = [
  { server: "a sandbox", sandbox: true, key: "pk_test_1", form: null, cards: true, none: false },
  { server: "a sandbox without a key", sandbox: true, key: "", form: null, cards: true, none: false },
  { server: "Stripe", sandbox: false, key: "pk_live_1", form: "pk_live_1", cards: false, none: false },
  { server: "Stripe without a key", sandbox: false, key: "", form: null, cards: false, none: true },
];

for (const { server, sandbox, key, form, cards, none } of SERVERS) {
  test(`ways to pay with ${server}`, () => {
    const meta = { payments: { sandbox, stripe_publishable_key: key } };
    assert.equal(stripeKey(meta), form);
    assert.equal(testMethods(meta).length > 0, cards);
    assert.equal(cannotPay(meta), none);
  });
}

test("nothing is said while the server's answer is on its way", () => {
  assert.deepEqual([stripeKey(null), testMethods(null).length, cannotPay(null)], [null, 0, false]);
});
