"""Account objects: new, the platform's own, and bank accounts."""

from __future__ import annotations

from server.dev.stripe_sandbox.currencies import local_currency
from server.dev.stripe_sandbox.errors import Json
from server.dev.stripe_sandbox.store import new_id

CAPABILITIES = ("transfers", "card_payments")
METHOD_CAPABILITIES = ("link_payments", "crypto_payments", "us_bank_account_ach_payments")
INITIAL_REQUIREMENTS = [
    "external_account",
    "individual.first_name",
    "individual.last_name",
    "tos_acceptance.date",
]


def new_account(name: str, country: str, created: int) -> Json:
    """A new account, not onboarded."""
    return {
        "id": name,
        "object": "account",
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "mcc": None,
            "minority_owned_business_designation": None,
            "name": None,
            "product_description": None,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": None,
        "capabilities": {},
        "charges_enabled": False,
        "controller": {"is_controller": True, "type": "application"},
        "country": country,
        "created": created,
        "default_currency": local_currency(country),
        "details_submitted": False,
        "email": None,
        "external_accounts": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/accounts/{name}/external_accounts",
        },
        "future_requirements": requirements([]),
        "metadata": {},
        "payouts_enabled": False,
        "requirements": requirements(INITIAL_REQUIREMENTS),
        "settings": _settings(),
        "tos_acceptance": {
            "date": None,
            "ip": None,
            "service_agreement": "full",
            "user_agent": None,
        },
        "type": "express",
    }


def requirements(due: list[str]) -> Json:
    """The requirements object with these fields due."""
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": list(due),
        "disabled_reason": "requirements.past_due" if due else None,
        "errors": [],
        "eventually_due": list(due),
        "past_due": list(due),
        "pending_verification": [],
    }


def _settings() -> Json:
    kana = {"statement_descriptor_kana": None, "statement_descriptor_kanji": None}
    prefix = "statement_descriptor_prefix"
    return {
        "bacs_debit_payments": {"display_name": None, "service_user_number": None},
        "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
        "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
        "card_payments": {
            "decline_on": {"avs_failure": False, "cvc_failure": False},
            prefix: None,
            f"{prefix}_kana": None,
            f"{prefix}_kanji": None,
        },
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "payments": {"statement_descriptor": None, **kana},
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "daily"},
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    }


def new_platform_account(name: str, created: int) -> Json:
    """The platform's own account: all capabilities active, manual payouts."""
    account = new_account(name, "US", created)
    account.update(
        charges_enabled=True,
        payouts_enabled=True,
        details_submitted=True,
        type="standard",
        capabilities=dict.fromkeys((*CAPABILITIES, *METHOD_CAPABILITIES), "active"),
        controller={"type": "account"},
        requirements=requirements([]),
    )
    account["settings"]["payouts"]["schedule"]["interval"] = "manual"
    return account


def new_bank_account(account: Json, currency_code: str, person: Json) -> Json:
    """A bank account that the onboarding page adds."""
    nothing: Json = {"currently_due": [], "errors": [], "past_due": [], "pending_verification": []}
    return {
        "id": new_id("ba_1"),
        "object": "bank_account",
        "account": account["id"],
        "account_holder_name": person.get("name") or None,
        "account_holder_type": "individual",
        "account_type": None,
        "available_payout_methods": ["standard"],
        "bank_name": "SANDBOX TEST BANK",
        "country": account["country"],
        "currency": currency_code,
        "default_for_currency": True,
        "fingerprint": new_id("", 16),
        "future_requirements": nothing,
        "last4": (person.get("bank_account") or "000123456789")[-4:],
        "metadata": {},
        "requirements": nothing,
        "routing_number": "110000000",
        "status": "new",
    }
