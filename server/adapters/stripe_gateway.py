"""The domain's PaymentGateway on the Stripe SDK; no other file calls Stripe.

Sources: Stripe, "Idempotent requests" (a key replays its first result, a 500 too), "Place a hold on
a payment method", "Separate charges and transfers", "Error handling".
"""

import io
import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import stripe

from domain.ports.method_types import DEFAULT_METHODS, holdable, methods_for, savable
from domain.ports.payment_gateway import (
    ACCOUNT_GONE,
    BalanceTransaction,
    CardDispute,
    ConnectAccount,
    FraudReport,
    GatewayForbidden,
    GatewayRefused,
    GatewayUnknown,
    Intent,
    PaymentMethod,
    PlatformAccount,
    SetupIntent,
    StaleFailure,
    StripeMovement,
)
from domain.ports.refusal import UNNAMED
from server.adapters import account_requests as requests
from server.adapters import stripe_mapping as shapes
from server.adapters import webhook_events
from server.adapters.stripe_connections import (
    Forbidden,
    Observe,
    connect,
    is_forbidden,
)

T = TypeVar("T")

CHARGE = ["latest_charge.balance_transaction"]
WINDOW = 100


class StripeGateway:
    """Amounts pass unchanged, in minor units; currencies are in lower case at Stripe."""

    def __init__(
        self,
        secret_key: str,
        api_base: str | None,
        public_url: str,
        methods: Sequence[str] = DEFAULT_METHODS,
        observe: Observe | None = None,
        forbidden: Forbidden | None = None,
        *,
        accounts: str = requests.V2,
    ) -> None:
        """`methods` are the types of payment methods that customers may pay with."""
        self._client, self._http = connect(secret_key, api_base)
        self._http.observe = observe or self._http.observe
        self._http.forbidden = forbidden or self._http.forbidden
        self._stripe = self._client.v1
        self._accounts = accounts
        self._public_url = public_url
        self._methods = methods

    async def close(self) -> None:
        # Otherwise the SDK would open a session, and load all certificates, only to close it.
        if self._http._cached_session is not None:
            await self._http.close_async()

    # -- payments ----------------------------------------------------------------------------

    async def hold(
        self,
        *,
        key: str,
        amount: int,
        currency: str,
        payment_method: str | None,
        group: str,
        customer_id: str | None,
        metadata: dict[str, str],
    ) -> Intent:
        """Hold where the type of method allows it; others, such as stablecoins, are captured at
        once."""
        usable = methods_for(self._methods, currency)
        manual = {kind: {"capture_method": "manual"} for kind in holdable(usable)}
        params: Any = {
            "amount": amount,
            "currency": currency.lower(),
            "transfer_group": group,
            "payment_method_types": usable,
            "capture_method": "automatic_async",
            **({"payment_method_options": manual} if manual else {}),
            "metadata": metadata,
            "expand": CHARGE,
        }
        if customer_id:
            params["customer"] = customer_id
        if payment_method:
            params |= {
                "payment_method": payment_method,
                "confirm": True,
                "return_url": f"{self._public_url}/?payment={metadata['payment_id']}",
            }
        try:
            return shapes.intent(
                await _ask(self._stripe.payment_intents.create_async(params, _options(key)))
            )
        except GatewayRefused as refused:
            if refused.declined is None:
                raise
            return shapes.intent(refused.declined)

    async def intent(self, id: str) -> Intent:
        return shapes.intent(
            await _ask(self._stripe.payment_intents.retrieve_async(id, {"expand": CHARGE}))
        )

    async def find_intent(self, payment_id: str, since: datetime) -> Intent | None:
        found = self._stripe.payment_intents.list_async(
            shapes.since(since, WINDOW) | {"expand": [f"data.{path}" for path in CHARGE]}
        )
        match = await _first(found, "payment_id", payment_id)
        return shapes.intent(match) if match else None

    async def capture(self, id: str, *, key: str) -> Intent:
        params: Any = {"expand": CHARGE}
        return shapes.intent(
            await _ask(self._stripe.payment_intents.capture_async(id, params, _options(key)))
        )

    async def cancel(self, id: str, *, key: str) -> Intent:
        params: Any = {"expand": CHARGE}
        return shapes.intent(
            await _ask(self._stripe.payment_intents.cancel_async(id, params, _options(key)))
        )

    async def refund(
        self, intent_id: str, amount: int, *, key: str, metadata: dict[str, str]
    ) -> StripeMovement:
        params: Any = {"payment_intent": intent_id, "amount": amount, "metadata": metadata}
        return shapes.settled(await _ask(self._stripe.refunds.create_async(params, _options(key))))

    async def refund_state(self, id: str) -> StripeMovement:
        return shapes.settled(await _ask(self._stripe.refunds.retrieve_async(id)))

    async def find_refund(self, intent_id: str, fact: str) -> StripeMovement | None:
        found = self._stripe.refunds.list_async({"payment_intent": intent_id, "limit": WINDOW})
        match = await _first(found, "fact", fact, excluded=("failed", "canceled"))
        return shapes.settled(match) if match else None

    async def intent_of_refund(self, id: str) -> str | None:
        found = (await _ask(self._stripe.refunds.retrieve_async(id)))["payment_intent"]
        return str(found) if found else None

    async def refunds(self, intent_id: str) -> list[StripeMovement]:
        found = self._stripe.refunds.list_async({"payment_intent": intent_id, "limit": WINDOW})
        return [shapes.settled(body) async for body in _each(found)]

    # -- disputes ----------------------------------------------------------------------------

    async def dispute(self, id: str) -> CardDispute:
        return shapes.dispute(await _ask(self._stripe.disputes.retrieve_async(id)))

    async def fraud_warning(self, id: str) -> FraudReport:
        asked = self._stripe.radar.early_fraud_warnings.retrieve_async(id)
        return shapes.fraud_warning(await _ask(asked))

    async def review(self, id: str) -> FraudReport:
        return shapes.review(await _ask(self._stripe.reviews.retrieve_async(id)))

    async def upload_evidence(self, name: str, content: bytes, *, key: str) -> str:
        file = io.BytesIO(content)
        file.name = name  # the SDK sends it with the content
        params: Any = {"purpose": "dispute_evidence", "file": file}
        made = await _ask(self._stripe.files.create_async(params, _options(key)))
        return str(made["id"])

    async def submit_evidence(
        self, id: str, evidence: dict[str, str], *, key: str, submit: bool
    ) -> CardDispute:
        params: Any = {"evidence": evidence, "submit": submit}
        asked = self._stripe.disputes.update_async(id, params, _options(key))
        return shapes.dispute(await _ask(asked))

    # -- saved methods -----------------------------------------------------------------------

    async def create_customer(self, *, key: str, email: str, user_id: str) -> str:
        params: Any = {"email": email, "metadata": {"user_id": user_id}}
        made = await _ask(self._stripe.customers.create_async(params, _options(key)))
        return str(made["id"])

    async def delete_customer(self, id: str) -> None:
        await _ask(self._stripe.customers.delete_async(id))

    async def find_customer(self, user_id: str, since: datetime) -> str | None:
        found = self._stripe.customers.list_async(shapes.since(since, WINDOW))
        match = await _first(found, "user_id", user_id)
        return match["id"] if match else None

    async def setup(self, customer_id: str, *, key: str) -> SetupIntent:
        params: Any = {"customer": customer_id, "payment_method_types": savable(self._methods)}
        made = await _ask(self._stripe.setup_intents.create_async(params, _options(key)))
        return shapes.setup(made)

    async def setup_state(self, id: str) -> SetupIntent:
        return shapes.setup(await _ask(self._stripe.setup_intents.retrieve_async(id)))

    async def cancel_setup(self, id: str, *, key: str) -> SetupIntent:
        asked = self._stripe.setup_intents.cancel_async(id, {}, _options(key))
        return shapes.setup(await _ask(asked))

    async def methods(self, customer_id: str) -> list[PaymentMethod]:
        found = self._stripe.customers.payment_methods.list_async(customer_id, {"limit": WINDOW})
        return [shapes.method(body) async for body in _each(found)]

    async def method(self, id: str) -> PaymentMethod:
        return shapes.method(await _ask(self._stripe.payment_methods.retrieve_async(id)))

    async def detach(self, id: str, *, key: str) -> PaymentMethod:
        asked = self._stripe.payment_methods.detach_async(id, {}, _options(key))
        return shapes.method(await _ask(asked))

    # -- paying out --------------------------------------------------------------------------

    async def transfer(
        self,
        *,
        key: str,
        amount: int,
        currency: str,
        account_id: str,
        charge_id: str | None,
        group: str,
        metadata: dict[str, str],
    ) -> StripeMovement:
        params: Any = {
            "amount": amount,
            "currency": currency.lower(),
            "destination": account_id,
            "transfer_group": group,
            "metadata": metadata,
            **({"source_transaction": charge_id} if charge_id else {}),
        }
        made = await _ask(self._stripe.transfers.create_async(params, _options(key)))
        return shapes.settled(made)

    async def find_transfer(self, group: str, fact: str) -> StripeMovement | None:
        found = self._stripe.transfers.list_async({"transfer_group": group, "limit": WINDOW})
        match = await _first(found, "fact", fact)
        return shapes.settled(match) if match else None

    async def transfer_state(self, id: str) -> StripeMovement:
        return shapes.settled(await _ask(self._stripe.transfers.retrieve_async(id)))

    async def reversals(self, transfer_id: str) -> list[StripeMovement]:
        found = self._stripe.transfers.reversals.list_async(transfer_id, {"limit": WINDOW})
        return [shapes.settled(body) async for body in _each(found)]

    async def reverse(
        self, transfer_id: str, amount: int, *, key: str, metadata: dict[str, str]
    ) -> StripeMovement:
        params: Any = {"amount": amount, "metadata": metadata}
        asked = self._stripe.transfers.reversals.create_async(transfer_id, params, _options(key))
        return shapes.settled(await _ask(asked))

    async def find_reversal(self, transfer_id: str, fact: str) -> StripeMovement | None:
        found = self._stripe.transfers.reversals.list_async(transfer_id, {"limit": WINDOW})
        match = await _first(found, "fact", fact)
        return shapes.settled(match) if match else None

    async def payout(
        self, account_id: str, amount: int, currency: str, *, key: str, metadata: dict[str, str]
    ) -> StripeMovement:
        params: Any = {"amount": amount, "currency": currency.lower(), "metadata": metadata}
        return shapes.settled(
            await _ask(self._stripe.payouts.create_async(params, _options(key, account_id)))
        )

    async def payout_state(self, account_id: str, id: str) -> StripeMovement:
        return shapes.settled(
            await _ask(self._stripe.payouts.retrieve_async(id, {}, _options(None, account_id)))
        )

    async def find_payout(
        self, account_id: str, withdrawal_id: str, since: datetime
    ) -> StripeMovement | None:
        params = shapes.since(since, WINDOW)
        found = self._stripe.payouts.list_async(params, _options(None, account_id))
        match = await _first(found, "withdrawal_id", withdrawal_id)
        return shapes.settled(match) if match else None

    # -- connected accounts ------------------------------------------------------------------

    async def create_account(
        self, *, key: str, email: str, user_id: str, country: str, agreement: str
    ) -> ConnectAccount:
        person = {"email": email, "user_id": user_id, "country": country}
        if self._accounts != requests.V2:
            params: Any = requests.account_v1(**person, agreement=agreement)
            made = await _ask(self._stripe.accounts.create_async(params, _options(key)))
            return shapes.account(made)
        try:
            made = await self._create_v2(requests.account_v2(**person, merchant=False), key)
        except GatewayRefused as refused:
            if refused.code not in requests.NEEDS_MERCHANT:
                raise
            params = requests.account_v2(**person, merchant=True)
            made = await self._create_v2(params, f"{key}:merchant")
        configured = tuple(made["applied_configurations"])
        return ConnectAccount(made["id"], False, False, configurations=configured)

    async def _create_v2(self, params: Any, key: str) -> Any:
        return await _ask(self._client.v2.core.accounts.create_async(params, _options(key)))

    async def pay_out_manually(self, account_id: str, *, key: str) -> None:
        params: Any = {"payments": {"payouts": {"schedule": {"interval": "manual"}}}}
        await _ask(self._stripe.balance_settings.update_async(params, _options(key, account_id)))

    async def find_account(self, user_id: str, since: datetime) -> ConnectAccount | None:
        found = self._stripe.accounts.list_async(shapes.since(since, WINDOW))
        match = await _first(found, "user_id", user_id)
        return shapes.account(match) if match else None

    async def account(self, id: str) -> ConnectAccount:
        """Stripe refuses to show a closed account to its platform; it is returned as closed."""
        try:
            shown = await _ask(self._stripe.accounts.retrieve_async(id))
        except GatewayRefused as refused:
            if refused.code != ACCOUNT_GONE:
                raise
            return ConnectAccount(id, False, False, closed=True)
        if (shown.get("metadata") or {}).get(requests.MADE_BY) != requests.V2:
            return shapes.account(shown)
        # /v2 has no bank accounts, so both are read.
        params: Any = {"include": requests.INCLUDED}
        asked = self._client.v2.core.accounts.retrieve_async(id, params)
        return shapes.account(shown, await _ask(asked))

    async def platform(self) -> PlatformAccount:
        return shapes.platform(await _ask(self._stripe.accounts.retrieve_current_async()))

    # -- for the audit -----------------------------------------------------------------------

    async def intents(self, since: datetime) -> AsyncIterator[Intent]:
        params = shapes.since(since, WINDOW) | {"expand": [f"data.{path}" for path in CHARGE]}
        async for body in _each(self._stripe.payment_intents.list_async(params)):
            yield shapes.intent(body)

    async def transfers(self, since: datetime) -> AsyncIterator[StripeMovement]:
        async for body in _each(self._stripe.transfers.list_async(shapes.since(since, WINDOW))):
            yield shapes.settled(body)

    async def payouts(self, account_id: str, since: datetime) -> AsyncIterator[StripeMovement]:
        params, options = shapes.since(since, WINDOW), _options(None, account_id)
        async for body in _each(self._stripe.payouts.list_async(params, options)):
            yield shapes.settled(body)

    async def payout_interval(self) -> str | None:
        shown = await _ask(self._stripe.accounts.retrieve_current_async())
        return shapes.payout_interval(shown.get("settings") or {})

    async def payout_lines(self, id: str) -> list[BalanceTransaction]:
        names = ["balance_transaction", "failure_balance_transaction"]
        body = await _ask(self._stripe.payouts.retrieve_async(id, {"expand": names}))
        return [shapes.entry(body[name]) for name in names if body.get(name)]

    async def charge_metadata(self, id: str) -> dict[str, str]:
        return dict((await _ask(self._stripe.charges.retrieve_async(id))).get("metadata") or {})

    async def reversed_transfer(self, line_id: str) -> str:
        asked = self._stripe.balance_transactions.retrieve_async(line_id, {"expand": ["source"]})
        return str((await _ask(asked))["source"]["transfer"])

    async def disputes(self, since: datetime) -> AsyncIterator[CardDispute]:
        async for body in _each(self._stripe.disputes.list_async(shapes.since(since, WINDOW))):
            yield shapes.dispute(body)

    async def fraud_warnings(self, since: datetime) -> AsyncIterator[FraudReport]:
        listed = self._stripe.radar.early_fraud_warnings.list_async(shapes.since(since, WINDOW))
        async for body in _each(listed):
            yield shapes.fraud_warning(body)

    async def reviews(self, since: datetime) -> AsyncIterator[FraudReport]:
        async for body in _each(self._stripe.reviews.list_async(shapes.since(since, WINDOW))):
            yield shapes.review(body)

    async def entries(
        self, since: datetime, until: datetime | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        window = shapes.since(since, WINDOW, until)
        async for body in _each(self._stripe.balance_transactions.list_async(window)):
            yield shapes.entry(body)

    async def platform_country(self) -> str:
        shown = await _ask(self._stripe.accounts.retrieve_current_async())
        return str(shown["country"]).upper()

    async def missing_webhook_events(self) -> list[str]:
        listed = await _ask(self._stripe.webhook_endpoints.list_async({"limit": WINDOW}))
        needed = (*webhook_events.PLATFORM_EVENTS, *webhook_events.CONNECTED_EVENTS)
        return webhook_events.missing(needed, listed["data"])

    async def missing_account_events(self) -> list[str]:
        if self._accounts != requests.V2:
            return []
        asked: Any = {"limit": WINDOW, "include": ["webhook_endpoint.url"]}
        listed = await _ask(self._client.v2.core.event_destinations.list_async(asked))
        return webhook_events.missing(webhook_events.THIN_EVENTS, listed["data"])

    async def onboarding_url(self, account: ConnectAccount) -> str:
        id, url = account.id, self._public_url
        key = f"link:{secrets.token_hex(12)}"  # each link works once, so each is a new one
        params: Any
        if account.configurations:
            params = requests.link_v2(id, account.configurations, url)
            asked: Any = self._client.v2.core.account_links.create_async(params, _options(key))
        else:
            params = requests.link_v1(id, url)
            asked = self._stripe.account_links.create_async(params, _options(key))
        return str((await _ask(asked))["url"])


def _options(key: str | None, account_id: str | None = None) -> Any:
    options = {"idempotency_key": key, "stripe_account": account_id}
    return {name: value for name, value in options.items() if value}


async def _ask(call: Awaitable[T]) -> Any:
    """The answer as plain data. Raises the error that `_problem` maps."""
    try:
        return (await call).to_dict()  # type: ignore[attr-defined]
    except stripe.StripeError as failed:
        raise _problem(failed) from failed


def _problem(failed: stripe.StripeError) -> GatewayUnknown | GatewayRefused:
    """One mapper from the SDK's errors to the port's."""
    status = failed.http_status or 0
    if isinstance(failed, stripe.APIConnectionError):
        return GatewayUnknown("Stripe did not answer")
    # An IdempotencyError means other parameters under a used key; with 409 the first request runs.
    spent = isinstance(failed, stripe.IdempotencyError) and status != 409
    answer: Any = failed.json_body or {}
    body = answer.get("error", {})
    if is_forbidden(status, body):
        return GatewayForbidden(f"Stripe answered {status}: {failed.user_message or 'no access'}")
    if spent or status in (0, 409, 429) or status >= 500:
        replayed = (failed.headers or {}).get("Idempotent-Replayed") == "true"
        stale = spent or (replayed and status >= 500)
        kind = StaleFailure if stale else GatewayUnknown
        return kind(f"Stripe answered {status}")
    return GatewayRefused(
        body.get("code") or UNNAMED,
        body.get("message") or "The payment provider refused this.",
        body.get("payment_intent"),
        param=body.get("param"),
        decline_code=body.get("decline_code"),
    )


async def _first(
    call: Awaitable[Any], field: str, value: str, excluded: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """The newest object of a list, over all pages, whose metadata has this value. Objects with a
    status in `excluded` are skipped."""
    async for body in _each(call):
        fits = (body.get("metadata") or {}).get(field) == value
        if fits and body.get("status") not in excluded:
            return body
    return None


async def _each(call: Awaitable[Any]) -> AsyncIterator[dict[str, Any]]:
    """A list over all its pages. Raises the error that `_problem` maps."""
    try:
        async for item in (await call).auto_paging_iter():
            yield item.to_dict()
    except stripe.StripeError as failed:
        raise _problem(failed) from failed
