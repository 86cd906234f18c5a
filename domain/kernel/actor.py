"""The caller of an operation: the authenticated user, and the roles that users have."""

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What a user is."""

    CUSTOMER = "customer"
    CONTRACTOR = "contractor"
    ADMIN = "admin"


class PartyRole(StrEnum):
    """The roles that people choose when they register."""

    CUSTOMER = Role.CUSTOMER.value
    CONTRACTOR = Role.CONTRACTOR.value


EVERYONE = frozenset(Role)
PARTIES = frozenset({Role.CUSTOMER, Role.CONTRACTOR})
ADMINS = frozenset({Role.ADMIN})
ANYONE: frozenset[Role] = frozenset()  # no sign-in required


class Actor(msgspec.Struct, frozen=True):
    """The caller, read from a verified access token.

    A `limited` session may only set up a second factor. `generation` is the generation of sessions
    that theirs belongs to; see `accounts/sessions.py`.
    """

    id: str
    role: Role
    session_id: str
    limited: bool = False
    generation: int = 0
