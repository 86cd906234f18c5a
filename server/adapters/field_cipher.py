"""Envelope encryption of stored fields: AES-256-GCM under data keys, which configured keys wrap.

Each process makes a data key, wraps it once under the current key of FIELD_KEYS, and puts the
wrapped data key in front of each ciphertext. So no key is stored apart from the data, a configured
key encrypts little, and rotation needs no coordination between processes. The id of the record and
the name of the field are authenticated with the ciphertext.

Layout: version (1 byte), length of the key id (1), key id, nonce (12), wrapped data key (48),
nonce (12), ciphertext with its tag (16).
Source: NIST SP 800-38D for AES-GCM and its limits, RFC 5869 for HKDF.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.kernel.field_codec import FieldCodec, UndecipherableField
from server.config import SecretKey, Settings

VERSION = 1
NONCE, TAG, DATA_KEY = 12, 16, 32  # bytes
WRAPPED = NONCE + DATA_KEY + TAG
DIGEST_CHARACTERS = 32  # 128 bits
# Random nonces may repeat after 2^32 encryptions under one key with a probability of 2^-32.
MAX_USES = 2**24
MAX_AGE_SECONDS = 86_400.0
KNOWN_DATA_KEYS = 2048  # unwrapped data keys kept in memory


class AesGcmFieldCipher:
    """The first of the keys encrypts, all decrypt."""

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._current = keys[0].kid.encode()
        self._wrapping = {key.kid.encode(): AESGCM(_derived(key, b"wrap")) for key in keys}
        self._digesting = [_derived(key, b"digest") for key in keys]
        self._unwrap = lru_cache(KNOWN_DATA_KEYS)(self._unwrapped)
        self._renew()

    def _renew(self) -> None:
        """Make a new data key for what is encrypted from now on."""
        data_key, nonce = AESGCM.generate_key(bit_length=DATA_KEY * 8), os.urandom(NONCE)
        header = bytes((VERSION, len(self._current))) + self._current
        wrapped = self._wrapping[self._current].encrypt(nonce, data_key, header)
        self._header = header + nonce + wrapped
        self._cipher = AESGCM(data_key)
        self._uses, self._renew_at = 0, time.monotonic() + MAX_AGE_SECONDS

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        self._uses += 1
        if self._uses > MAX_USES or time.monotonic() > self._renew_at:
            self._renew()
        nonce = os.urandom(NONCE)
        return self._header + nonce + self._cipher.encrypt(nonce, plaintext, context)

    def decrypt(self, ciphertext: bytes, context: bytes) -> bytes:
        """Raises UndecipherableField."""
        size = _header_size(ciphertext)
        nonce, rest = ciphertext[size : size + NONCE], ciphertext[size + NONCE :]
        try:
            return self._unwrap(ciphertext[:size]).decrypt(nonce, rest, context)
        except (InvalidTag, ValueError) as changed:
            raise UndecipherableField("a stored field was changed or moved") from changed

    def _unwrapped(self, header: bytes) -> AESGCM:
        """The cipher of the data key in a header. Raises UndecipherableField, InvalidTag."""
        prefix, wrapped = header[:-WRAPPED], header[-WRAPPED:]
        wrapping = self._wrapping.get(prefix[2:])
        if wrapping is None:
            kid = prefix[2:].decode(errors="replace")
            raise UndecipherableField(f"FIELD_KEYS lacks the key {kid!r} of a stored field")
        return AESGCM(wrapping.decrypt(wrapped[:NONCE], wrapped[NONCE:], prefix))

    def digests(self, value: bytes, context: bytes) -> list[str]:
        data = context + b"\0" + value
        return [
            hmac.new(key, data, hashlib.sha256).hexdigest()[:DIGEST_CHARACTERS]
            for key in self._digesting
        ]

    def is_current(self, ciphertext: bytes) -> bool:
        return ciphertext[2 : 2 + ciphertext[1]] == self._current


def _header_size(ciphertext: bytes) -> int:
    """Raises UndecipherableField."""
    if len(ciphertext) < 2 or ciphertext[0] != VERSION:
        raise UndecipherableField("a stored field has an unknown format")
    return 2 + ciphertext[1] + WRAPPED


def _derived(key: SecretKey, purpose: bytes) -> bytes:
    """A key for one purpose, so that no key is used in two ways."""
    info = b"jobsphere field " + purpose
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key.secret)


def field_codec(settings: Settings) -> FieldCodec:
    return FieldCodec(AesGcmFieldCipher(settings.field_keys), messages=settings.encrypt_messages)
