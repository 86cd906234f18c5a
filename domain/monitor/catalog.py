"""The series of figures that the monitor keeps: what each means, and how buckets are combined.

A stored figure is named by its series, and by a label after a colon where there are several:
`captured:USD`, `payments_failed:generic_decline`.
"""

from enum import StrEnum

import msgspec


class SeriesName(StrEnum):
    """Amounts are in minor units, by currency: `captured`, `refunded`, `commission`, `paid_out`,
    `wallets`, `debt`, `escrow`. `payments_failed` is by Stripe's code. `..._seconds` are sums of
    times, `..._seconds_max` the longest one; `stripe_p95` is in seconds. `queue` are tasks and
    pushes that are due, `queue_age` for how many seconds the oldest has been, `outbox` all that
    wait."""

    PAYMENTS_CAPTURED = "payments_captured"
    PAYMENTS_FAILED = "payments_failed"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    COMMISSION = "commission"
    CAPTURE_SECONDS = "capture_seconds"
    CAPTURE_SECONDS_MAX = "capture_seconds_max"
    TRANSFERS_ARRIVED = "transfers_arrived"
    ARRIVAL_SECONDS = "arrival_seconds"
    ARRIVAL_SECONDS_MAX = "arrival_seconds_max"
    PAYOUTS_PAID = "payouts_paid"
    PAYOUTS_FAILED = "payouts_failed"
    PAID_OUT = "paid_out"
    PAYOUT_SECONDS = "payout_seconds"
    PAYOUT_SECONDS_MAX = "payout_seconds_max"
    COMMANDS = "commands"
    REFUSED = "refused"
    MESSAGES = "messages"
    DELIVERIES = "deliveries"
    STRIPE_CALLS = "stripe_calls"
    STRIPE_ERRORS = "stripe_errors"
    STRIPE_SECONDS = "stripe_seconds"
    LOOP_STALLS = "loop_stalls"
    STALLED_SECONDS = "stalled_seconds"
    STRIPE_P95 = "stripe_p95"
    PROCESSES = "processes"
    SOCKETS = "sockets"
    WALLETS = "wallets"
    DEBT = "debt"
    ESCROW = "escrow"
    QUEUE = "queue"
    QUEUE_AGE = "queue_age"
    OUTBOX = "outbox"
    DEAD_LETTERS = "dead_letters"


class Combine(StrEnum):
    """How the figures of several buckets become that of a longer one."""

    SUM = "sum"
    LAST = "last"
    MAX = "max"


class Source(StrEnum):
    """`fact`: from records and the journal, so nothing stored means zero. `count`: from what the
    processes counted. `gauge`: measured once in a minute."""

    FACT = "fact"
    COUNT = "count"
    GAUGE = "gauge"


class Series(msgspec.Struct, frozen=True):
    source: Source
    combine: Combine


_COUNTS = (
    SeriesName.COMMANDS,
    SeriesName.REFUSED,
    SeriesName.MESSAGES,
    SeriesName.DELIVERIES,
    SeriesName.STRIPE_CALLS,
    SeriesName.STRIPE_ERRORS,
    SeriesName.STRIPE_SECONDS,
    SeriesName.LOOP_STALLS,
    SeriesName.STALLED_SECONDS,
)
_PEAKS = (
    SeriesName.STRIPE_P95,
    SeriesName.PROCESSES,
    SeriesName.SOCKETS,
    SeriesName.QUEUE,
    SeriesName.QUEUE_AGE,
    SeriesName.OUTBOX,
)
_BALANCES = (SeriesName.WALLETS, SeriesName.DEBT, SeriesName.ESCROW, SeriesName.DEAD_LETTERS)
_LONGEST = (
    SeriesName.CAPTURE_SECONDS_MAX,
    SeriesName.ARRIVAL_SECONDS_MAX,
    SeriesName.PAYOUT_SECONDS_MAX,
)

CATALOG: dict[str, Series] = {
    **{name: Series(Source.FACT, Combine.SUM) for name in SeriesName},
    **{name: Series(Source.FACT, Combine.MAX) for name in _LONGEST},
    **{name: Series(Source.COUNT, Combine.SUM) for name in _COUNTS},
    **{name: Series(Source.GAUGE, Combine.MAX) for name in _PEAKS},
    **{name: Series(Source.GAUGE, Combine.LAST) for name in _BALANCES},
}


def series_of(figure: str) -> Series | None:
    """The series of a stored figure; None for one that is kept no more."""
    return CATALOG.get(figure.partition(":")[0])
