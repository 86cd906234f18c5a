"""What a process tells of itself with each heartbeat: its load, its counts and its health."""

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec

from domain.kernel.bounds import Bounded
from domain.kernel.fields import about

MAX_REASONS = 20
MAX_MINUTES = 6


class ProcessCounts(msgspec.Struct, frozen=True):
    """What a process has done since its start. Differences of two are what it did in between."""

    commands: Annotated[int, about("Commands and requests that it has answered.")] = 0
    refused: Annotated[int, about("Those of them that it answered with an error.")] = 0
    messages: Annotated[int, about("Chat messages that it has stored.")] = 0
    deliveries: Annotated[int, about("Pushes that it has sent to users and rooms.")] = 0
    stripe_calls: Annotated[int, about("Requests to Stripe.")] = 0
    stripe_errors: Annotated[
        int, about("Requests to Stripe without an answer, or that Stripe could not carry out.")
    ] = 0
    stripe_seconds: Annotated[float, about("The time that all requests to Stripe took.")] = 0.0
    loop_stalls: Annotated[int, about("How often its event loop stood still.")] = 0
    stalled_seconds: Annotated[float, about("How long its event loop stood still in all.")] = 0.0

    def since(self, before: "ProcessCounts") -> "ProcessCounts":
        """What was done since `before`."""
        return ProcessCounts(
            *(
                round(getattr(self, name) - getattr(before, name), 3)
                for name in self.__struct_fields__
            )
        )


class ProcessRates(msgspec.Struct, frozen=True):
    """What a process did for each second of the last minute."""

    commands: Annotated[float, about("Commands and requests for each second.")] = 0.0
    messages: Annotated[float, about("Chat messages for each second.")] = 0.0
    deliveries: Annotated[float, about("Pushes for each second.")] = 0.0


class ProcessMinute(msgspec.Struct, frozen=True):
    """What a process has done in the minute that begins at `at`."""

    at: datetime
    counts: ProcessCounts


class ProcessFigures(msgspec.Struct, frozen=True):
    """The state of a process at its last heartbeat. Series are made of its `minutes`, the last
    ones and the present one."""

    PRIVATE: ClassVar[frozenset[str]] = frozenset({"minutes"})

    kind: Annotated[str, about("`web` with clients, or `worker` without.")] = "worker"
    host: Annotated[str, about("The name of its machine.")] = ""
    pid: Annotated[int, about("Its number on that machine.")] = 0
    ready: Annotated[bool, about("Whether it should get traffic.")] = True
    reasons: Annotated[
        dict[str, str], Bounded(MAX_REASONS), about("What is wrong, by the name of the check.")
    ] = {}
    sockets: Annotated[int, about("The connections of its clients.")] = 0
    in_hand: Annotated[int, about("The tasks and pushes that it works on.")] = 0
    queued_pushes: Annotated[int, about("The pushes that wait in it.")] = 0
    memory: Annotated[int, about("The memory that it uses, in bytes.")] = 0
    stripe_p50: Annotated[
        float | None,
        about("Half of its last requests to Stripe took at most so many seconds; null without."),
    ] = None
    stripe_p95: Annotated[
        float | None,
        about("95 % of its last requests to Stripe took at most so many seconds; null without."),
    ] = None
    rates: Annotated[ProcessRates, about("What it did in the last minute.")] = ProcessRates()
    counts: Annotated[ProcessCounts, about("What it has done since its start.")] = ProcessCounts()
    minutes: Annotated[tuple[ProcessMinute, ...], Bounded(MAX_MINUTES)] = ()
