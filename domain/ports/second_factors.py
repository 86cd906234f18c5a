"""Protocols: one-time codes of authenticator apps (TOTP), passkeys (WebAuthn), and challenges."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Protocol

import msgspec

from domain.kernel.fields import about
from domain.kernel.text_types import opaque


class Totp(Protocol):
    """One-time codes by time, RFC 6238: six digits, a new one every 30 seconds."""

    def new_secret(self) -> str: ...

    def url(self, secret: str, account: str) -> str:
        """The `otpauth:` URL that authenticator apps read."""
        ...

    def step(self, secret: str, code: str, at: datetime) -> int | None:
        """The time step that `code` belongs to: that of `at` or one beside it, else None."""
        ...


class Purpose(StrEnum):
    """What a challenge was issued for. It is valid for that purpose only."""

    SIGN_IN = "sign_in"  # the second step of a sign-in
    PASSKEY_ADD = "passkey_add"
    PASSKEY_USE = "passkey_use"


class Challenge(msgspec.Struct, frozen=True):
    """A challenge that was issued to `subject`, the id of a user or empty, while their sessions had
    this `generation`."""

    id: str
    subject: str
    generation: int
    expires_at: datetime


class Challenges(Protocol):
    """Signed challenges. They are stored only when they are used, see `accounts/challenges.py`."""

    def issue(
        self, purpose: Purpose, subject: str, life: timedelta, generation: int = 0
    ) -> tuple[str, datetime]:
        """A challenge as text, and when it expires."""
        ...

    def read(self, purpose: Purpose, text: str) -> Challenge:
        """Raises Unauthenticated for an expired one, and for one of another purpose."""
        ...


Part = Annotated[str, opaque(16_000)]
CredentialId = Annotated[str, opaque(1400, least=1)]  # 1023 bytes in base64url


class AuthenticatorResponse(
    msgspec.Struct,
    frozen=True,
    rename={
        "client_data": "clientDataJSON",
        "attestation": "attestationObject",
        "authenticator_data": "authenticatorData",
        "user_handle": "userHandle",
    },
):
    """The fields that this server reads; browsers send more. All are base64url."""

    client_data: Annotated[Part, about("In base64url.")]
    attestation: Annotated[Part | None, about("In base64url, of a new passkey.")] = None
    authenticator_data: Annotated[Part | None, about("In base64url, of a signature.")] = None
    signature: Annotated[Part | None, about("In base64url, of a signature.")] = None
    user_handle: Annotated[Part | None, about("In base64url; may be left out.")] = None


class PasskeyAnswer(msgspec.Struct, frozen=True, rename={"raw_id": "rawId"}):
    """What `navigator.credentials.create()` or `get()` returned, as its `toJSON()` gives it."""

    id: Annotated[CredentialId, about("The credential id, in base64url.")]
    raw_id: Annotated[CredentialId, about("The same.")]
    type: Annotated[str, opaque(32), about("Always `public-key`.")]
    response: Annotated[AuthenticatorResponse, about("What the authenticator answered.")]


class NewPasskey(msgspec.Struct, frozen=True):
    """A verified registration. `public_key` is COSE, as base64url."""

    credential_id: str
    public_key: str
    sign_count: int
    user_verified: bool
    backed_up: bool


class PasskeyUse(msgspec.Struct, frozen=True):
    """A verified signature. `sign_count` is not compared with that of the last use."""

    sign_count: int
    user_verified: bool
    backed_up: bool


class PasskeyRefused(Exception):
    """The authenticator's response is malformed or does not fit."""


class WebAuthn(Protocol):
    """Passkeys by WebAuthn level 3, without attestation. Options are JSON for the browser's
    `parseCreationOptionsFromJSON` and `parseRequestOptionsFromJSON`."""

    def creation_options(
        self, challenge: str, *, user_id: str, email: str, name: str, known: Sequence[str]
    ) -> dict[str, Any]:
        """Options of a new passkey. `known` are the credential ids that the user has already."""
        ...

    def request_options(
        self, challenge: str, *, allowed: Sequence[str], verified: bool
    ) -> dict[str, Any]:
        """Options of a signature: with one of the credentials `allowed`, or with any that the
        authenticator finds. With `verified` it must check its user (PIN, finger, face)."""
        ...

    def challenge_of(self, answer: PasskeyAnswer) -> str:
        """The challenge that the authenticator answers. Raises PasskeyRefused."""
        ...

    def registered(self, answer: PasskeyAnswer, challenge: str) -> NewPasskey:
        """Raises PasskeyRefused."""
        ...

    def signed(
        self, answer: PasskeyAnswer, challenge: str, public_key: str, *, verified: bool
    ) -> PasskeyUse:
        """Raises PasskeyRefused, without user verification too if `verified` demands it."""
        ...
