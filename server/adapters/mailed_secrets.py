"""Tokens and codes for mails: HMAC-SHA256 of an id, under a key that is derived from JWT_KEYS.

A holder of a key of JWT_KEYS can sign in as anybody already, so a key of its own would protect
nothing more.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from server.config import SecretKey

CODES = 10**6
LABEL = b"jobsphere mailed secrets"


class HmacMailedSecrets:
    """The first key makes secrets, all accept them. `digest` uses the first key only, so after a
    rotation addresses are counted from zero."""

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._keys = [hmac.digest(key.secret, LABEL, hashlib.sha256) for key in keys]

    def token(self, id: str) -> str:
        return f"{id}.{self._signature(self._keys[0], id)}"

    def read(self, token: str) -> str | None:
        id, _, signature = token.partition(".")
        signatures = [self._signature(key, id) for key in self._keys]
        return id if _is_any_of(signature, signatures) else None

    def code(self, id: str) -> str:
        return self._code(self._keys[0], id)

    def code_fits(self, id: str, code: str) -> bool:
        return _is_any_of(code, [self._code(key, id) for key in self._keys])

    def digest(self, text: str) -> str:
        return hmac.digest(self._keys[0], f"text:{text}".encode(), hashlib.sha256).hex()

    def _signature(self, key: bytes, id: str) -> str:
        mac = hmac.digest(key, f"token:{id}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def _code(self, key: bytes, id: str) -> str:
        mac = hmac.digest(key, f"code:{id}".encode(), hashlib.sha256)
        return f"{int.from_bytes(mac[:8]) % CODES:06}"


def _is_any_of(found: str, expected: Sequence[str]) -> bool:
    """In a time that depends on neither."""
    return any([hmac.compare_digest(found.encode(), each.encode()) for each in expected])
