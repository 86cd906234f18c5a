"""Seals of the audit trail: HMAC-SHA256 under keys that can be rotated."""

import hashlib
import hmac
from collections.abc import Sequence

from server.config import SecretKey


class HmacSeal:
    """The first key signs, all verify; a signature names its key: `kid:hex`."""

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._first = keys[0]
        self._keys = {key.kid: key.secret for key in keys}

    def sign(self, data: bytes) -> str:
        return f"{self._first.kid}:{_mac(self._first.secret, data)}"

    def fits(self, data: bytes, signature: str) -> bool:
        kid, _, mac = signature.partition(":")
        secret = self._keys.get(kid)
        return secret is not None and hmac.compare_digest(_mac(secret, data), mac)


def _mac(secret: bytes, data: bytes) -> str:
    return hmac.new(secret, data, hashlib.sha256).hexdigest()
