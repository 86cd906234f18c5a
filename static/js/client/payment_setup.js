// How this server takes payments, from `GET /api/meta`: Stripe's form, the sandbox's test cards, or none.

/** The methods that a sandbox pays with. */
const TEST_METHODS = [
  { id: "pm_card_visa", label: "Visa •••• 4242" },
  { id: "pm_card_authenticationRequired", label: "Visa with 3-D Secure •••• 3184" },
  { id: "pm_card_chargeDeclined", label: "Declined card •••• 0002" },
];

/** The key for Stripe's form; null without one, and in a sandbox. @param {any} meta @returns {string | null} */
export const stripeKey = (meta) => (meta?.payments.sandbox ? null : meta?.payments.stripe_publishable_key || null);

/** The test cards; only a sandbox has any. @param {any} meta @returns {{id: string, label: string}[]} */
export const testMethods = (meta) => (meta?.payments.sandbox ? TEST_METHODS : []);

/** Whether no card can be entered or chosen here. @param {any} meta null while it is not known */
export const cannotPay = (meta) => Boolean(meta) && !meta.payments.sandbox && !stripeKey(meta);

export const CANNOT_PAY = "Nothing can be paid on this server yet: it has no key for Stripe's payment form.";
