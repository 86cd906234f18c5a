"""Connected accounts: creation, capabilities, onboarding links, login links."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, countries, payout_schedules
from server.dev.stripe_sandbox.account_objects import (
    CAPABILITIES,
    INITIAL_REQUIREMENTS,
    new_account,
    new_bank_account,
    requirements,
)
from server.dev.stripe_sandbox.currencies import SETTLED_CURRENCIES
from server.dev.stripe_sandbox.errors import Json, StripeError, missing, no_such, refused
from server.dev.stripe_sandbox.parameters import (
    ADDRESS,
    EXPAND,
    Parser,
    Required,
    Spec,
    boolean,
    currency,
    integer,
    merge_metadata,
    metadata,
    nested,
    one_of,
    text,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

CAPABILITY_REQUESTS: dict[str, Parser] = {name: nested(requested=boolean) for name in CAPABILITIES}
SCHEDULE = nested(
    interval=one_of("daily", "manual", "weekly", "monthly"),
    delay_days=integer,
    monthly_anchor=integer,
    weekly_anchor=text,
)
PAYOUTS = nested(schedule=SCHEDULE, statement_descriptor=text, debit_negative_balances=boolean)
UPDATE: Spec = {
    "business_profile": nested(
        mcc=text, name=text, product_description=text, support_email=text, url=text
    ),
    "business_type": one_of("company", "government_entity", "individual", "non_profit"),
    "capabilities": nested(**CAPABILITY_REQUESTS),
    "default_currency": currency,
    "email": text,
    "individual": nested(first_name=text, last_name=text, email=text, phone=text, address=ADDRESS),
    "metadata": metadata,
    "settings": nested(payouts=PAYOUTS),
    "tos_acceptance": nested(date=integer, ip=text, service_agreement=text, user_agent=text),
    **EXPAND,
}
CREATE: Spec = {
    "country": text,
    "controller": nested(
        fees=nested(payer=one_of("account", "application")),
        losses=nested(payments=one_of("application", "stripe")),
        requirement_collection=one_of("application", "stripe"),
        stripe_dashboard=nested(type=one_of("express", "full", "none")),
    ),
    "type": one_of("custom", "express", "standard"),
    **UPDATE,
}
LINK: Spec = {
    "account": Required(text),
    "type": Required(one_of("account_onboarding", "account_update")),
    "refresh_url": text,
    "return_url": text,
    "collect": one_of("currently_due", "eventually_due"),
    "collection_options": nested(
        fields=one_of("currently_due", "eventually_due"),
        future_requirements=one_of("include", "omit"),
    ),
    **EXPAND,
}
REJECT: Spec = {"reason": Required(one_of("fraud", "other", "terms_of_service")), **EXPAND}
CAPABILITY: Spec = {"requested": boolean, **EXPAND}
BALANCE_SETTINGS: Spec = {
    "payments": nested(
        debit_negative_balances=boolean,
        payouts=nested(
            schedule=nested(interval=one_of("daily", "manual", "monthly", "weekly")),
            statement_descriptor=text,
        ),
    ),
    **EXPAND,
}
LINK_SECONDS = 300


def create(context: RequestContext) -> Json:
    """Create a connected account that is not onboarded."""
    if not context.tenant.setting("accounts_v1"):
        raise refused(
            "Stripe no longer recommends Accounts v1 for new Connect platforms. Create connected"
            " accounts with /v2/core/accounts."
        )
    return _create(context)


def platform_country(context: RequestContext) -> str:
    """The country of the tenant's own account."""
    platform = context.find(context.tenant.account)
    return str(platform["country"]) if platform else "US"


def _create(context: RequestContext) -> Json:
    params = context.params
    if "type" in params and "controller" in params:
        raise refused("Only one of `type` and `controller` may be given.", None, "type")
    platform = platform_country(context)
    country = (params.get("country") or platform).upper()
    _check_agreement(params, platform, country)
    account = new_account(new_id("acct_1", 15), country, context.now)
    given = params.get("controller", {})
    dashboard = given.get("stripe_dashboard", {}).get("type", "express")
    if "type" in params:
        account["type"] = params["type"]
    else:
        account["type"] = {"none": "custom", "full": "standard"}.get(dashboard, "express")
    account["controller"] |= {
        "fees": given.get("fees", {"payer": "application_express"}),
        "losses": given.get("losses", {"payments": "application"}),
        "requirement_collection": given.get("requirement_collection", "stripe"),
        "stripe_dashboard": {"type": dashboard},
    }
    context.add(account)
    _apply_parameters(context, account)
    payout_schedules.plan_next(context, account)
    return account


def _check_agreement(params: Json, platform: str, country: str) -> None:
    agreement = params.get("tos_acceptance", {}).get("service_agreement") or "full"
    countries.check(platform, country, agreement)
    cards = params.get("capabilities", {}).get("card_payments", {}).get("requested")
    if cards and agreement == "recipient":
        raise refused(
            "Accounts with the recipient service agreement cannot have `card_payments`.",
            None,
            "capabilities[card_payments]",
        )


def _apply_parameters(context: RequestContext, account: Json) -> None:
    """Set the request's parameters on an account."""
    params = context.params
    for name in ("email", "default_currency", "business_type"):
        if name in params:
            account[name] = params[name]
    account["metadata"] = merge_metadata(account["metadata"], params.get("metadata", {}))
    for name in ("business_profile", "tos_acceptance"):
        account[name] |= params.get(name, {})
    payouts = params.get("settings", {}).get("payouts", {})
    schedule = account["settings"]["payouts"]["schedule"] | payouts.get("schedule", {})
    account["settings"]["payouts"] |= {**payouts, "schedule": schedule}
    for name, wish in params.get("capabilities", {}).items():
        _set_requested(account, name, wish.get("requested", False))
    context.save(account)


def _set_requested(account: Json, name: str, wanted: bool) -> None:
    if wanted:
        status = "active" if account["payouts_enabled"] else "inactive"
        account["capabilities"][name] = status
    else:
        account["capabilities"].pop(name, None)


def get_connected(
    context: RequestContext, account_id: str, param: str = "account", *, in_path: bool = True
) -> Json:
    """A connected account that is not deleted. Raises resource_missing."""
    account = context.get("account", account_id, param, in_path=in_path)
    if account.get("deleted"):
        raise no_such("account", account_id, param, in_path=in_path)
    return account


def retrieve(context: RequestContext, account_id: str) -> Json:
    """One account. Raises account_invalid, as Stripe does for an unknown one."""
    account = context.find(account_id, context.tenant.account)
    if account is None or account["object"] != "account" or account.get("deleted"):
        raise StripeError(
            403,
            "invalid_request_error",
            f"The provided key does not have access to account '{account_id}' (or that account"
            " does not exist). Application access may have been revoked.",
            code="account_invalid",
            stored=False,
        )
    return account


def retrieve_own(context: RequestContext) -> Json:
    """The account of the request. The platform has a bank account in every currency that it
    settles."""
    account = retrieve(context, context.account)
    if account["id"] != context.tenant.account:
        return account
    only = [account["default_currency"]]
    settled = only if context.tenant.setting("converts") else SETTLED_CURRENCIES
    banks = [new_bank_account(account, code, {}) for code in settled]
    return account | {"external_accounts": account["external_accounts"] | {"data": banks}}


def update(context: RequestContext, account_id: str) -> Json:
    """Change an account."""
    account = get_connected(context, account_id)
    before = account["settings"]["payouts"]["schedule"]["interval"]
    _apply_parameters(context, account)
    if account["settings"]["payouts"]["schedule"]["interval"] != before:
        payout_schedules.plan_next(context, account)
    context.emit("account.updated", account)
    return account


def delete(context: RequestContext, account_id: str) -> Json:
    """Delete an account whose balance is zero."""
    account = get_connected(context, account_id)
    if any(sum(pair) for pair in balances.available_and_pending(context, account_id).values()):
        raise refused("You can only delete an account whose balance is zero.", "account_invalid")
    return close(context, account)


def close(context: RequestContext, account: Json) -> Json:
    """Close an account regardless of its balance. The platform loses access to it."""
    tombstone = {"id": account["id"], "object": "account", "deleted": True}
    account.clear()
    account.update(tombstone)
    platform = {
        "id": f"ca_{context.tenant.account[5:]}",
        "object": "application",
        "name": "Platform",
    }
    context.emit_thin("v2.core.account.closed", account["id"])
    _context_of(context, account).emit("account.application.deauthorized", platform)
    return context.save(account)


def reject(context: RequestContext, account_id: str) -> Json:
    """The platform rejects an account."""
    account = get_connected(context, account_id)
    return deactivate(context, account, [], f"rejected.{context.params['reason']}")


def deactivate(context: RequestContext, account: Json, due: list[str], reason: str) -> Json:
    """Disable transfers and payouts of an account, with the requirements `due` and a `reason`."""
    before = {name: account[name] for name in ("charges_enabled", "payouts_enabled")}
    account.update(charges_enabled=False, payouts_enabled=False)
    account["requirements"] = {**requirements(due), "disabled_reason": reason}
    _set_capabilities(context, account, "inactive", before)
    return account


def want(context: RequestContext, account: Json, due: list[str], in_days: float) -> Json:
    """Ask for more by a deadline; the account may do everything until then."""
    wanted = requirements(due)
    deadline = context.now + int(in_days * 86_400)
    wanted.update(past_due=[], disabled_reason=None, current_deadline=deadline)
    account["requirements"] = wanted
    context.save(account)
    context.emit("account.updated", account, {"requirements": requirements([])})
    context.emit_thin("v2.core.account[requirements].updated", account["id"])
    return account


def activate(context: RequestContext, account: Json) -> Json:
    """Enable an account again."""
    before = {name: account[name] for name in ("charges_enabled", "payouts_enabled")}
    account.update(
        charges_enabled="card_payments" in account["capabilities"],
        payouts_enabled=True,
        requirements=requirements([]),
    )
    _set_capabilities(context, account, "active", before)
    return account


def _set_capabilities(context: RequestContext, account: Json, status: str, before: Json) -> None:
    """Set the status of all capabilities and emit the events."""
    for capability_name in account["capabilities"]:
        account["capabilities"][capability_name] = status
    context.save(account)
    for capability_name in account["capabilities"]:
        of_account = _context_of(context, account)
        of_account.emit(
            "capability.updated", retrieve_capability(context, account["id"], capability_name)
        )
    context.emit("account.updated", account, before)
    for kind in (
        "v2.core.account[configuration.recipient].capability_status_updated",
        "v2.core.account[requirements].updated",
    ):
        context.emit_thin(kind, account["id"])


def _context_of(context: RequestContext, account: Json) -> RequestContext:
    return RequestContext(context.store, context.tenant, account["id"])


def balance_settings(context: RequestContext) -> Json:
    """The payout schedule of the request's account."""
    payouts = retrieve_own(context)["settings"]["payouts"]
    return {
        "object": "balance_settings",
        "payments": {
            "debit_negative_balances": payouts["debit_negative_balances"],
            "payouts": {
                "minimum_balance_by_currency": None,
                "schedule": {"interval": payouts["schedule"]["interval"]},
                "statement_descriptor": payouts["statement_descriptor"],
                "status": "enabled" if retrieve_own(context)["payouts_enabled"] else "disabled",
            },
            "settlement_timing": {"delay_days": payouts["schedule"].get("delay_days", 2)},
        },
    }


def update_balance_settings(context: RequestContext) -> Json:
    """Change the payout schedule of the request's account."""
    account = retrieve_own(context)
    wanted = context.params.get("payments", {}).get("payouts", {}).get("schedule", {})
    before = account["settings"]["payouts"]["schedule"]["interval"]
    account["settings"]["payouts"]["schedule"] |= wanted
    context.find(account["id"])
    context.save(account)
    if wanted.get("interval", before) != before:
        payout_schedules.plan_next(context, account)
    return balance_settings(context)


def list_accounts(context: RequestContext) -> Json:
    """Connected accounts, newest first."""
    return context.page("account", "/v1/accounts")


def retrieve_capability(context: RequestContext, account_id: str, capability_name: str) -> Json:
    """One capability of an account."""
    account = get_connected(context, account_id)
    if capability_name not in CAPABILITIES:
        raise no_such("capability", capability_name, "capability")
    status = account["capabilities"].get(capability_name, "unrequested")
    due = INITIAL_REQUIREMENTS if status == "inactive" else []
    wanted = requirements(due)
    if due:
        wanted["disabled_reason"] = "requirements.fields_needed"
    return {
        "id": capability_name,
        "object": "capability",
        "account": account["id"],
        "future_requirements": requirements([]),
        "requested": status != "unrequested",
        "requested_at": account["created"] if status != "unrequested" else None,
        "requirements": wanted,
        "status": status,
    }


def update_capability(context: RequestContext, account_id: str, capability_name: str) -> Json:
    """Request a capability, or give it up."""
    retrieve_capability(context, account_id, capability_name)
    account = get_connected(context, account_id)
    if "requested" in context.params:
        _set_requested(account, capability_name, context.params["requested"])
        context.save(account)
    return retrieve_capability(context, account_id, capability_name)


def list_capabilities(context: RequestContext, account_id: str) -> Json:
    """The requested capabilities."""
    names = get_connected(context, account_id)["capabilities"]
    data = [
        retrieve_capability(context, account_id, capability_name)
        for capability_name in sorted(names)
    ]
    url = f"/v1/accounts/{account_id}/capabilities"
    return {"object": "list", "data": data, "has_more": False, "url": url}


def create_link(context: RequestContext) -> Json:
    """Create a link to the onboarding page, valid for one use within five minutes."""
    account = get_connected(context, context.params["account"], in_path=False)
    for name in ("refresh_url", "return_url"):
        if not context.params.get(name):
            raise missing(name)
    params = context.params
    link = add_link(context, account, params["refresh_url"], params["return_url"])
    return {
        "object": "account_link",
        "created": context.now,
        "expires_at": link["expires_at"],
        "url": link["url"],
    }


def add_link(context: RequestContext, account: Json, refresh_url: str, return_url: str) -> Json:
    """A link to the onboarding page, with its `url`."""
    token = new_id("", 12)
    link = context.add(
        {
            "id": f"link_{token}",
            "object": "account_link",
            "account": account["id"],
            "expires_at": context.now + LINK_SECONDS,
            "return_url": return_url,
            "refresh_url": refresh_url,
            "used": False,
        }
    )
    return {**link, "url": f"{context.base_url}/setup/e/{account['id']}/{token}"}


def create_login(context: RequestContext, account_id: str) -> Json:
    """Create a link to the account's own dashboard."""
    account = get_connected(context, account_id)
    if not account["details_submitted"]:
        raise refused(
            "Cannot create a login link for an account that has not completed onboarding."
        )
    url = f"{context.base_url}/express/{account['id']}/{new_id('', 12)}"
    return {"object": "login_link", "created": context.now, "url": url}


def complete_onboarding(
    context: RequestContext, account: Json, currencies: list[str], person: Json
) -> None:
    """Complete the onboarding with the submitted form."""
    _submit_form(context, account, currencies, person)
    _set_capabilities(
        context, account, "active", {"details_submitted": False, "payouts_enabled": False}
    )


def create_onboarded(context: RequestContext, currencies: list[str], person: Json) -> Json:
    """Create an account that was onboarded before anybody listened: it emits no event."""
    account = _create(context)
    _submit_form(context, account, currencies, person)
    account["capabilities"] = dict.fromkeys(account["capabilities"], "active")
    return context.save(account)


def change_banks(context: RequestContext, account: Json, currencies: list[str]) -> Json:
    """Replace the bank accounts of an account."""
    of_account = _context_of(context, account)
    banks = account["external_accounts"]
    for bank in banks["data"]:
        of_account.emit("account.external_account.deleted", bank)
    banks["data"] = [new_bank_account(account, code, {}) for code in currencies]
    context.save(account)
    for bank in banks["data"]:
        of_account.emit("account.external_account.created", bank)
    return account


def _submit_form(
    context: RequestContext, account: Json, currencies: list[str], person: Json
) -> None:
    account.update(
        details_submitted=True,
        payouts_enabled=True,
        business_type="individual",
        requirements=requirements([]),
    )
    account["tos_acceptance"] |= {"date": context.now, "ip": "127.0.0.1"}
    account["business_profile"]["name"] = person.get("name") or None
    account["charges_enabled"] = "card_payments" in account["capabilities"]
    banks = [new_bank_account(account, currency_code, person) for currency_code in currencies]
    account["external_accounts"]["data"] = banks
