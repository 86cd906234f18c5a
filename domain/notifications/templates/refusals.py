"""The reasons of refusals in plain words, by Stripe's code. Source: Stripe, "Error codes".

People read these; Stripe's own code and message go to administrators only. A code that is not
listed says nothing about what the person could do, so it gets the general sentence.
"""

from domain.notifications.text import one_line
from domain.ports.refusal import Refusal

GENERAL = "Stripe, which moves the money for us, does not allow it."
REASONS = {
    "account_invalid": "Stripe has closed the account, or it is not connected with us any more.",
    "account_country_invalid_address": "The address is not in the country of the account.",
    "amount_too_large": "The amount is more than Stripe moves at once.",
    "amount_too_small": "The amount is less than Stripe moves.",
    "balance_insufficient": "There is not enough money at Stripe for it yet.",
    "bank_account_unusable": "Stripe cannot use the bank account: give another one.",
    "bank_account_unverified": "The bank account has to be verified at Stripe first.",
    "charge_already_refunded": "All of the payment has been refunded already.",
    "charge_disputed": "The bank of the card disputes the payment, and decides about it.",
    "charge_exceeds_source_limit": "The amount is more than Stripe takes from this source.",
    "charge_not_refundable": "The payment cannot be refunded any more.",
    "country_code_invalid": "Stripe does not know this country.",
    "country_unsupported": "Stripe opens no accounts in this country.",
    "currency_not_supported": "Stripe does not pay this currency to the account.",
    "evidence_file_removed": "A file was removed before it was sent.",
    "email_invalid": "Stripe does not accept the e-mail address of your account here.",
    "insufficient_capabilities_for_transfer": "Your account at Stripe takes no money: finish "
    "setting up payouts.",
    "invalid_bank_account": "Stripe cannot use the bank account: give another one.",
    "payout_limit_exceeded": "The amount is more than Stripe pays out in a day.",
    "payouts_limit_exceeded": "The amount is more than Stripe pays out in a day.",
    "payouts_not_allowed": "Your account at Stripe may not pay out at the moment: open “Set up "
    "payouts” to see what Stripe wants to know.",
    "transfers_not_allowed": "Your account at Stripe takes no money at the moment.",
}


def reason_of(code: str) -> str:
    """The reason in plain words."""
    return REASONS.get(code, GENERAL)


def stripe_says(refusal: Refusal) -> str:
    """Stripe's own code, parameter and message, for administrators."""
    code = refusal.code if not refusal.decline_code else f"{refusal.code}/{refusal.decline_code}"
    param = f", about `{refusal.param}`" if refusal.param else ""
    return f"{code}{param}: {one_line(refusal.message, 300)}"
