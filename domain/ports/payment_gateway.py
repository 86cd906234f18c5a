"""Protocols, values and errors of the payment provider."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from domain.ports.refusal import Refusal


class Intent(msgspec.Struct, frozen=True):
    """A PaymentIntent as read from Stripe. Amounts are in minor units of `currency`.

    `status` is Stripe's status: requires_payment_method, requires_confirmation,
    requires_action, processing, requires_capture, succeeded or canceled. `attempt` is the charge of
    the last failed attempt, and `card` the fingerprint of the card that was used last.
    `settled_amount` is what reached the platform's balance, fee included, in `settled_currency`;
    none before it did.
    """

    id: str
    status: str
    amount: int
    currency: str
    captured_amount: int = 0
    refunded_amount: int = 0
    client_secret: str | None = None
    redirect_url: str | None = None
    charge_id: str | None = None
    capture_before: datetime | None = None
    available_on: datetime | None = None
    fee_amount: int | None = None
    fee_currency: str | None = None
    settled_amount: int | None = None
    settled_currency: str | None = None
    failure: str | None = None
    metadata: dict[str, str] = {}
    attempt: str = ""
    card: str = ""


class StripeMovement(msgspec.Struct, frozen=True):
    """A refund, transfer, reversal or payout at Stripe. `status` is Stripe's status.

    `moved` is false if it has no balance transaction (yet), such as a refund that waits for funds.
    `refusal` says why Stripe refused to make it; it has no id then.
    `account_id` is the account that a transfer goes to.
    """

    id: str
    status: str
    amount: int
    currency: str
    failure: str | None = None
    metadata: dict[str, str] = {}
    reversed_amount: int = 0
    moved: bool = True
    refusal: Refusal | None = None
    account_id: str | None = None


class ConnectAccount(msgspec.Struct, frozen=True):
    """A contractor's account at Stripe: its capabilities, and the `currencies` of its banks.

    `requirements` lists the data that Stripe still asks for, `past_due` those of them that are
    overdue; the others are due at `deadline`, if that is known. A `closed` account is never
    reopened. `bank` is a digest of the bank accounts: it changes when one of them does; empty
    without any. `agreement` is `full` or `recipient`. `configurations` are those of Accounts v2;
    none if it was made by v1.
    """

    id: str
    transfers_active: bool
    payouts_enabled: bool
    currencies: tuple[str, ...] = ()
    closed: bool = False
    requirements: tuple[str, ...] = ()
    disabled_reason: str | None = None
    bank: str = ""
    past_due: tuple[str, ...] = ()
    deadline: datetime | None = None
    agreement: str = "full"
    configurations: tuple[str, ...] = ()


class PlatformAccount(msgspec.Struct, frozen=True):
    """The platform's own account: the `currencies` that it settles without a conversion, and its
    active `capabilities`."""

    currencies: tuple[str, ...]
    capabilities: frozenset[str]


class Conversion(msgspec.Struct, frozen=True):
    """A line of a dispute that Stripe booked in another currency than the dispute's: what it is in
    either of them, signed as the line is."""

    line_id: str
    amount: int
    settled_currency: str
    settled_amount: int


class CardDispute(msgspec.Struct, frozen=True):
    """A dispute of a charge. `status` is Stripe's status.

    `withdrawn_amount` is the sum of its lines: what Stripe took for it and has not given back,
    without its fee. It may differ from `amount`, because parts come back, and it is in the same
    currency. `conversions` are those of its lines that are in another one.
    """

    id: str
    status: str
    amount: int
    currency: str
    reason: str
    charge_id: str | None
    intent_id: str | None
    due_by: datetime | None = None
    submissions: int = 0
    withdrawn_amount: int = 0
    fee_amount: int = 0
    fee_currency: str | None = None
    conversions: tuple[Conversion, ...] = ()


class FraudReport(msgspec.Struct, frozen=True):
    """An early fraud warning of a card network, or a review of a payment.

    `reason` is Stripe's, such as `made_with_stolen_card` or `rule`. `closed_reason` says how a
    review ended.
    """

    id: str
    intent_id: str | None
    reason: str
    open: bool = True
    closed_reason: str | None = None
    charge_id: str | None = None


class PaymentMethod(msgspec.Struct, frozen=True):
    """A saved payment method; `type` is Stripe's type, such as `card`."""

    id: str
    type: str
    customer_id: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    fingerprint: str = ""


class SetupIntent(msgspec.Struct, frozen=True):
    """A SetupIntent: the client uses `client_secret` to save a payment method.

    After a failed attempt `card` is the fingerprint of its card.
    """

    id: str
    client_secret: str | None
    status: str
    customer_id: str | None = None
    card: str = ""


class BalanceTransaction(msgspec.Struct, frozen=True):
    """A balance transaction of the platform's Stripe account; amounts are signed."""

    id: str
    type: str
    amount: int
    fee: int
    net: int
    currency: str
    source_id: str | None
    created_at: datetime
    available_on: datetime


# Stripe, "Error codes": the key has no access to a connected account, which may be closed. It is
# the only 403 that is about an object.
ACCOUNT_GONE = "account_invalid"


class GatewayUnknown(Exception):
    """No answer, or an answer that leaves the outcome unknown: repeat with the same key."""


class StaleFailure(GatewayUnknown):
    """Stripe replays a stored failure for this key, or knows the key with other parameters.

    Read the object again; if the request had no effect, use the next key.
    """


class GatewayForbidden(GatewayUnknown):
    """Stripe does not let this deployment's key use a resource (status 401 or 403).

    It says nothing about the object: an administrator corrects the key or its permissions, and the
    same request is made again.
    """


MISSING = "resource_missing"  # the code of an object that Stripe does not have for this account


class GatewayRefused(Exception):
    """A definite refusal without effect at Stripe. `code` is Stripe's error or decline code."""

    def __init__(
        self,
        code: str,
        message: str,
        declined: Any = None,
        *,
        param: str | None = None,
        decline_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = decline_code or code
        self.declined = declined  # the PaymentIntent, if the card was declined
        self.refusal = Refusal(code, message, param, decline_code)


KEY_LIFETIME = timedelta(hours=23)  # Stripe forgets idempotency keys after 24 hours


class PaymentGateway(Protocol):
    """The payment provider, Stripe. Every POST carries the idempotency key of the caller.

    All methods raise GatewayUnknown, StaleFailure, GatewayForbidden or GatewayRefused.
    """

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
        """Create a payment, and confirm it if there is a payment method.

        It is captured later, or at once if its method does not support holds. A declined payment is
        an Intent in requires_payment_method with a `failure`.
        """
        ...

    async def intent(self, id: str) -> Intent: ...

    async def find_intent(self, payment_id: str, since: datetime) -> Intent | None: ...

    async def capture(self, id: str, *, key: str) -> Intent: ...

    async def cancel(self, id: str, *, key: str) -> Intent: ...

    async def refund(
        self, intent_id: str, amount: int, *, key: str, metadata: dict[str, str]
    ) -> StripeMovement: ...

    async def refund_state(self, id: str) -> StripeMovement: ...

    async def find_refund(self, intent_id: str, fact: str) -> StripeMovement | None:
        """The refund with this `fact` in its metadata, unless it has failed."""
        ...

    async def intent_of_refund(self, id: str) -> str | None: ...

    async def refunds(self, intent_id: str) -> list[StripeMovement]:
        """All refunds of a payment, failed ones included, newest first."""
        ...

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
        """Transfer from the funds of a charge, or without one from the platform's balance."""
        ...

    async def find_transfer(self, group: str, fact: str) -> StripeMovement | None: ...

    async def transfer_state(self, id: str) -> StripeMovement: ...

    async def reversals(self, transfer_id: str) -> list[StripeMovement]:
        """All reversals of a transfer, newest first."""
        ...

    async def reverse(
        self, transfer_id: str, amount: int, *, key: str, metadata: dict[str, str]
    ) -> StripeMovement: ...

    async def find_reversal(self, transfer_id: str, fact: str) -> StripeMovement | None: ...

    async def dispute(self, id: str) -> CardDispute: ...

    async def fraud_warning(self, id: str) -> FraudReport: ...

    async def review(self, id: str) -> FraudReport: ...

    def fraud_warnings(self, since: datetime) -> AsyncIterator[FraudReport]:
        """The early fraud warnings that were made since then, newest first."""
        ...

    def reviews(self, since: datetime) -> AsyncIterator[FraudReport]:
        """The reviews that were opened since then and are still open, newest first."""
        ...

    async def upload_evidence(self, name: str, content: bytes, *, key: str) -> str:
        """Upload a file for a dispute. Returns its id at Stripe."""
        ...

    async def submit_evidence(
        self, id: str, evidence: dict[str, str], *, key: str, submit: bool
    ) -> CardDispute: ...

    async def create_customer(self, *, key: str, email: str, user_id: str) -> str:
        """Create a customer, to which payment methods are attached. Returns its id."""
        ...

    async def delete_customer(self, id: str) -> None:
        """Delete a customer and their saved payment methods."""
        ...

    async def find_customer(self, user_id: str, since: datetime) -> str | None: ...

    async def setup(self, customer_id: str, *, key: str) -> SetupIntent: ...

    async def setup_state(self, id: str) -> SetupIntent: ...

    async def cancel_setup(self, id: str, *, key: str) -> SetupIntent: ...

    async def methods(self, customer_id: str) -> list[PaymentMethod]: ...

    async def method(self, id: str) -> PaymentMethod: ...

    async def detach(self, id: str, *, key: str) -> PaymentMethod:
        """Detach a payment method permanently; the result has no customer."""
        ...

    async def payout(
        self, account_id: str, amount: int, currency: str, *, key: str, metadata: dict[str, str]
    ) -> StripeMovement: ...

    async def payout_state(self, account_id: str, id: str) -> StripeMovement: ...

    async def find_payout(
        self, account_id: str, withdrawal_id: str, since: datetime
    ) -> StripeMovement | None: ...

    async def create_account(
        self, *, key: str, email: str, user_id: str, country: str, agreement: str
    ) -> ConnectAccount: ...

    async def pay_out_manually(self, account_id: str, *, key: str) -> None:
        """Let an account's money stay there until it is withdrawn."""
        ...

    async def find_account(self, user_id: str, since: datetime) -> ConnectAccount | None: ...

    async def account(self, id: str) -> ConnectAccount:
        """Read an account. For a closed account the result says so, and nothing is raised."""
        ...

    async def platform(self) -> PlatformAccount: ...

    def intents(self, since: datetime) -> AsyncIterator[Intent]:
        """All payments since a time, newest first; for the audit."""
        ...

    def transfers(self, since: datetime) -> AsyncIterator[StripeMovement]: ...

    def disputes(self, since: datetime) -> AsyncIterator[CardDispute]: ...

    async def charge_metadata(self, id: str) -> dict[str, str]: ...

    async def reversed_transfer(self, line_id: str) -> str:
        """The transfer behind a balance transaction of the type transfer_refund."""
        ...

    def entries(
        self, since: datetime, until: datetime | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        """The platform's balance transactions of a time span, newest first."""
        ...

    def payouts(self, account_id: str, since: datetime) -> AsyncIterator[StripeMovement]: ...

    async def payout_interval(self) -> str | None:
        """How often Stripe pays out the platform by itself: manual, daily, weekly or monthly."""
        ...

    async def payout_lines(self, id: str) -> list[BalanceTransaction]:
        """The lines of a payout of the platform: when it left, and when it came back."""
        ...

    async def platform_country(self) -> str:
        """The country of the platform's own account, in upper case."""
        ...

    async def missing_webhook_events(self) -> list[str]:
        """The events that no webhook endpoint of this server is subscribed to, in order."""
        ...

    async def missing_account_events(self) -> list[str]:
        """The thin events about accounts that Stripe does not send to this server, in order; none
        if accounts are made by v1."""
        ...

    async def onboarding_url(self, account: ConnectAccount) -> str:
        """A link to the onboarding; it works once and expires within minutes."""
        ...


class WebhookVerifier(Protocol):
    live: bool  # whether Stripe's live mode is used

    def verify(self, payload: bytes, signature: str) -> Any:
        """The decoded JSON of a payload signed with one of our secrets; None if it is no JSON.

        Raises InvalidSignature.
        """
        ...
