"""Accounts and account links of the /v2 API. An account is one object, which /v1 shows as well.

Sources: Stripe, "Accounts v2" and its OpenAPI description.
"""

from __future__ import annotations

from server.dev.stripe_sandbox import connect, countries
from server.dev.stripe_sandbox.account_objects import new_account
from server.dev.stripe_sandbox.errors import Json, StripeError
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id
from server.dev.stripe_sandbox.v2_parameters import METADATA, Fields, malformed, moment

REQUESTED = {"requested*": bool}
INCLUDES = (
    "configuration.customer",
    "configuration.merchant",
    "configuration.recipient",
    "defaults",
    "future_requirements",
    "identity",
    "requirements",
)
CREATE: Fields = {
    "contact_email": str,
    "display_name": str,
    "dashboard": ("express", "full", "none"),
    "configuration": {
        "merchant": {"capabilities": {"card_payments": REQUESTED}},
        "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": REQUESTED}}},
    },
    "defaults": {
        "currency": str,
        "responsibilities": {
            "fees_collector*": ("application", "application_custom", "stripe"),
            "losses_collector*": ("application", "stripe"),
        },
    },
    "identity": {"country": str, "entity_type": ("company", "individual", "non_profit")},
    "metadata": METADATA,
    "include": [INCLUDES],
}
RETRIEVE: Fields = {"include": [INCLUDES]}
LIST: Fields = {"applied_configurations": [("merchant", "recipient")], "limit": int, "page": str}
CLOSE: Fields = {"applied_configurations": [("customer", "merchant", "recipient")]}
_USE: Fields = {
    "configurations*": [("customer", "merchant", "recipient")],
    "refresh_url*": str,
    "return_url": str,
    "collection_options": {
        "fields": ("currently_due", "eventually_due"),
        "future_requirements": ("include", "omit"),
    },
}
LINK: Fields = {
    "account*": str,
    "use_case*": {
        "type*": ("account_onboarding", "account_update"),
        "account_onboarding": _USE,
        "account_update": _USE,
    },
}
STATUSES = {"active": "active", "inactive": "restricted", "pending": "pending"}
TRANSFERS, PAYOUTS = "stripe_balance.stripe_transfers", "stripe_balance.payouts"


def create(context: RequestContext) -> Json:
    """Create an account that is not onboarded."""
    params = context.params
    asked = params.get("configuration", {})
    country = params.get("identity", {}).get("country", "").upper()
    if not country:
        raise malformed("identity.country is required.", "identity_country_required")
    if "defaults" not in params or "responsibilities" not in params["defaults"]:
        raise malformed("defaults.responsibilities is required for a connected account.")
    express = params.get("dashboard") == "express"
    if express and params["defaults"]["responsibilities"]["losses_collector"] != "application":
        raise malformed(
            "The express dashboard needs the application to collect losses.",
            "account_controller_express_dash_without_application_losses_or_fees",
        )
    merchant = "merchant" in asked
    platform = connect.platform_country(context)
    countries.check_v2(platform, country, merchant=merchant)
    account = new_account(new_id("acct_1", 15), country, context.now)
    account["email"] = params.get("contact_email")
    account["metadata"] = params.get("metadata", {})
    agreement = countries.agreement_of(platform, country, merchant=merchant)
    account["tos_acceptance"]["service_agreement"] = agreement
    account["capabilities"] = {
        **({"transfers": "inactive"} if "recipient" in asked else {}),
        **({"card_payments": "inactive"} if merchant else {}),
    }
    account["_v2"] = True
    context.add(account)
    context.emit_thin("v2.core.account.created", account["id"])
    return view(account, params.get("include", []))


def retrieve(context: RequestContext, account_id: str) -> Json:
    """One account, also one that was made by /v1. Raises not_found."""
    return view(_get(context, account_id), context.params.get("include", []))


def _get(context: RequestContext, account_id: str) -> Json:
    account = context.find(account_id, context.tenant.account)
    if account is None or account["object"] != "account" or account.get("deleted"):
        message = f"There is no account {account_id}, or it is not connected."
        raise StripeError(404, "not_found", message, code="not_found", stored=False)
    return account


def list_accounts(context: RequestContext) -> Json:
    """Accounts, newest first; a page names the next by its URL."""
    params = context.params
    context.params = {"limit": params.get("limit", 20), "starting_after": params.get("page")}
    page = context.page("account", "/v2/core/accounts")
    more = page["has_more"] and f"/v2/core/accounts?page={page['data'][-1]['id']}"
    return {
        "data": [view(account, []) for account in page["data"]],
        "next_page_url": more or None,
        "previous_page_url": None,
    }


def close(context: RequestContext, account_id: str) -> Json:
    """Close an account whose balance is zero."""
    account = _get(context, account_id)
    shown = view(account, [])
    given = context.params.get("applied_configurations")
    if given is not None and sorted(given) != sorted(shown["applied_configurations"]):
        raise malformed("Name all configurations of the account.", "configs_must_match_to_close")
    connect.delete(context, account_id)
    return {**shown, "closed": True}


def create_link(context: RequestContext) -> Json:
    """Create a link to the onboarding page, valid for one use within five minutes."""
    params = context.params
    account = _get(context, params["account"])
    use = params["use_case"].get(params["use_case"]["type"])
    if use is None:
        raise malformed("use_case has no options of its type.")
    if sorted(use["configurations"]) != view(account, [])["applied_configurations"]:
        raise malformed(
            "Name all configurations of the account.", "configs_must_match_to_use_account_links"
        )
    back = use.get("return_url") or use["refresh_url"]
    link = connect.add_link(context, account, use["refresh_url"], back)
    return {
        "object": "v2.core.account_link",
        "account": account["id"],
        "created": moment(context.now),
        "expires_at": moment(link["expires_at"]),
        "livemode": False,
        "url": link["url"],
        "use_case": params["use_case"],
    }


# -- the account as /v2 shows it --------------------------------------------------------------


def view(account: Json, include: list[str]) -> Json:
    """Without what is not included: Stripe shows that as absent or null."""
    configured = [
        name
        for name, capability in (("merchant", "card_payments"), ("recipient", "transfers"))
        if capability in account["capabilities"]
    ]
    shown: Json = {
        "id": account["id"],
        "object": "v2.core.account",
        "applied_configurations": configured,
        "closed": False,
        "created": moment(account["created"]),
        "dashboard": account["controller"].get("stripe_dashboard", {}).get("type", "express"),
        "livemode": False,
        "metadata": account["metadata"],
    }
    if account["email"]:
        shown["contact_email"] = account["email"]
    if "configuration.recipient" in include and "recipient" in configured:
        shown["configuration"] = {"recipient": _recipient(account)}
    if "defaults" in include:
        shown["defaults"] = {
            "currency": account["default_currency"],
            "responsibilities": {
                "fees_collector": "application",
                "losses_collector": "application",
                "requirements_collector": "stripe",
            },
        }
    if "identity" in include:
        shown["identity"] = {"country": account["country"].lower()}
    if "requirements" in include:
        shown["requirements"] = _requirements(account["requirements"])
    return shown


def _recipient(account: Json) -> Json:
    transfers = account["capabilities"]["transfers"]
    paid_out = "active" if account["payouts_enabled"] else "inactive"
    capabilities = {
        name: {"status": STATUSES[status], "status_details": _details(account, status)}
        for name, status in (("stripe_transfers", transfers), ("payouts", paid_out))
    }
    return {"applied": True, "capabilities": {"stripe_balance": capabilities}}


def _details(account: Json, status: str) -> list[Json]:
    reason = account["requirements"]["disabled_reason"] or ""
    if status == "active":
        return []
    if status == "pending":
        return [{"code": "determining_status", "resolution": "no_resolution"}]
    if reason.startswith("rejected."):
        return [{"code": "restricted_other", "resolution": "contact_stripe"}]
    return [{"code": "requirements_past_due", "resolution": "provide_info"}]


def _requirements(wanted: Json) -> Json:
    deadline = wanted["current_deadline"]
    entries = [_entry(wanted, name) for name in wanted["currently_due"]]
    if not entries:
        return {"entries": []}
    statuses = {entry["minimum_deadline"]["status"] for entry in entries}
    first = "past_due" if "past_due" in statuses else "currently_due"
    summary: Json = {"status": first}
    if deadline:
        summary["time"] = moment(deadline)
    return {"entries": entries, "summary": {"minimum_deadline": summary}}


def _entry(wanted: Json, name: str) -> Json:
    deadline = {"status": "past_due" if name in wanted["past_due"] else "currently_due"}
    restricted = [
        {"capability": capability, "configuration": "recipient", "deadline": deadline}
        for capability in (TRANSFERS, PAYOUTS)
    ]
    return {
        "awaiting_action_from": "user",
        "description": name,
        "errors": [],
        "impact": {"restricts_capabilities": restricted},
        "minimum_deadline": deadline,
        "requested_reasons": [{"code": "routine_onboarding"}],
    }
