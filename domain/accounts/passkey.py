"""The record of a passkey, and the check of what an authenticator signed with it."""

from datetime import datetime
from typing import Annotated

from domain.accounts.challenges import refuse_used
from domain.accounts.security_changes import SecurityFact, announce
from domain.kernel.errors import WrongCredentials
from domain.kernel.fields import about
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.ports.ports import Ports
from domain.ports.second_factors import Challenge, PasskeyAnswer, PasskeyRefused, PasskeyUse

REFUSED = "The passkey is not known here, or its answer is not valid."


class Passkey(Record, frozen=True):
    """A WebAuthn credential of a user.

    `public_key` is COSE, as base64url. `sign_count` is the authenticator's own count of its
    signatures; 0 for those that do not count. A passkey whose count did not rise may have been
    copied: `suspect_at` locks it permanently.
    """

    COLLECTION = "passkeys"
    PREFIX = "psk"
    INDEXES = (
        Index((("credential_id", 1),), unique=True),
        Index((("user_id", 1), ("_id", 1))),
    )
    PRIVATE = frozenset({"user_id", "credential_id", "public_key", "sign_count"})
    UNLOGGED = frozenset({"public_key"})
    PERSONAL = frozenset({"name"})

    user_id: str
    credential_id: str
    public_key: str
    sign_count: int
    name: Annotated[str, about("What its user calls it.")]
    backed_up: Annotated[
        bool, about("Whether the authenticator keeps copies of it, such as in a cloud.")
    ] = False
    last_used_at: Annotated[datetime | None, about("When it was last used; null if never.")] = None
    suspect_at: Annotated[
        datetime | None,
        about("When it was locked, because it may have been copied; null if it was not."),
    ] = None


async def find_signed(
    ports: Ports, answer: PasskeyAnswer, text: str, challenge: Challenge, *, verified: bool
) -> tuple[Passkey, PasskeyUse]:
    """The passkey that signed `text`, the challenge. With `verified` its authenticator checked its
    user.

    Raises WrongCredentials, the same for an unknown passkey as for a wrong signature, and
    Unauthenticated for an answer that comes again.
    """
    passkey = await ports.store.single().find(Passkey, {"credential_id": answer.id})
    if passkey is None or passkey.suspect_at:
        raise WrongCredentials(REFUSED)
    try:
        use = ports.webauthn.signed(answer, text, passkey.public_key, verified=verified)
    except PasskeyRefused as refused:
        raise WrongCredentials(REFUSED) from refused
    counts = use.sign_count > 0 or passkey.sign_count > 0
    if counts and use.sign_count <= passkey.sign_count:
        await ports.store.transact(lambda uow: _lock(uow, passkey, challenge))
        raise WrongCredentials(REFUSED)
    return passkey, use


async def record_use(uow: UnitOfWork, passkey: Passkey, use: PasskeyUse) -> None:
    """Raises WrongCredentials if another answer of the same count was faster."""
    changed = await uow.change(
        Passkey,
        passkey.id,
        only_if={"sign_count": passkey.sign_count, "suspect_at": None},
        sign_count=use.sign_count,
        backed_up=use.backed_up,
        last_used_at=uow.now,
    )
    if changed is None:
        raise WrongCredentials(REFUSED)


async def _lock(uow: UnitOfWork, passkey: Passkey, challenge: Challenge) -> None:
    """Not for an answer that is repeated, as after a lost response: its count did not rise, either.

    Raises Unauthenticated.
    """
    await refuse_used(uow, challenge)
    locked = await uow.change(Passkey, passkey.id, only_if={"suspect_at": None}, suspect_at=uow.now)
    if locked:
        announce(uow, passkey.user_id, SecurityFact.PASSKEY_SUSPECT, passkey.name)
