"""Who calls an operation: the verified user, their role, and the sets of roles."""

from enum import StrEnum

import msgspec


class Role(StrEnum):
    CUSTOMER = "customer"
    CONTRACTOR = "contractor"
    ADMIN = "admin"


EVERYONE = frozenset(Role)
PARTIES = frozenset({Role.CUSTOMER, Role.CONTRACTOR})
ADMINS = frozenset({Role.ADMIN})
ANYONE: frozenset[Role] = frozenset()  # signed in or not


class Actor(msgspec.Struct, frozen=True):
    """Who calls, from a verified access token."""

    id: str
    role: Role
    session_id: str
