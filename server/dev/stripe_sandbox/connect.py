"""Connected accounts: creation, capabilities, onboarding links, login links."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances

from .accounts import CAPABILITIES, DUE, bank, blank, requirements
from .call import Call
from .errors import Json, StripeError, missing, no_such, refused
from .forms import (
    ADDRESS,
    EXPAND,
    Need,
    Reader,
    Spec,
    boolean,
    currency,
    integer,
    mapping,
    merged,
    one_of,
    shape,
    text,
)
from .state import new_id

REQUESTS: dict[str, Reader] = {name: shape(requested=boolean) for name in CAPABILITIES}
SCHEDULE = shape(
    interval=one_of("daily", "manual", "weekly", "monthly"),
    delay_days=integer,
    monthly_anchor=integer,
    weekly_anchor=text,
)
PAYOUTS = shape(schedule=SCHEDULE, statement_descriptor=text, debit_negative_balances=boolean)
UPDATE: Spec = {
    "business_profile": shape(
        mcc=text, name=text, product_description=text, support_email=text, url=text
    ),
    "business_type": one_of("company", "government_entity", "individual", "non_profit"),
    "capabilities": shape(**REQUESTS),
    "default_currency": currency,
    "email": text,
    "individual": shape(first_name=text, last_name=text, email=text, phone=text, address=ADDRESS),
    "metadata": mapping,
    "settings": shape(payouts=PAYOUTS),
    "tos_acceptance": shape(date=integer, ip=text, service_agreement=text, user_agent=text),
    **EXPAND,
}
CREATE: Spec = {
    "country": text,
    "controller": shape(
        fees=shape(payer=one_of("account", "application")),
        losses=shape(payments=one_of("application", "stripe")),
        requirement_collection=one_of("application", "stripe"),
        stripe_dashboard=shape(type=one_of("express", "full", "none")),
    ),
    "type": one_of("custom", "express", "standard"),
    **UPDATE,
}
LINK: Spec = {
    "account": Need(text),
    "type": Need(one_of("account_onboarding", "account_update")),
    "refresh_url": text,
    "return_url": text,
    "collect": one_of("currently_due", "eventually_due"),
    "collection_options": shape(
        fields=one_of("currently_due", "eventually_due"),
        future_requirements=one_of("include", "omit"),
    ),
    **EXPAND,
}
REJECT: Spec = {"reason": Need(one_of("fraud", "other", "terms_of_service")), **EXPAND}
CAPABILITY: Spec = {"requested": boolean, **EXPAND}
LINK_SECONDS = 300


def create(call: Call) -> Json:
    """Add a connected account that still has to be onboarded."""
    params = call.params
    if "type" in params and "controller" in params:
        raise refused("Only one of `type` and `controller` may be given.", None, "type")
    account = blank(new_id("acct_1", 15), params.get("country") or "US", call.now)
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
    call.add(account)
    _apply(call, account)
    return account


def _apply(call: Call, account: Json) -> None:
    """Take over what the parameters say about an account."""
    params = call.params
    for name in ("email", "default_currency", "business_type"):
        if name in params:
            account[name] = params[name]
    account["metadata"] = merged(account["metadata"], params.get("metadata", {}))
    for name in ("business_profile", "tos_acceptance"):
        account[name] |= params.get(name, {})
    payouts = params.get("settings", {}).get("payouts", {})
    schedule = account["settings"]["payouts"]["schedule"] | payouts.get("schedule", {})
    account["settings"]["payouts"] |= {**payouts, "schedule": schedule}
    for name, wish in params.get("capabilities", {}).items():
        _request(account, name, wish.get("requested", False))
    call.save(account)


def _request(account: Json, name: str, wanted: bool) -> None:
    if wanted:
        status = "active" if account["payouts_enabled"] else "inactive"
        account["capabilities"][name] = status
    else:
        account["capabilities"].pop(name, None)


def connected(call: Call, name: str, param: str = "account", *, in_path: bool = True) -> Json:
    """An account that was not deleted. Raises resource_missing."""
    account = call.get("account", name, param, in_path=in_path)
    if account.get("deleted"):
        raise no_such("account", name, param, in_path=in_path)
    return account


def retrieve(call: Call, name: str) -> Json:
    """One account. Raises account_invalid, as Stripe does for an unknown one."""
    account = call.find(name, call.tenant.account)
    if account is None or account["object"] != "account" or account.get("deleted"):
        raise StripeError(
            403,
            "invalid_request_error",
            f"The provided key does not have access to account '{name}' (or that account does not"
            " exist). Application access may have been revoked.",
            code="account_invalid",
            stored=False,
        )
    return account


def retrieve_own(call: Call) -> Json:
    """The account that acts."""
    return retrieve(call, call.account)


def update(call: Call, name: str) -> Json:
    """Change an account."""
    account = connected(call, name)
    _apply(call, account)
    call.emit("account.updated", account)
    return account


def delete(call: Call, name: str) -> Json:
    """Remove an account whose balance is zero."""
    account = connected(call, name)
    if any(sum(pair) for pair in balances.amounts(call, name).values()):
        raise refused("You can only delete an account whose balance is zero.", "account_invalid")
    return close(call, account)


def close(call: Call, account: Json) -> Json:
    """An account ends, whatever is left in it; from now on nobody has access."""
    gone = {"id": account["id"], "object": "account", "deleted": True}
    account.clear()
    account.update(gone)
    platform = {"id": f"ca_{call.tenant.account[5:]}", "object": "application", "name": "Platform"}
    _as_account(call, account).emit("account.application.deauthorized", platform)
    return call.save(account)


def reject(call: Call, name: str) -> Json:
    """The platform finds an account suspicious."""
    account = connected(call, name)
    return deactivate(call, account, [], f"rejected.{call.params['reason']}")


def deactivate(call: Call, account: Json, due: list[str], reason: str) -> Json:
    """An account may neither receive nor pay out, because of what is `due` or for a `reason`."""
    before = {name: account[name] for name in ("charges_enabled", "payouts_enabled")}
    account.update(charges_enabled=False, payouts_enabled=False)
    account["requirements"] = {**requirements(due), "disabled_reason": reason}
    _switch(call, account, "inactive", before)
    return account


def activate(call: Call, account: Json) -> Json:
    """An account may do again what it could."""
    before = {name: account[name] for name in ("charges_enabled", "payouts_enabled")}
    account.update(
        charges_enabled="card_payments" in account["capabilities"],
        payouts_enabled=True,
        requirements=requirements([]),
    )
    _switch(call, account, "active", before)
    return account


def _switch(call: Call, account: Json, status: str, before: Json) -> None:
    """All capabilities at once, and the events of it."""
    for which in account["capabilities"]:
        account["capabilities"][which] = status
    call.save(account)
    for which in account["capabilities"]:
        of_account = _as_account(call, account)
        of_account.emit("capability.updated", capability(call, account["id"], which))
    call.emit("account.updated", account, before)


def _as_account(call: Call, account: Json) -> Call:
    return Call(call.store, call.tenant, account["id"])


def list_accounts(call: Call) -> Json:
    """Connected accounts, newest first."""
    return call.page("account", "/v1/accounts")


def capability(call: Call, name: str, which: str) -> Json:
    """One capability of an account."""
    account = connected(call, name)
    if which not in CAPABILITIES:
        raise no_such("capability", which, "capability")
    status = account["capabilities"].get(which, "unrequested")
    due = DUE if status == "inactive" else []
    wanted = requirements(due)
    if due:
        wanted["disabled_reason"] = "requirements.fields_needed"
    return {
        "id": which,
        "object": "capability",
        "account": account["id"],
        "future_requirements": requirements([]),
        "requested": status != "unrequested",
        "requested_at": account["created"] if status != "unrequested" else None,
        "requirements": wanted,
        "status": status,
    }


def update_capability(call: Call, name: str, which: str) -> Json:
    """Ask for a capability, or give it up."""
    capability(call, name, which)
    account = connected(call, name)
    if "requested" in call.params:
        _request(account, which, call.params["requested"])
        call.save(account)
    return capability(call, name, which)


def list_capabilities(call: Call, name: str) -> Json:
    """The capabilities that were asked for."""
    names = connected(call, name)["capabilities"]
    data = [capability(call, name, which) for which in sorted(names)]
    url = f"/v1/accounts/{name}/capabilities"
    return {"object": "list", "data": data, "has_more": False, "url": url}


def create_link(call: Call) -> Json:
    """A link to the onboarding page: for one use, and for five minutes."""
    account = connected(call, call.params["account"], in_path=False)
    for name in ("refresh_url", "return_url"):
        if not call.params.get(name):
            raise missing(name)
    token = new_id("", 12)
    call.add(
        {
            "id": f"link_{token}",
            "object": "account_link",
            "account": account["id"],
            "expires_at": call.now + LINK_SECONDS,
            "return_url": call.params["return_url"],
            "refresh_url": call.params["refresh_url"],
            "used": False,
        }
    )
    return {
        "object": "account_link",
        "created": call.now,
        "expires_at": call.now + LINK_SECONDS,
        "url": f"{call.base_url}/setup/e/{account['id']}/{token}",
    }


def create_login(call: Call, name: str) -> Json:
    """A link to the account's own dashboard."""
    account = connected(call, name)
    if not account["details_submitted"]:
        raise refused(
            "Cannot create a login link for an account that has not completed onboarding."
        )
    url = f"{call.base_url}/express/{account['id']}/{new_id('', 12)}"
    return {"object": "login_link", "created": call.now, "url": url}


def onboard(call: Call, account: Json, currencies: list[str], person: Json) -> None:
    """What submitting the onboarding page does."""
    account.update(
        details_submitted=True,
        payouts_enabled=True,
        business_type="individual",
        requirements=requirements([]),
    )
    account["tos_acceptance"] |= {"date": call.now, "ip": "127.0.0.1"}
    account["business_profile"]["name"] = person.get("name") or None
    account["charges_enabled"] = "card_payments" in account["capabilities"]
    banks = [bank(account, money, person) for money in currencies]
    account["external_accounts"]["data"] = banks
    _switch(call, account, "active", {"details_submitted": False, "payouts_enabled": False})
