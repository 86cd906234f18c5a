// What ids name: our own pages about them, and those of Stripe's dashboard.

// Ours are 24 hexadecimal digits behind their kind; Stripe's have other characters and lengths.
const OURS = /^[a-z]+_[0-9a-f]{24}$/;
const ANY = /\b[a-z]{2,4}_(?=[A-Za-z]*\d)[A-Za-z0-9]{8,}\b/g;

/** @type {Record<string, (id: string) => string | undefined>} */
const PAGES = {
  usr: (id) => `/admin/users/${id}`,
  alr: () => "/admin/alerts?show=all",
  apr: () => "/admin/approvals",
  cbk: (id) => `/admin/chargebacks/${id}`,
  dif: () => "/admin/differences",
  dsp: (id) => `/admin/disputes/${id}`,
  fln: () => "/admin/foreign-lines",
  evt: (id) => `/admin/webhook-events/${id}`,
  job: (id) => `/admin/jobs/${id}`,
  ofr: (id) => `/admin/offers/${id}`,
  own: () => "/admin/ownerless",
  out: () => "/admin/dead-letters",
  pay: (id) => `/admin/payments/${id}`,
  rec: (id) => `/admin/reconciliations/${id}`,
  rep: () => "/admin/reports",
  trf: (id) => `/admin/transfers?transfer_id=${id}`,
  trl: () => "/admin/audit",
  // A line of Stripe's books has this kind, too.
  txn: (id) => (OURS.test(id) ? `/admin/transactions?transaction_id=${id}` : undefined),
  wdr: (id) => `/admin/withdrawals?withdrawal_id=${id}`,
};

/** @type {Record<string, string>} */
const DASHBOARD = {
  pi: "payments", ch: "payments", py: "payments", re: "refunds", tr: "connect/transfers", dp: "disputes", du: "disputes",
  acct: "connect/accounts", cus: "customers", po: "payouts",
};

const kindOf = (/** @type {string} */ id) => (id.includes("_") ? id.split("_")[0] : "");

/** The page about what an id names; undefined if there is none. @param {string} id */
export const pageOf = (id) => PAGES[kindOf(id)]?.(id);

/** Whether Stripe's dashboard has a page about it. @param {string} id */
export const isAtStripe = (id) => kindOf(id) in DASHBOARD;

/**
 * The page of Stripe's dashboard about it; undefined if there is none, and without a real key.
 *
 * @param {string} id
 * @param {{stripe_publishable_key?: string | null, sandbox?: boolean}} payments of `/api/meta`
 */
export function dashboardOf(id, { stripe_publishable_key: key, sandbox = true }) {
  if (sandbox || !key?.startsWith("pk_") || !isAtStripe(id)) return undefined;
  return `https://dashboard.stripe.com/${key.startsWith("pk_live_") ? "" : "test/"}${DASHBOARD[kindOf(id)]}/${id}`;
}

/**
 * A text in parts: what is between ids, and each id that has a page. Both may be empty.
 *
 * @param {string} text
 * @returns {{text: string, id: string}[]} the id follows the text
 */
export function partsOf(text) {
  const parts = [];
  let from = 0;
  for (const { 0: id, index } of text.matchAll(ANY)) {
    if (!pageOf(id) && !isAtStripe(id)) continue;
    parts.push({ text: text.slice(from, index), id });
    from = index + id.length;
  }
  return from < text.length ? [...parts, { text: text.slice(from), id: "" }] : parts;
}
