"""The WebAuthn adapter: options, origins, and bytes of strangers."""

import random

import cbor2
import msgspec
import pytest
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from domain.ports.second_factors import PasskeyAnswer, PasskeyRefused
from server.adapters.webauthn import PyWebAuthn
from tests.support.authenticator import Authenticator

ORIGIN = "https://jobs.example.com"
ADAPTER = PyWebAuthn("JobSphere", ORIGIN, ["https://app.jobs.example.com", ORIGIN])
MUTATIONS = 500
HOSTILE = {
    "no CBOR": b"hello",
    "empty": b"",
    "nested arrays": b"\x81" * 11_900,
    "nested maps": b"\xa1\x01" * 5_900,
    "nested tags": b"\xc1" * 11_900,
    "a huge array": b"\x9b\x7f" + b"\xff" * 7,
    "a huge text": b"\x7b\x00\x00\x00\x7f" + b"\xff" * 4,
    "a huge number": b"\xc2\x59\x2e\x00" + b"\xff" * 11_776,
    "a huge exponent": b"\xc4\x82\x1b\x7f" + b"\xff" * 7 + b"\x01",
    "no authenticator data": cbor2.dumps({"fmt": "none", "attStmt": {}}),
    "another format": cbor2.dumps({"fmt": "made up", "attStmt": {}, "authData": bytes(200)}),
}


def creation(key: Authenticator) -> PasskeyAnswer:
    options = ADAPTER.creation_options("one", user_id="usr_1", email="a@b.c", name="A", known=[])
    return msgspec.convert(key.create(options), PasskeyAnswer)


def with_attestation(answer: PasskeyAnswer, attestation: bytes) -> PasskeyAnswer:
    changed = bytes_to_base64url(attestation)
    response = msgspec.structs.replace(answer.response, attestation=changed)
    return msgspec.structs.replace(answer, response=response)


def test_options_ask_for_a_passkey_without_attestation() -> None:
    """Guard: `PyWebAuthn.creation_options`."""
    options = ADAPTER.creation_options(
        "one", user_id="usr_1", email="a@b.c", name="A", known=["AAAA"]
    )
    assert options["rp"] == {"name": "JobSphere", "id": "jobs.example.com"}
    assert options["attestation"] == "none"
    selection = options["authenticatorSelection"]
    assert (selection["residentKey"], selection["userVerification"]) == ("required", "preferred")
    assert [each["id"] for each in options["excludeCredentials"]] == ["AAAA"]
    assert "a@b.c" not in str(base64url_to_bytes(options["user"]["id"]))


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (ORIGIN, True),
        ("https://app.jobs.example.com", True),
        ("http://jobs.example.com", False),
        ("https://jobs.example.com.evil.test", False),
        ("null", False),
    ],
)
def test_only_own_pages_are_accepted(origin: str, accepted: bool) -> None:
    """Guard: `_origins`."""
    answer = creation(Authenticator(origin))
    if accepted:
        assert ADAPTER.registered(answer, "one").user_verified
    else:
        with pytest.raises(PasskeyRefused):
            ADAPTER.registered(answer, "one")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_attestations_are_refused(name: str) -> None:
    """Guard: `except Exception` in `registered`: the library raises errors of many kinds."""
    answer = creation(Authenticator(ORIGIN))
    with pytest.raises(PasskeyRefused):
        ADAPTER.registered(with_attestation(answer, HOSTILE[name]), "one")


def test_changed_bytes_are_refused_or_harmless() -> None:
    """Guard: the same, for bytes that are nearly right."""
    key, chance = Authenticator(ORIGIN), random.Random(7)
    answer = creation(key)
    good = base64url_to_bytes(answer.response.attestation or "")
    for _ in range(MUTATIONS):
        changed = bytearray(good)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            made = ADAPTER.registered(with_attestation(answer, bytes(changed)), "one")
        except PasskeyRefused:
            continue
        signed = key.sign(ADAPTER.request_options("two", allowed=[], verified=True))
        use = msgspec.convert(signed, PasskeyAnswer)
        try:
            ADAPTER.signed(use, "two", made.public_key, verified=True)
        except PasskeyRefused:
            continue


@pytest.mark.parametrize("client_data", ["", "AA", "e30", "W10", "eyJjaGFsbGVuZ2UiOjF9"])
def test_a_broken_client_data_has_no_challenge(client_data: str) -> None:
    """Guard: `except Exception` in `challenge_of`."""
    answer = creation(Authenticator(ORIGIN))
    response = msgspec.structs.replace(answer.response, client_data=client_data)
    with pytest.raises(PasskeyRefused):
        ADAPTER.challenge_of(msgspec.structs.replace(answer, response=response))
