"""One-time codes of authenticator apps (RFC 6238), by pyotp."""

import hmac
from datetime import datetime

import pyotp

SECONDS = 30  # of one step
SKEW = 1  # steps that a clock may be off


class TotpCodes:
    """SHA-1 and six digits: what every authenticator app supports. `issuer` names the platform."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def new_secret(self) -> str:
        return pyotp.random_base32()  # 160 bits

    def url(self, secret: str, account: str) -> str:
        return pyotp.TOTP(secret, interval=SECONDS).provisioning_uri(
            name=account, issuer_name=self._issuer
        )

    def step(self, secret: str, code: str, at: datetime) -> int | None:
        codes = pyotp.HOTP(secret)
        now = int(at.timestamp()) // SECONDS
        found = None
        for step in range(now - SKEW, now + SKEW + 1):  # all of them, so that the time is the same
            if hmac.compare_digest(codes.at(step).encode(), code.encode()):
                found = step
        return found
