"""The clock, and the settings of a deployment for its business and its security."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from domain.kernel.money import Schedule


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, truncated to milliseconds, which is MongoDB's precision."""
        ...


class Rates(msgspec.Struct, frozen=True):
    """Fees in basis points, the currencies that the platform settles, the days after which
    delivered work completes automatically (0: never), whether users must verify their e-mail
    addresses, the amount in minor units above which a second administrator approves money
    commands (0: never), the attempts at cards of a user in a day before they have to wait
    (0: never), the country of the platform's account at Stripe, whether Stripe lets the platform
    pay out to accounts under the recipient agreement, the types of payment methods that
    customers may pay with, the refunds before any work that a customer may cause in a day (0: any
    number), the least withdrawal in US cents or their equivalent (0: any), and the rates by which
    searches compare budgets: the value of one unit of a currency in the main one, the first."""

    schedule: Schedule
    currencies: tuple[str, ...]
    auto_complete_days: int = 7
    require_verification: bool = False
    approval_amount: int = 0
    card_attempts: int = 0
    platform_country: str = "US"
    methods: tuple[str, ...] = ()
    caused_refunds: int = 0
    minimum_withdrawal: int = 0
    cross_border: bool = False
    exchange: Mapping[str, float] = {}


class Demands(msgspec.Struct, frozen=True):
    """What a deployment demands of its users. With `second_factor` administrators need one to sign
    in, and sensitive commands need a recent confirmation."""

    second_factor: bool
