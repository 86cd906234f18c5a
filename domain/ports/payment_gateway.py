"""Protocols and values of the payment provider, and the errors that it raises."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec


class Intent(msgspec.Struct, frozen=True):
    """What Stripe holds of one payment, as just read. Amounts are minor units of `currency`.

    `status` is Stripe's PaymentIntent status: requires_payment_method, requires_confirmation,
    requires_action, processing, requires_capture, succeeded or canceled.
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
    failure: str | None = None
    metadata: dict[str, str] = {}


class StripeMovement(msgspec.Struct, frozen=True):
    """A refund, transfer or payout at Stripe. `status` is Stripe's own word for it; it has `moved`
    no money (yet) if Stripe's books do not know it, like the refund of a hold that ended."""

    id: str
    status: str
    amount: int
    currency: str
    failure: str | None = None
    metadata: dict[str, str] = {}
    reversed_amount: int = 0
    moved: bool = True


class ConnectAccount(msgspec.Struct, frozen=True):
    """A contractor's account at Stripe, what it may do by now, and what its banks take.

    `requirements` are what Stripe still wants to know; a `closed` account comes back no more.
    """

    id: str
    transfers_active: bool
    payouts_enabled: bool
    currencies: tuple[str, ...] = ()
    closed: bool = False
    requirements: tuple[str, ...] = ()
    disabled_reason: str | None = None


class CardDispute(msgspec.Struct, frozen=True):
    """A dispute of a charge. `status` is Stripe's word; `withdrawn_amount` is what Stripe has
    taken for it by now, without its fee: nothing for an inquiry, and after it was won."""

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


class PaymentMethod(msgspec.Struct, frozen=True):
    """A means to pay that Stripe keeps; `type` is Stripe's word, such as `card`."""

    id: str
    type: str
    customer_id: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class SetupIntent(msgspec.Struct, frozen=True):
    """The saving of a method, which the client finishes with `client_secret`."""

    id: str
    client_secret: str | None
    status: str


class BalanceTransaction(msgspec.Struct, frozen=True):
    """A line of Stripe's own books of the platform's balance; amounts are signed."""

    id: str
    type: str
    amount: int
    fee: int
    net: int
    currency: str
    source_id: str | None
    created_at: datetime
    available_on: datetime


class GatewayUnknown(Exception):
    """No answer, or one that leaves the effect open: ask again with the same key."""


class StaleFailure(GatewayUnknown):
    """Stripe replays a stored failure under this key, or has seen other parameters under it:
    re-read, and if nothing happened take the next key."""


class GatewayRefused(Exception):
    """A definite no: nothing was done at Stripe. `code` is Stripe's error or decline code."""

    def __init__(self, code: str, message: str, declined: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.declined = declined  # the payment as Stripe describes it, when a card was refused


KEY_LIFETIME = timedelta(hours=23)  # Stripe forgets keys after 24: then look before posting again


class PaymentGateway(Protocol):
    """Stripe. Every POST carries the caller's idempotency key.

    All methods raise GatewayUnknown, StaleFailure or GatewayRefused.
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
        """Create (and with a payment method confirm) a payment that is captured later, or at once
        if its method cannot be held. A decline is an Intent in requires_payment_method with its
        `failure`."""
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
        """One that has not failed, by the `fact` of its metadata."""
        ...

    async def intent_of_refund(self, id: str) -> str | None: ...

    async def refunds(self, intent_id: str) -> list[StripeMovement]:
        """All refunds of a payment, newest first, also failed ones."""
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
        """Out of a charge's money, or without one out of the platform's balance."""
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

    async def submit_evidence(
        self, id: str, evidence: dict[str, str], *, key: str, submit: bool
    ) -> CardDispute: ...

    async def create_customer(self, *, key: str, email: str, user_id: str) -> str:
        """The id of a customer under which methods are saved."""
        ...

    async def find_customer(self, user_id: str, since: datetime) -> str | None: ...

    async def setup(self, customer_id: str, *, key: str) -> SetupIntent: ...

    async def methods(self, customer_id: str) -> list[PaymentMethod]: ...

    async def method(self, id: str) -> PaymentMethod: ...

    async def detach(self, id: str, *, key: str) -> PaymentMethod:
        """Forget a method for good; its customer is None from then on."""
        ...

    async def payout(
        self, account_id: str, amount: int, currency: str, *, key: str, metadata: dict[str, str]
    ) -> StripeMovement: ...

    async def payout_state(self, account_id: str, id: str) -> StripeMovement: ...

    async def find_payout(
        self, account_id: str, withdrawal_id: str, since: datetime
    ) -> StripeMovement | None: ...

    async def create_account(
        self, *, key: str, email: str, user_id: str, country: str | None
    ) -> ConnectAccount: ...

    async def find_account(self, user_id: str, since: datetime) -> ConnectAccount | None: ...

    async def account(self, id: str) -> ConnectAccount:
        """Never refused for an account that was closed: that is what it says then."""
        ...

    def intents(self, since: datetime) -> AsyncIterator[Intent]:
        """All payments made since then, newest first; for the audit."""
        ...

    def transfers(self, since: datetime) -> AsyncIterator[StripeMovement]: ...

    def disputes(self, since: datetime) -> AsyncIterator[CardDispute]: ...

    def entries(
        self, since: datetime, until: datetime | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        """The platform's balance transactions of that time, newest first."""
        ...

    def payouts(self, account_id: str, since: datetime) -> AsyncIterator[StripeMovement]: ...

    async def onboarding_url(self, account_id: str) -> str:
        """A link for one use; it expires within minutes."""
        ...


class WebhookVerifier(Protocol):
    live: bool  # whether Stripe's live mode is used

    def verify(self, payload: bytes, signature: str) -> Any:
        """What was signed with one of our secrets, read as JSON; None if it is none. Raises
        InvalidSignature."""
        ...
