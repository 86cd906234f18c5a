"""The TOTP adapter, by the test vectors of the standard."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from server.adapters.totp import TotpCodes

CODES = TotpCodes("JobSphere")
SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    """Guard: `TotpCodes.step`. Source: RFC 6238, appendix B, the last six digits."""
    at = datetime.fromtimestamp(seconds, UTC)
    assert CODES.step(SECRET, code, at) == seconds // 30
    for steps in (-1, 1):
        assert CODES.step(SECRET, code, at + steps * timedelta(seconds=30)) == seconds // 30
    for steps in (-2, 2):
        assert CODES.step(SECRET, code, at + steps * timedelta(seconds=30)) is None


def test_secrets_are_random_and_named_for_the_app() -> None:
    """Guard: `new_secret` and `url`."""
    one, two = CODES.new_secret(), CODES.new_secret()
    assert one != two and len(base64.b32decode(one)) == 20
    url = CODES.url(one, "a b@people.test")
    assert url.startswith("otpauth://totp/JobSphere:a%20b%40people.test?secret=")
