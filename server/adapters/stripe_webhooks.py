"""The domain's verification of webhooks. Source: Stripe, "Verify webhook signatures"."""

from collections.abc import Sequence
from typing import Any

import msgspec
import stripe

from domain.kernel.errors import InvalidSignature
from domain.kernel.settings import Clock

TOLERANCE_SECONDS = 300


class StripeWebhooks:
    """Verifies events with any of the signing secrets, so that they can be rotated."""

    def __init__(self, secrets: Sequence[str], live: bool, clock: Clock) -> None:
        self._secrets = secrets
        self.live = live
        self._clock = clock

    def verify(self, payload: bytes, signature: str) -> Any:
        if not any(self._fits(secret, payload, signature) for secret in self._secrets):
            raise InvalidSignature
        try:
            return msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            return None

    def _fits(self, secret: str, payload: bytes, signature: str) -> bool:
        verify: Any = stripe.WebhookSignature.verify_header
        try:
            verify(payload.decode(), signature, secret, tolerance=TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, UnicodeError, TypeError):  # not ASCII: TypeError
            return False
        # The SDK accepts timestamps in the future. Of several it checks the first.
        stamp = next(part for part in signature.split(",") if part.startswith("t="))
        return int(stamp.split("=")[1]) <= self._clock.now().timestamp() + TOLERANCE_SECONDS
