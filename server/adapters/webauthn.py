"""Passkeys by WebAuthn, with py_webauthn; the challenge is a signed text."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    options_to_json_dict,
    parse_client_data_json,
)
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from domain.ports.second_factors import NewPasskey, PasskeyAnswer, PasskeyRefused, PasskeyUse

TIMEOUT_MS = 300_000


class PyWebAuthn:
    """Passkeys belong to the host of `public_url`. Pages of `origins` may use them, too, as far as
    browsers let them: those of the same host and of hosts below it."""

    def __init__(self, name: str, public_url: str, origins: Sequence[str]) -> None:
        self._name = name
        self._rp_id = urlsplit(public_url).hostname or ""
        self._origins = list(dict.fromkeys([public_url, *origins]))

    def creation_options(
        self, challenge: str, *, user_id: str, email: str, name: str, known: Sequence[str]
    ) -> dict[str, Any]:
        return options_to_json_dict(
            generate_registration_options(
                rp_id=self._rp_id,
                rp_name=self._name,
                user_id=user_id.encode(),
                user_name=email,
                user_display_name=name,
                challenge=challenge.encode(),
                timeout=TIMEOUT_MS,
                authenticator_selection=AuthenticatorSelectionCriteria(
                    resident_key=ResidentKeyRequirement.REQUIRED,
                    user_verification=UserVerificationRequirement.PREFERRED,
                ),
                exclude_credentials=_descriptors(known),
            )
        )

    def request_options(
        self, challenge: str, *, allowed: Sequence[str], verified: bool
    ) -> dict[str, Any]:
        required, preferred = (
            UserVerificationRequirement.REQUIRED,
            UserVerificationRequirement.PREFERRED,
        )
        return options_to_json_dict(
            generate_authentication_options(
                rp_id=self._rp_id,
                challenge=challenge.encode(),
                timeout=TIMEOUT_MS,
                allow_credentials=_descriptors(allowed),
                user_verification=required if verified else preferred,
            )
        )

    def challenge_of(self, answer: PasskeyAnswer) -> str:
        try:
            raw = base64url_to_bytes(answer.response.client_data)
            return parse_client_data_json(raw).challenge.decode("ascii")
        except Exception as refused:
            raise PasskeyRefused from refused

    # The library parses bytes of strangers: any exception means that they are refused.

    def registered(self, answer: PasskeyAnswer, challenge: str) -> NewPasskey:
        try:
            found = verify_registration_response(
                credential=_credential(answer),
                expected_challenge=challenge.encode(),
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
            )
        except Exception as refused:
            raise PasskeyRefused from refused
        return NewPasskey(
            bytes_to_base64url(found.credential_id),
            bytes_to_base64url(found.credential_public_key),
            found.sign_count,
            found.user_verified,
            found.credential_backed_up,
        )

    def signed(
        self, answer: PasskeyAnswer, challenge: str, public_key: str, *, verified: bool
    ) -> PasskeyUse:
        try:
            found = verify_authentication_response(
                credential=_credential(answer),
                expected_challenge=challenge.encode(),
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                credential_public_key=base64url_to_bytes(public_key),
                credential_current_sign_count=0,  # the caller compares it
                require_user_verification=verified,
            )
        except Exception as refused:
            raise PasskeyRefused from refused
        return PasskeyUse(found.new_sign_count, found.user_verified, found.credential_backed_up)


def _descriptors(ids: Sequence[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(id)) for id in ids]


def _credential(answer: PasskeyAnswer) -> str:
    """The JSON that the library reads."""
    given = answer.response
    response = {
        "clientDataJSON": given.client_data,
        "attestationObject": given.attestation,
        "authenticatorData": given.authenticator_data,
        "signature": given.signature,
        "userHandle": given.user_handle,
    }
    present = {name: value for name, value in response.items() if value is not None}
    return json.dumps(
        {"id": answer.id, "rawId": answer.raw_id, "type": answer.type, "response": present}
    )
