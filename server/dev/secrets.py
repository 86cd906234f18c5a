"""The secrets of the dev server: generated once and kept under DATA_DIR."""

import base64
import os
import secrets
from pathlib import Path

import msgspec

FILE = "secrets.json"


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Random at the first start and then kept, so that tokens survive a restart."""

    jwt_key: str  # base64 of 32 bytes
    stripe_suffix: str = ""  # only in files of earlier versions: that of the secret key
    stripe_key: str = ""  # sk_test_...
    publishable_key: str = ""  # pk_test_..., which says nothing about the secret one
    audit_key: str = ""  # base64 of 32 bytes
    field_key: str = ""  # base64 of 32 bytes
    webhook_secrets: tuple[str, ...] = ()  # whsec_..., known once the sandbox has endpoints

    def environment(self) -> dict[str, str]:
        """The secrets as the environment variables that `server.config.load` reads."""
        variables = {
            "JWT_KEYS": f"local:{self.jwt_key}",
            "AUDIT_KEY": f"local:{self.audit_key}",
            "FIELD_KEYS": f"local:{self.field_key}",
            "STRIPE_SECRET_KEY": self.stripe_key,
            "STRIPE_PUBLISHABLE_KEY": self.publishable_key,
        }
        if self.webhook_secrets:
            variables["STRIPE_WEBHOOK_SECRETS"] = ",".join(self.webhook_secrets)
        return variables


def load(data_dir: Path) -> Secrets:
    """Read the secrets of `data_dir`; generates them at the first call."""
    try:
        found = msgspec.json.decode((data_dir / FILE).read_bytes(), type=Secrets)
    except FileNotFoundError:
        found = Secrets(jwt_key=_key())
    # The sandbox knows what it keeps by the secret key.
    stripe_key = f"sk_test_{found.stripe_suffix or secrets.token_hex(16)}"
    made = {
        "audit_key": _key(),
        "field_key": _key(),
        "stripe_key": stripe_key,
        "publishable_key": f"pk_test_{secrets.token_hex(16)}",
    }
    missing = {name: value for name, value in made.items() if not getattr(found, name)}
    if missing:
        found = msgspec.structs.replace(found, **missing)
        save(data_dir, found)
    return found


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def save(data_dir: Path, content: Secrets) -> None:
    """Replace the file in one step, readable by its owner only."""
    data_dir.mkdir(parents=True, exist_ok=True)
    draft = data_dir / f"{FILE}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=2))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(data_dir / FILE)
