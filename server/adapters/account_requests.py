"""The requests that create connected accounts and links to their onboarding, in both versions.

With separate charges and transfers a contractor is not the merchant of record, so an account of
/v2 has the `recipient` configuration; `merchant` as well only where Stripe refuses it alone. An
account of /v1 has `card_payments` under the full agreement: `transfers` alone needs an approval.
Sources: Stripe, "Accounts v2", "Service agreement types", "Account capabilities".
"""

from collections.abc import Sequence
from typing import Any

RECIPIENT, MERCHANT = "recipient", "merchant"
# Stripe's codes for "request card_payments as well".
NEEDS_MERCHANT = (
    "capability_not_available_without_other_capability",
    "capability_not_available_without_other_capability_in_country",
)
INCLUDED = ["configuration.recipient", "requirements"]
MADE_BY, V2 = "made_by", "v2"  # in the metadata, which both versions show
REQUESTED = {"requested": True}


def account_v1(*, email: str, user_id: str, country: str, agreement: str) -> dict[str, Any]:
    capabilities = {"transfers": REQUESTED}
    if agreement == "full":
        capabilities["card_payments"] = REQUESTED
    return {
        "type": "express",
        "country": country,
        "email": email,
        "metadata": {"user_id": user_id},
        "capabilities": capabilities,
        "settings": {"payouts": {"schedule": {"interval": "manual"}}},
        **(
            {"tos_acceptance": {"service_agreement": agreement}} if agreement == "recipient" else {}
        ),
    }


def account_v2(*, email: str, user_id: str, country: str, merchant: bool) -> dict[str, Any]:
    """The platform collects the fees and bears losses; Stripe collects the requirements."""
    configuration: dict[str, Any] = {
        RECIPIENT: {"capabilities": {"stripe_balance": {"stripe_transfers": REQUESTED}}}
    }
    if merchant:
        configuration[MERCHANT] = {"capabilities": {"card_payments": REQUESTED}}
    return {
        "contact_email": email,
        "dashboard": "express",
        "configuration": configuration,
        "defaults": {
            "responsibilities": {
                "fees_collector": "application",
                "losses_collector": "application",
            }
        },
        "identity": {"country": country.lower()},
        "metadata": {"user_id": user_id, MADE_BY: V2},
        "include": INCLUDED,
    }


def link_v1(account_id: str, public_url: str) -> dict[str, Any]:
    return {"account": account_id, "type": "account_onboarding", **_returns(public_url)}


def link_v2(account_id: str, configurations: Sequence[str], public_url: str) -> dict[str, Any]:
    """Stripe wants the account's configurations to be named, all of them."""
    use = {"configurations": list(configurations), **_returns(public_url)}
    return {
        "account": account_id,
        "use_case": {"type": "account_onboarding", "account_onboarding": use},
    }


def _returns(public_url: str) -> dict[str, str]:
    return {
        "refresh_url": f"{public_url}/?onboarding=again",
        "return_url": f"{public_url}/?onboarding=done",
    }
