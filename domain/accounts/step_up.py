"""Step-up: a command that matters asks for a recent confirmation of its caller's identity.

The confirmation belongs to the session, beside its tokens, and lasts five minutes. A session store
that has lost it makes the user confirm again.
"""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from domain.accounts.password_policy import Password
from domain.accounts.second_factor import (
    CODES_PER_ACCOUNT,
    Asked,
    Code,
    accept_code,
    count_wrong_codes,
)
from domain.accounts.second_step import use_passkey
from domain.accounts.user import User, verify_password
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.errors import (
    Invalid,
    NotFound,
    Rule,
    SecondFactorSetupRequired,
    StepUpRequired,
    WrongCredentials,
)
from domain.kernel.fields import about
from domain.kernel.settings import Clock, Demands
from domain.kernel.store import Store
from domain.operations.command import Command, Meta, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS
from domain.operations.operation import operation
from domain.ports.ports import Ports
from domain.ports.second_factors import PasskeyAnswer
from domain.ports.sessions import Sessions
from domain.ports.step_up import StepUpFor

LIFE = timedelta(minutes=5)


class Confirm(Command, frozen=True):
    """A passkey that checks its user suffices. Otherwise the password, and a code of those who have
    a second factor."""

    UNLOGGED = frozenset({"password", "code", "passkey"})

    password: Annotated[Password | None, about("The password; not with a passkey.")] = None
    code: Annotated[
        Code | None,
        about("Of the authenticator app, or a recovery code; for those who have a second factor."),
    ] = None
    passkey: Annotated[
        PasskeyAnswer | None,
        about(
            "What `navigator.credentials.get()` returned; its authenticator has checked its user."
        ),
    ] = None


class SteppedUp(msgspec.Struct, frozen=True):
    """The caller has confirmed their identity."""

    step_up_until: Annotated[
        datetime, about("Until when operations that ask for a step-up are allowed in this session.")
    ]


@operation(
    "account.step_up",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    during_setup=True,
    limits=(PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT, CODES_PER_ACCOUNT),
    errors=(NotFound, SecondFactorSetupRequired, WrongCredentials),
)
async def step_up(cmd: Confirm, actor: Actor, ports: Ports, meta: Meta) -> SteppedUp:
    """Confirm the caller's identity for five minutes of this session.

    Raises Invalid, WrongCredentials, SecondFactorSetupRequired.
    """
    if cmd.passkey:
        await use_passkey(ports, cmd.passkey, verified=True, user_id=actor.id)
    elif cmd.password is None:
        raise Invalid("give your password, or a passkey.", field="password", rule=Rule.REQUIRED)
    else:
        await _verify_password_and_code(ports, actor, cmd.password, cmd.code)
    until = ports.clock.now() + LIFE
    await ports.sessions.step_up(actor.session_id, until)
    return SteppedUp(until)


async def _verify_password_and_code(
    ports: Ports, actor: Actor, password: str, code: str | None
) -> None:
    user = await verify_password(ports, actor.id, password)
    if not user.has_second_factor:
        if user.role is Role.ADMIN and ports.demands.second_factor and not actor.limited:
            raise SecondFactorSetupRequired
        return
    if code is None:
        raise Invalid("give a code of your authenticator app.", field="code", rule=Rule.REQUIRED)
    async with count_wrong_codes(ports, actor.id, Asked.SIGNED_IN):
        await ports.store.transact(
            lambda uow: accept_code(ports, uow, actor.id, code, Asked.SIGNED_IN)
        )


class StepUpCheck:
    """The port `StepUp`: what commands ask before they run."""

    def __init__(self, store: Store, sessions: Sessions, clock: Clock, demands: Demands) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock
        self._demands = demands

    async def check(self, actor: Actor, reason: StepUpFor) -> None:
        """Raises StepUpRequired, or Unavailable while sessions cannot be read."""
        user = await self._store.single().get(User, actor.id)
        if not self._asks(user, reason):
            return
        now, found = self._clock.now(), await self._sessions.confirmation(actor.session_id)
        recent = found is not None and found.stepped_up_until and found.stepped_up_until > now
        if reason in (StepUpFor.CREDENTIALS, StepUpFor.ADDRESS) and found is not None:
            recent = recent or found.signed_in_at + LIFE > now
        if not recent:
            raise StepUpRequired(methods=_methods(user))

    def _asks(self, user: User, reason: StepUpFor) -> bool:
        """Where no second factor is demanded, only those who have one are asked about money and a
        change of their address."""
        demanded = self._demands.second_factor
        match reason:
            case StepUpFor.MONEY | StepUpFor.ADDRESS:
                return demanded or user.has_second_factor
            case StepUpFor.CHANGED_BANK:
                return user.bank_changed_at is not None and (demanded or user.has_second_factor)
            case StepUpFor.CREDENTIALS:
                return demanded


def _methods(user: User) -> list[str]:
    """What `step_up` takes: the password, with a code of those who have a second factor; or a
    passkey."""
    methods = ["password"]
    methods += ["code"] if user.has_second_factor else []
    return methods + (["passkey"] if user.passkey_count else [])
