// Who gets what of an offer's money: the server's arithmetic (domain/kernel/money.py), for previews.
//
// All amounts are integers in minor units. A part of the work pays the difference of two cumulative
// shares, so that rounding errors do not add up: nothing is rounded for a milestone by itself.

/**
 * @typedef {import("../../client/jobsphere.js").Schedule} Schedule
 * @typedef {import("../../client/jobsphere.js").Offer} Offer
 *
 * @typedef {object} Split what happens with an `amount`
 * @property {number} amount
 * @property {number} customer what goes back
 * @property {number} contractor
 * @property {number} platform
 */

const BASIS = 10_000;

/** `amount * bps / 10,000`, rounded down. @param {number} amount @param {number} bps */
function part(amount, bps) {
  const scaled = amount * bps;
  return (scaled - (scaled % BASIS)) / BASIS;
}

/** The platform's fee on an amount. @param {number} amount @param {Schedule} schedule */
export const platformFee = (amount, schedule) => part(amount, schedule.platform_bps);

/** The service fee on completed work. @param {number} amount @param {Schedule} schedule */
export const serviceFee = (amount, schedule) => part(amount, schedule.service_bps);

/** What the contractor has of so much completed work, all of it together. @param {number} completed @param {Schedule} schedule */
export const share = (completed, schedule) =>
  completed - platformFee(completed, schedule) - serviceFee(completed, schedule);

/** The fees that a new offer gets. @param {any} meta of `GET /api/meta` @returns {Schedule} */
export const scheduleOf = ({ money }) => ({
  platform_bps: money.platform_fee_bps, service_bps: money.service_fee_bps,
});

/** What completing `amount` more pays. @param {number} before @param {number} amount @param {Schedule} schedule @returns {Split} */
function completing(before, amount, schedule) {
  const contractor = share(before + amount, schedule) - share(before, schedule);
  return { amount, customer: 0, contractor, platform: amount - contractor };
}

/**
 * What each of these parts pays when they are completed one after the other.
 *
 * @param {number[]} amounts
 * @param {Schedule} schedule
 */
export function splitParts(amounts, schedule) {
  let before = 0;
  return amounts.map((amount) => {
    const split = completing(before, amount, schedule);
    before += amount;
    return split;
  });
}

/** What an offer of so much pays in all. @param {number} amount @param {Schedule} schedule */
export const splitAll = (amount, schedule) => completing(0, amount, schedule);

// -- offers that were made ---------------------------------------------------------------------

/** @param {Offer} offer */
const requested = ({ refunds }) => refunds.filter(({ status }) => status === "requested");

/** @param {{amount: number}[]} each */
const total = (each) => each.reduce((sum, { amount }) => sum + amount, 0);

/** Captured minus returned. @param {Offer} offer */
export const netAmount = ({ captured_amount, refunded_amount, charged_back_amount, returned_amount, paid_otherwise_amount }) =>
  Math.max(0, captured_amount - refunded_amount - charged_back_amount - (returned_amount ?? 0) - (paid_otherwise_amount ?? 0));

/** What can still be refunded. @param {Offer} offer */
export const refundable = (offer) =>
  netAmount(offer) - total(requested(offer)) - offer.contested_amount;

/** What can still be earned. @param {Offer} offer */
export function earnable(offer) {
  const leaving = requested(offer).reduce(
    (sum, { amount, completed_amount }) => sum + amount - completed_amount, 0);
  return netAmount(offer) - offer.completed_amount - leaving;
}

/** @param {{status: string}} milestone */
export const isOpen = ({ status }) => status === "pending" || status === "delivered";

/**
 * What these milestones (from 1) can still earn: the whole rest if no other one is open.
 *
 * @param {Offer} offer
 * @param {number[]} numbers
 */
export function openAmount(offer, numbers) {
  const agreed = total(numbers.map((number) => offer.milestones[number - 1]));
  const othersOpen = offer.milestones.some((each, at) => isOpen(each) && !numbers.includes(at + 1));
  return othersOpen ? Math.min(agreed, earnable(offer)) : earnable(offer);
}

/** What approving one milestone (from 1) pays. @param {Offer} offer @param {number} number */
export const splitApproval = (offer, number) =>
  completing(offer.completed_amount, openAmount(offer, [number]), offer.schedule);

/**
 * What each milestone pays, has paid or would have paid, in the order of their numbers: what is
 * completed has its share already, and the open ones follow.
 *
 * @param {Offer} offer
 */
export function splitMilestones(offer) {
  return splitParts(offer.milestones.map(({ amount }) => amount), offer.schedule);
}

/**
 * What the end of a dispute does: `refund` goes back to the customer, and the rest counts as
 * completed work.
 *
 * @param {Offer} offer
 * @param {number[]} numbers the milestones in dispute
 * @param {number} refund
 * @returns {Split}
 */
export function splitDispute(offer, numbers, refund) {
  const amount = openAmount(offer, numbers);
  const customer = Math.min(refund, amount);
  const { contractor } = completing(offer.completed_amount, amount - customer, offer.schedule);
  return { amount, customer, contractor, platform: amount - customer - contractor };
}

/**
 * How much of new earnings pays a debt first; `debt` is zero or below.
 *
 * @param {number} earned
 * @param {number} debt
 */
export function afterDebt(earned, debt) {
  const repaid = Math.min(earned, Math.abs(debt));
  return { repaid, rest: earned - repaid };
}

/**
 * The amount at `percent` of a whole, in steps; 100 is the whole as far as steps reach.
 *
 * @param {number} whole
 * @param {number} percent
 * @param {number} step
 */
export function atPercent(whole, percent, step) {
  const most = whole - (whole % step);
  return Math.min(most, Math.round((whole * percent) / 100 / step) * step);
}

/** "10 %", "2.5 %". @param {number} bps */
export const percent = (bps) => `${bps / 100}\u00a0%`;
