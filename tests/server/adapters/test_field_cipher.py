"""Envelope encryption of stored fields."""

import base64
import os

import pytest

from domain.kernel.field_codec import UndecipherableField
from server.adapters import field_cipher
from server.adapters.field_cipher import AesGcmFieldCipher
from server.config import SecretKey

OLD, NEW = (SecretKey(kid, os.urandom(32)) for kid in ("old", "new"))
SECRET = b"carla@example.com"


def test_a_ciphertext_is_read_by_another_process_with_the_same_keys():
    """Guard: `AesGcmFieldCipher._unwrapped`: data keys travel with the ciphertext."""
    sealed = AesGcmFieldCipher([OLD]).encrypt(SECRET, b"usr_1\0email")
    assert SECRET not in sealed
    assert AesGcmFieldCipher([OLD]).decrypt(sealed, b"usr_1\0email") == SECRET


def test_equal_values_have_different_ciphertexts():
    """Guard: `field_cipher.AesGcmFieldCipher.encrypt`, whose nonce is random."""
    cipher = AesGcmFieldCipher([OLD])
    assert len({cipher.encrypt(SECRET, b"x") for _ in range(100)}) == 100


@pytest.mark.parametrize("position", ["version", "key id", "wrapped key", "nonce", "text", "tag"])
def test_a_changed_ciphertext_is_refused(position):
    """Guard: `field_cipher.AesGcmFieldCipher.decrypt`."""
    cipher = AesGcmFieldCipher([OLD])
    sealed = bytearray(cipher.encrypt(SECRET, b"x"))
    header = 2 + len("old") + field_cipher.WRAPPED
    at = {
        "version": 0,
        "key id": 3,
        "wrapped key": header - 5,
        "nonce": header + 2,
        "text": header + field_cipher.NONCE + 3,
        "tag": len(sealed) - 1,
    }
    sealed[at[position]] ^= 1
    with pytest.raises(UndecipherableField):
        cipher.decrypt(bytes(sealed), b"x")


@pytest.mark.parametrize("cut", [0, 1, 2, 10, 60, 70])
def test_a_cut_ciphertext_is_refused(cut):
    """Guard: `field_cipher._header_size` and the tag."""
    cipher = AesGcmFieldCipher([OLD])
    with pytest.raises(UndecipherableField):
        cipher.decrypt(cipher.encrypt(SECRET, b"x")[:cut], b"x")


def test_a_ciphertext_moved_to_another_record_is_refused():
    """Guard: the context in `field_codec._context`."""
    cipher = AesGcmFieldCipher([OLD])
    with pytest.raises(UndecipherableField):
        cipher.decrypt(cipher.encrypt(SECRET, b"usr_1\0email"), b"usr_2\0email")


def test_the_first_key_encrypts_and_all_decrypt():
    """Guard: `AesGcmFieldCipher.is_current`."""
    before, after = AesGcmFieldCipher([OLD]), AesGcmFieldCipher([NEW, OLD])
    sealed = before.encrypt(SECRET, b"x")
    assert after.decrypt(sealed, b"x") == SECRET
    assert before.is_current(sealed) and not after.is_current(sealed)
    assert after.digests(SECRET, b"y")[1] == before.digests(SECRET, b"y")[0]
    with pytest.raises(UndecipherableField, match="FIELD_KEYS lacks the key 'old'"):
        AesGcmFieldCipher([NEW]).decrypt(sealed, b"x")


def test_a_data_key_is_renewed_after_its_uses(monkeypatch):
    """Guard: MAX_USES, as the nonces of one key are random."""
    monkeypatch.setattr(field_cipher, "MAX_USES", 2)
    cipher = AesGcmFieldCipher([OLD])
    sealed = [cipher.encrypt(SECRET, b"x") for _ in range(6)]
    size = 2 + len("old") + field_cipher.WRAPPED
    assert len({each[:size] for each in sealed}) == 3
    assert all(cipher.decrypt(each, b"x") == SECRET for each in sealed)


def test_digests_reveal_neither_key_nor_value():
    """Guard: `field_cipher._derived`: the key that wraps is not the key that digests."""
    cipher = AesGcmFieldCipher([OLD])
    (digest,) = cipher.digests(SECRET, b"users\0email")
    assert digest != cipher.digests(SECRET, b"mails\0email")[0]
    assert base64.b64encode(OLD.secret).decode() not in digest and len(digest) == 32
