"""Rate limits that operations declare. The server counts the requests and refuses them."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

import msgspec


class Per(StrEnum):
    """Whose requests are counted together.

    USER is the signed-in user. ADDRESS is the client's address, or its /64 of IPv6.

    ACCOUNT is for operations that check a password or a code: the account of the signed-in user, or
    the one that the input names as `email` or by the `challenge` of a sign-in. Each attempt is
    counted before it is made; only wrong ones stay counted. They are counted for each session, each
    known device and each network by itself, and those of unknown devices and networks also
    together, at ELSEWHERE times the requests. So others cannot lock the owner of an account out by
    guessing elsewhere.
    """

    USER = "user"
    ADDRESS = "address"
    ACCOUNT = "account"


class Usage(msgspec.Struct, frozen=True):
    """What the cost of a request may depend on, besides its command.

    `size` is the length of its input in bytes. `audience` counts the connections that a push to a
    room reaches on this process; see `kernel/rooms.py`.
    """

    size: int
    audience: Callable[[str], int]


# From the parsed command; input that is refused anyway costs 1.
CostOfCommand = Callable[[Any, Usage], float]
# From the answer of a success.
CostOfAnswer = Callable[[Any, Usage], float]


class Limit(msgspec.Struct, frozen=True):
    """Tokens for `requests` at once, and from then on for `requests` in `seconds`.

    A request takes `cost` tokens, which may be computed; at most all of `requests`. Operations
    whose limits have the same `bucket` are counted together. Without one, each operation is counted
    alone. A deployment may scale the limits per user and per address.

    `later_cost` is what a request costs besides, when that is known only from its answer. It is
    taken after the request, up to four times `requests`, and later requests wait until it is made
    good.
    """

    requests: int
    seconds: float
    per: Per = Per.USER
    bucket: str = ""
    cost: float | CostOfCommand = 1
    later_cost: CostOfAnswer | None = None


PUSHED_BYTES = 256 * 1024  # for one token
ANSWER_BYTES = 16 * 1024  # of an answer that is larger, for one token of its user


def cost_of_push(answer: Any, rooms: Iterable[str], usage: Usage) -> float:
    """The tokens for pushing the answer to everybody in the rooms."""
    audience = sum(map(usage.audience, rooms))
    return len(msgspec.json.encode(answer)) * audience / PUSHED_BYTES


ELSEWHERE = 10

PASSWORDS_PER_ADDRESS = Limit(60, 60, Per.ADDRESS, "password")
PASSWORDS_PER_ACCOUNT = Limit(10, 300, Per.ACCOUNT, "password")
MAILS_PER_ADDRESS = Limit(10, 600, Per.ADDRESS, "account_mail")  # asked for without a session
LINKS_PER_ADDRESS = Limit(30, 60, Per.ADDRESS, "mailed_link")

# What the tasks of a command ask of Stripe after its commit; the state of a deal limits it further.
MONEY_STEPS = Limit(120, 60, bucket="money")
# Ledgers of up to a year, also as files.
STATEMENTS = Limit(60, 60, bucket="statements")


def stripe_calls(most: int) -> Limit:
    """For a command that waits for Stripe, and makes so many calls at most."""
    return Limit(60, 120, bucket="stripe", cost=most)
