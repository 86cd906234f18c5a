"""How the sandbox of `server dev` behaves: like Stripe in reality, or plainly.

`SANDBOX=strict`, the default, takes Stripe's fees and makes money available days later, as a real
account does. `SANDBOX=plain` takes no fees and waits for nothing, so that amounts are round.
`SANDBOX_FUNDS_SECONDS` is the time until the money of a payment is available.
"""

import re
from collections.abc import Mapping

from server.config import ConfigError

DAY = 86_400
# Stripe's usual fees of US cards, 2.9 % and 30 cents, and its usual times.
STRICT = {
    "fee_bps": 290,
    "fee_fixed": 30,
    "available_delay_seconds": 2 * DAY,
    "async_seconds": 5,
    "processing_seconds": 4 * DAY,
    "refunds_wait": 1,
}
PLAIN = {**dict.fromkeys(STRICT, 0), "processing_seconds": 60}
KINDS = {"strict": STRICT, "plain": PLAIN}


def chosen(given: Mapping[str, str]) -> dict[str, int]:
    """The settings of the sandbox. Raises ConfigError."""
    kind = given.get("SANDBOX", "strict").strip()
    if kind not in KINDS:
        raise ConfigError([f"SANDBOX must be {' or '.join(KINDS)}"])
    seconds = given.get("SANDBOX_FUNDS_SECONDS", "").strip()
    if not seconds:
        return dict(KINDS[kind])
    if not re.fullmatch(r"[0-9]{1,8}", seconds):
        raise ConfigError(["SANDBOX_FUNDS_SECONDS must be a whole number of seconds"])
    return KINDS[kind] | {"available_delay_seconds": int(seconds)}
