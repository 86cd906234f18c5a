"""Creates a contractor's Stripe account, and leads to the onboarding at Stripe."""

from datetime import datetime
from typing import Annotated

import msgspec

from domain.accounts.user import MAX_CLOSED_ACCOUNTS, UPDATED, User
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import NotFound, TooMany
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.notifications.refusals import alert_refused, key_number, tell_refused
from domain.notifications.templates.refusals import reason_of
from domain.notifications.templates.requirements import is_rejected
from domain.operations.command import Command
from domain.operations.limits import stripe_calls
from domain.operations.operation import operation
from domain.operations.post_once import post_once, post_repeatable
from domain.operations.task import Task
from domain.payouts.countries import Agreement, Country, agreement_for, check_reachable
from domain.payouts.transfer_tasks import apply_account
from domain.ports.payment_gateway import GatewayRefused, GatewayUnknown
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal
from domain.ports.step_up import StepUpFor

REJECTED = "Stripe has rejected your account, and that is final. Please get in touch with us."


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
        rates = ports.store.rates
        country = self.country or rates.platform_country
        agreement = agreement_for(rates, country) or Agreement.FULL
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
                country=country,
                agreement=agreement,
            ),
            next_key=msgspec.structs.replace(self, key=self.key + 1),
            refused=lambda refused: self._refused(ports, refused),
        )
        if account:
            made = account.id
            await ports.store.transact(lambda uow: _store_account(uow, user.id, made, agreement))

    async def _refused(self, ports: Ports, refused: GatewayRefused) -> None:
        """The contractor reads why, and tries again, under the next key."""
        what = f"No account could be opened for a contractor ({self.country or 'default country'})"
        await ports.store.transact(
            lambda uow: store_refusal(uow, self.user_id, refused.refusal, what)
        )


async def _store_account(uow: UnitOfWork, user_id: str, account_id: str, agreement: str) -> None:
    changed = await uow.change(
        User,
        user_id,
        only_if={"connect_id": None},
        connect_id=account_id,
        payout_agreement=agreement,
    )
    if changed:
        uow.later(PayOutManually(account_id, user_id))


class PayOutManually(Task, frozen=True, tag="pay_out_manually"):
    """Stop the payouts that Stripe makes by itself: an account of Accounts v2 begins with them."""

    account_id: str
    user_id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        await post_repeatable(
            post=lambda: ports.gateway.pay_out_manually(
                self.account_id, key=f"manual:{self.account_id}:{self.key}"
            ),
            next_key=msgspec.structs.replace(self, key=self.key + 1),
            refused=lambda refused: self._refused(ports, refused),
        )

    async def _refused(self, ports: Ports, refused: GatewayRefused) -> None:
        what = f"The payouts of the account {self.account_id} stay automatic"
        next_step = "Set its payouts to manual in Stripe's dashboard"
        await ports.store.transact(
            lambda uow: alert_refused(
                uow, "payouts_automatic", self.user_id, refused.refusal, what, next_step
            )
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
        await ports.store.transact(lambda uow: apply_account(uow, account))
        if account.closed:
            return OnboardingLink(None, "Stripe has closed your account: try again for another.")
        if is_rejected(account.disabled_reason):
            return OnboardingLink(None, REJECTED)
        return OnboardingLink(await ports.gateway.onboarding_url(account))
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

    `refusal` says why if Stripe refuses. Raises Invalid for a country where the platform cannot
    have accounts; `limit` lists the others. Raises TooMany for a user who closed many accounts at
    Stripe.
    """
    user = await uow.get(User, actor.id)
    if cmd.country and user.connect_id is None:
        check_reachable(uow.rates, cmd.country)
    if user.payout_refusal:
        user = await uow.change(User, user.id, payout_refusal=None) or user
        uow.publish(UPDATED, user, to=[user.id])
    if user.connect_id is None:
        if len(user.closed_accounts) >= MAX_CLOSED_ACCOUNTS:
            raise TooMany(limit=MAX_CLOSED_ACCOUNTS)
        uow.later(CreateConnectAccount(user.id, cmd.country, uow.now))
    return user
