// What ids name: pages of ours and of Stripe's dashboard, and the ids in texts and records.

import assert from "node:assert/strict";
import { test } from "node:test";
import { dashboardOf, pageOf, partsOf } from "../../static/js/admin/ids.js";

const JOB = "job_665f1c2ab0a1b2c3d4e5f601";
const PAYMENT = "pay_665f1c2ab0a1b2c3d4e5f602";
const CHARGE = "ch_3PqR5sT7uV9wXyZ1";
const ids = (text) => partsOf(text).map(({ id }) => id).filter(Boolean);

test("ids are found in texts, in records and alone, and nothing of the text is lost", () => {
  for (const [text, found] of [
    [JOB, [JOB]],
    [`See ${CHARGE}: it paid ${PAYMENT}.`, [CHARGE, PAYMENT]],
    [JSON.stringify({ job_id: JOB, status: "open", files: [PAYMENT] }), [JOB, PAYMENT]],
    [`escrow:${JOB}`, [JOB]],
    ["", []],
    ["pay_out of job_cancelled in rep_resentation, out_of_service, 12345678", []],
    [`asg_${JOB} and fil_665f1c2ab0a1b2c3d4e5f603`, []],
  ]) {
    assert.deepEqual(ids(text), found, text);
    assert.equal(partsOf(text).map(({ text: between, id }) => between + id).join(""), text);
  }
});

test("a line of Stripe's books is no transaction of the journal", () => {
  assert.equal(pageOf("txn_665f1c2ab0a1b2c3d4e5f604"), "/admin/transactions?transaction_id=txn_665f1c2ab0a1b2c3d4e5f604");
  assert.equal(pageOf("txn_3PqR5sT7uV9wXyZ1"), undefined);
  assert.equal(pageOf("nothing"), undefined);
});

test("the dashboard is linked with a real key only", () => {
  const real = (mode) => ({ stripe_publishable_key: `pk_${mode}_1`, sandbox: false });
  assert.equal(dashboardOf(CHARGE, real("live")), `https://dashboard.stripe.com/payments/${CHARGE}`);
  assert.equal(dashboardOf("acct_1PqR5sT7", real("test")), "https://dashboard.stripe.com/test/connect/accounts/acct_1PqR5sT7");
  assert.equal(dashboardOf("cus_PqR5sT7uV9", real("live")), "https://dashboard.stripe.com/customers/cus_PqR5sT7uV9");
  assert.equal(dashboardOf("po_1PqR5sT7uV", real("live")), "https://dashboard.stripe.com/payouts/po_1PqR5sT7uV");
  assert.equal(dashboardOf(JOB, real("live")), undefined);
  assert.equal(dashboardOf(CHARGE, { ...real("live"), sandbox: true }), undefined);
  assert.equal(dashboardOf(CHARGE, {}), undefined);
  assert.equal(dashboardOf(CHARGE, { stripe_publishable_key: null, sandbox: false }), undefined);
});
