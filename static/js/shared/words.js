// What each status is called, with the icon and the tone that go with the word.

/**
 * @typedef {object} Status
 * @property {string} word
 * @property {import("./icons.js").IconName} icon
 * @property {"good" | "wait" | "bad" | "mine" | ""} tone
 */

/** @type {(word: string, icon: import("./icons.js").IconName, tone?: Status["tone"]) => Status} */
const status = (word, icon, tone = "") => ({ word, icon, tone });

/** @type {Record<string, Record<string, Status>>} */
export const STATUSES = {
  job: {
    open: status("Open", "circle-dot", "mine"),
    assigned: status("Assigned", "handshake", "wait"),
    in_progress: status("In progress", "hourglass", "wait"),
    completed: status("Completed", "circle-check", "good"),
    cancelled: status("Cancelled", "circle-x"),
  },
  application: {
    pending: status("Waiting", "clock", "wait"),
    accepted: status("Shortlisted", "user-check", "good"),
    rejected: status("Declined", "circle-x"),
    withdrawn: status("Withdrawn", "undo-2"),
  },
  offer: {
    awaiting_payment: status("Payment to be confirmed", "credit-card", "wait"),
    pending: status("Waiting for an answer", "clock", "wait"),
    accepting: status("Being accepted", "loader-circle", "wait"),
    accepted: status("Accepted", "handshake", "good"),
    rejected: status("Declined", "circle-x"),
    countered: status("Answered with other terms", "reply", "mine"),
    withdrawn: status("Withdrawn", "undo-2"),
    expired: status("Expired", "hourglass"),
    blocked: status("Stopped", "ban", "bad"),
    failed: status("Payment failed", "circle-alert", "bad"),
  },
  milestone: {
    pending: status("Not delivered yet", "circle"),
    delivered: status("Delivered: to be approved", "eye", "wait"),
    completed: status("Approved and paid", "circle-check", "good"),
    cancelled: status("Ended", "circle-x"),
  },
  payment: {
    requires_payment: status("To be confirmed", "credit-card", "wait"),
    authorized: status("Held", "lock", "mine"),
    capturing: status("Being charged", "loader-circle", "wait"),
    captured: status("Charged", "circle-check", "good"),
    partially_refunded: status("Refunded in part", "undo-2"),
    refunded: status("Refunded", "undo-2"),
    canceled: status("Released", "undo-2"),
    failed: status("Failed", "circle-alert", "bad"),
  },
  dispute: {
    open: status("Open", "scale", "bad"),
    proposed: status("A split is proposed", "scale", "wait"),
    escalated: status("JobSphere decides", "shield", "wait"),
    resolved: status("Resolved", "circle-check", "good"),
  },
  chargeback: {
    inquiry: status("The bank asks", "circle-help", "wait"),
    open: status("Open", "undo-2", "bad"),
    won: status("Won", "circle-check", "good"),
    lost: status("Lost", "circle-x", "bad"),
    closed: status("Closed", "circle-check"),
  },
  report: {
    open: status("Open", "flag", "bad"),
    acted: status("Acted on", "circle-check", "good"),
    dismissed: status("Dismissed", "circle-x"),
  },
  event: {
    received: status("Received", "clock", "wait"),
    working: status("In work", "loader-circle", "wait"),
    done: status("Done", "circle-check", "good"),
    dead: status("Failed", "circle-alert", "bad"),
    quarantined: status("Quarantined", "shield-alert", "bad"),
    not_ours: status("Not ours", "circle-x"),
  },
  reconciliation: {
    running: status("Running", "loader-circle", "wait"),
    clean: status("No difference", "circle-check", "good"),
    different: status("Differences", "triangle-alert", "bad"),
    failed: status("Failed", "circle-alert", "bad"),
  },
  difference: {
    open: status("Open", "triangle-alert", "bad"),
    explained: status("Explained", "circle-check", "good"),
    gone: status("Gone", "circle-check"),
  },
  foreign_line: {
    open: status("Open", "triangle-alert", "bad"),
    assigned: status("Assigned", "circle-check", "good"),
  },
  approval: {
    pending: status("Waits", "clock", "wait"),
    executed: status("Done", "circle-check", "good"),
    declined: status("Declined", "circle-x"),
    expired: status("Expired", "hourglass"),
  },
  transfer: {
    waiting: status("Waits", "clock", "wait"),
    parked: status("Set aside", "hourglass", "bad"),
    sending: status("Being made", "loader-circle", "wait"),
    made: status("On its way", "arrow-right", "wait"),
    available: status("In the wallet", "circle-check", "good"),
    reversed: status("Taken back", "undo-2"),
    cancelled: status("Cancelled", "circle-x"),
  },
  refund: {
    requested: status("On its way", "clock", "wait"),
    made: status("Made", "circle-check", "good"),
    failed: status("Failed", "circle-alert", "bad"),
  },
  withdrawal: {
    requested: status("Requested", "clock", "wait"),
    in_transit: status("On its way to the bank", "landmark", "wait"),
    paid: status("Arrived", "circle-check", "good"),
    failed: status("Returned", "circle-alert", "bad"),
  },
};

/**
 * The status of a record; one that a newer server has is shown by its own name.
 *
 * @param {string} kind
 * @param {string} name
 */
export function statusOf(kind, name) {
  return STATUSES[kind]?.[name] ?? status(name.replaceAll("_", " "), "circle");
}
