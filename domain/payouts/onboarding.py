"""Creates a contractor's Stripe account and keeps its capabilities up to date."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.accounts.user import MAX_CLOSED_ACCOUNTS, MAX_REQUIREMENTS, UPDATED, PayoutSetup, User
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import NotFound, TooMany
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.notifications.refusals import alert_refused, key_number, tell_refused
from domain.notifications.templates.refusals import reason_of
from domain.operations.command import Command
from domain.operations.limits import stripe_calls
from domain.operations.operation import operation
from domain.operations.post_once import post_once
from domain.operations.task import Task
from domain.payouts.countries import Country
from domain.ports.payment_gateway import ConnectAccount, GatewayRefused, GatewayUnknown
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal
from domain.ports.step_up import StepUpFor


class OnboardingLink(msgspec.Struct, frozen=True):
    """Where a contractor gives Stripe their data."""

    url: Annotated[
        str | None,
        about("Stripe's page, which can be opened once; null if Stripe is slow, or refuses."),
    ]
    refusal: Annotated[
        str | None, about("Why Stripe refuses, in words for the user; null if it does not.")
    ] = None


class CreateConnectAccount(Task, frozen=True, tag="create_connect_account"):
    """Create the contractor's account at Stripe, once."""

    user_id: str
    country: str | None
    requested_at: datetime
    key: int = 0

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().get(User, self.user_id)
        if user.connect_id is not None:
            return
        account = await post_once(
            ports,
            key=self.key,
            since=self.requested_at,
            find=lambda: ports.gateway.find_account(user.id, self.requested_at),
            post=lambda: ports.gateway.create_account(
                key=f"account:{user.id}:{len(user.closed_accounts)}."
                f"{key_number(user.payout_attempts, self.key)}",
                email=user.email,
                user_id=user.id,
                country=self.country,
            ),
            next_key=msgspec.structs.replace(self, key=self.key + 1),
            refused=lambda refused: self._refused(ports, refused),
        )
        if account:
            await ports.store.single().change(
                User, user.id, only_if={"connect_id": None}, connect_id=account.id
            )

    async def _refused(self, ports: Ports, refused: GatewayRefused) -> None:
        """The contractor reads why, and tries again, under the next key."""
        what = f"No account could be opened for a contractor ({self.country or 'default country'})"
        await ports.store.transact(
            lambda uow: store_refusal(uow, self.user_id, refused.refusal, what)
        )


async def store_refusal(uow: UnitOfWork, user_id: str, refusal: Refusal, what: str) -> None:
    """Keep why payouts could not be set up, and tell the contractor and administrators."""
    changed = await uow.change(
        User, user_id, inc={"payout_attempts": 1}, payout_refusal=reason_of(refusal.code)
    )
    uow.publish(UPDATED, changed, to=[user_id])
    await tell_refused(
        uow,
        user_id,
        "payouts_refused",
        user_id,
        refusal,
        "Payouts could not be set up",
        "What you earn waits for you. Our administrators know of it, and you can try again.",
    )
    next_step = "The contractor has been told, and can try again once the cause is gone"
    await alert_refused(uow, "onboarding_refused", user_id, refusal, what, next_step)


async def onboarding_link(user_id: str, actor: Actor, ports: Ports) -> OnboardingLink:
    await ports.waiter.settled(user_id)
    user = await ports.store.single().get(User, user_id)
    if user.connect_id is None:
        return OnboardingLink(None, user.payout_refusal)
    try:
        account = await ports.gateway.account(user.connect_id)
        await ports.store.transact(lambda uow: store_account_state(uow, account))
        return OnboardingLink(await ports.gateway.onboarding_url(user.connect_id))
    except GatewayUnknown:
        return OnboardingLink(None)
    except GatewayRefused as refused:
        refusal, what = refused.refusal, "Stripe gives no link to the onboarding of a contractor"
        await ports.store.transact(lambda uow: store_refusal(uow, user_id, refusal, what))
        return OnboardingLink(None, reason_of(refusal.code))


class Onboard(Command, frozen=True):
    """`country` (two letters, ISO 3166) of the bank account; the platform's own if not given."""

    country: Annotated[
        Country | None, about("Where the bank account is; the platform's own country by default.")
    ] = None


@operation(
    "account.onboard",
    roles={Role.CONTRACTOR},
    reply=onboarding_link,
    step_up=StepUpFor.CREDENTIALS,
    limits=(stripe_calls(3),),
    errors=(NotFound, TooMany),
)
async def onboard(cmd: Onboard, actor: Actor, uow: UnitOfWork) -> User:
    """A single-use link to Stripe's onboarding; `url` is null if Stripe does not answer in time.

    `refusal` says why if Stripe refuses. Raises TooMany for a user who closed many accounts at
    Stripe.
    """
    user = await uow.get(User, actor.id)
    if user.payout_refusal:
        user = await uow.change(User, user.id, payout_refusal=None) or user
        uow.publish(UPDATED, user, to=[user.id])
    if user.connect_id is None:
        if len(user.closed_accounts) >= MAX_CLOSED_ACCOUNTS:
            raise TooMany(limit=MAX_CLOSED_ACCOUNTS)
        uow.later(CreateConnectAccount(user.id, cmd.country, uow.now))
    return user


def _setup_of(account: ConnectAccount) -> PayoutSetup:
    if account.payouts_enabled and account.transfers_active:
        return PayoutSetup.DONE
    return PayoutSetup.STARTED if account.requirements else PayoutSetup.WAITING


async def store_account_state(uow: UnitOfWork, account: ConnectAccount) -> User | None:
    """Store the account's capabilities in its user; returns the user if they have changed."""
    user = await uow.find(User, {"connect_id": account.id})
    if user is None:
        return None
    capabilities: dict[str, Any] = {
        "transfers_active": account.transfers_active,
        "payouts_enabled": account.payouts_enabled,
        "payout_currencies": account.currencies,
        "payout_requirements": account.requirements[:MAX_REQUIREMENTS],
        "payout_problem": account.disabled_reason,
        "payout_setup": _setup_of(account),
        "payout_refusal": None if account.payouts_enabled else user.payout_refusal,
    }
    if account.bank and account.bank != user.bank:
        capabilities["bank"] = account.bank
        if user.bank:
            capabilities["bank_changed_at"] = uow.now
    if all(getattr(user, field) == value for field, value in capabilities.items()):
        return None
    if user.payouts_enabled is not account.payouts_enabled:
        capabilities["payouts_changed_at"] = uow.now
    changed = await uow.change(User, user.id, **capabilities)
    uow.publish(UPDATED, changed, to=[user.id])
    return changed
