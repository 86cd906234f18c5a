"""A passkey authenticator in software, as a browser and its security chip are for a page."""

import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url as encoded

from tests.support.parties import Json

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40  # flags of the authenticator data


class Authenticator:
    """One passkey. `verified` is whether it checks its user; `count` rises with each signature."""

    def __init__(self, origin: str, *, verified: bool = True, counts: bool = True) -> None:
        self.origin = origin
        self.verified = verified
        self.counts = counts
        self.count = 0
        self.id = secrets.token_bytes(32)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.user_handle = ""

    def create(self, options: Json) -> Json:
        """The answer to `navigator.credentials.create()`."""
        self.user_handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        point = {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        public_key = cbor2.dumps({1: 2, 3: -7, -1: 1, **point})
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + public_key
        data = self._data(options["rp"]["id"], ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client_data = self._client_data(
            {"type": "webauthn.create", "challenge": options["challenge"]}
        )
        return self._answer(
            {"clientDataJSON": client_data, "attestationObject": attestation, "transports": None}
        )

    def sign(self, options: Json, **changed: Any) -> Json:
        """The answer to `navigator.credentials.get()`. `changed` are fields of the client data."""
        self.count += self.counts
        data = self._data(options["rpId"], 0)
        client_data = self._client_data(
            {"type": "webauthn.get", "challenge": options["challenge"], **changed}
        )
        signed = data + hashlib.sha256(client_data).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": client_data,
            "authenticatorData": data,
            "signature": signature,
        }
        return self._answer(response, userHandle=self.user_handle)

    def _data(self, rp_id: str, flags: int) -> bytes:
        flags |= PRESENT | (VERIFIED if self.verified else 0)
        host = hashlib.sha256(rp_id.encode()).digest()
        return host + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client_data(self, fields: dict[str, Any]) -> bytes:
        return json.dumps({"origin": self.origin, **fields}).encode()

    def _answer(self, response: dict[str, Any], **more: str) -> Json:
        parts = {
            name: encoded(value) if isinstance(value, bytes) else value
            for name, value in response.items()
        }
        id = encoded(self.id)
        return {"id": id, "rawId": id, "type": "public-key", "response": {**parts, **more}}
