// The previews of who gets what. The same rules are tested for the server in tests/properties.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterDebt, atPercent, earnable, openAmount, refundable, share, splitAll, splitApproval,
  splitDispute, splitParts,
} from "../../static/js/shared/fees.js";

const FEES = { platform_bps: 1_000, service_bps: 2_000 };

function offer(changes = {}) {
  const milestone = (amount, status = "pending") => ({ amount, status });
  return {
    captured_amount: 100_000, refunded_amount: 0, charged_back_amount: 0, contested_amount: 0,
    completed_amount: 0, refunds: [], schedule: FEES,
    milestones: [milestone(40_000), milestone(60_000)],
    ...changes,
  };
}

const completed = (changes = {}) => offer({
  completed_amount: 40_000,
  milestones: [{ amount: 40_000, status: "completed" }, { amount: 60_000, status: "delivered" }],
  ...changes,
});

test("an offer of 1,000.00 pays 700.00", () => {
  assert.deepEqual(splitAll(100_000, FEES),
    { amount: 100_000, customer: 0, contractor: 70_000, platform: 30_000 });
});

test("parts add up to the whole, whatever the amounts", () => {
  for (const amounts of [[1, 1, 1], [33, 33, 34], [7, 99_999_992], [50, 51, 52, 53]]) {
    const whole = splitAll(amounts.reduce((sum, each) => sum + each), FEES);
    const parts = splitParts(amounts, FEES);
    assert.equal(parts.reduce((sum, { contractor }) => sum + contractor, 0), whole.contractor);
    assert.equal(parts.reduce((sum, { platform }) => sum + platform, 0), whole.platform);
  }
});

test("shares are exact for the largest amount", () => {
  assert.equal(share(99_999_999, { platform_bps: 333, service_bps: 9_667 }),
    99_999_999 - 3_329_999 - 96_669_999);
});

test("approving one milestone pays that one", () => {
  const { amount, contractor, platform } = splitApproval(offer(), 1);
  assert.deepEqual({ amount, contractor, platform },
    { amount: 40_000, contractor: 28_000, platform: 12_000 });
});

test("the last open milestone gets the whole rest", () => {
  const part = { status: "requested", amount: 10_000, completed_amount: 0 };
  assert.equal(openAmount(completed({ refunds: [part] }), [2]), 50_000);
  assert.equal(openAmount(completed({ refunded_amount: 20_000 }), [2]), 40_000);
});

test("what is requested as a refund can neither be earned nor refunded again", () => {
  const refunds = [{ status: "requested", amount: 70_000, completed_amount: 10_000 },
    { status: "failed", amount: 5_000, completed_amount: 0 }];
  const found = completed({ refunds });
  assert.equal(earnable(found), 0);
  assert.equal(refundable(found), 30_000);
});

test("contested money is not refundable", () => {
  assert.equal(refundable(offer({ contested_amount: 100_000 })), 0);
});

test("a dispute divides what is at stake, the fee of what goes back included", () => {
  assert.deepEqual(splitDispute(completed(), [2], 30_000),
    { amount: 60_000, customer: 30_000, contractor: 21_000, platform: 9_000 });
  assert.deepEqual(splitDispute(completed(), [2], 90_000),
    { amount: 60_000, customer: 60_000, contractor: 0, platform: 0 });
});

test("debts are paid first", () => {
  assert.deepEqual(afterDebt(1_000, -300), { repaid: 300, rest: 700 });
  assert.deepEqual(afterDebt(1_000, -5_000), { repaid: 1_000, rest: 0 });
  assert.deepEqual(afterDebt(1_000, 0), { repaid: 0, rest: 1_000 });
});

test("the slider reaches both ends in steps", () => {
  assert.equal(atPercent(40_055, 0, 10), 0);
  assert.equal(atPercent(40_055, 100, 10), 40_050);
  assert.equal(atPercent(40_055, 50, 10), 20_030);
});
