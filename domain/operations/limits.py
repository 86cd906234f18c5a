"""Rate limits that operations declare. The server counts the requests and refuses them."""

from enum import StrEnum

import msgspec


class Per(StrEnum):
    """Whose requests are counted together.

    USER is the signed-in user. ACCOUNT is for operations that check a password: the account of the
    signed-in user, or the one that the input names as `email`.
    """

    USER = "user"
    ADDRESS = "address"
    ACCOUNT = "account"


class Limit(msgspec.Struct, frozen=True):
    """`requests` at once, and from then on `requests` in `seconds`.

    Operations whose limits have the same `bucket` are counted together. Without one, each operation
    is counted alone. A deployment may scale the limits per user and per address.
    """

    requests: int
    seconds: float
    per: Per = Per.USER
    bucket: str = ""


PASSWORDS_PER_ADDRESS = Limit(60, 60, Per.ADDRESS, "password")
PASSWORDS_PER_ACCOUNT = Limit(10, 300, Per.ACCOUNT, "password")
