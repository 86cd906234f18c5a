"""Every record and command declares which of its fields the audit log must not contain."""

import pytest

from domain.kernel.record import Record
from domain.operations.command import Command
from domain.registry import RECORDS
from handlers import NAMESPACES

SECRETS = {
    "password",
    "new_password",
    "password_hash",
    "refresh_token",
    "access_token",
    "client_secret",
    "redirect_url",
    "token",
}
NAMES = {"email", "name", "headline", "bio", "customer_name", "contractor_name", "q"}
CHAT = {"text", "said", "emoji", "last_message", "history", "terms", "reactions"}

COMMANDS = {each.operation.command for space in NAMESPACES for each in space.exposed}
KINDS = sorted({*COMMANDS, *RECORDS}, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_secrets_names_and_chats_are_declared(kind: type[Record] | type[Command]) -> None:
    """Guard: `UNLOGGED` and `PERSONAL` of each record and command."""
    if not getattr(kind, "LOGGED", True):
        return
    fields = set(kind.__struct_fields__)
    in_chat = kind.__module__.startswith("domain.chat.")
    assert fields & SECRETS <= kind.UNLOGGED
    assert fields & NAMES <= kind.PERSONAL
    assert not in_chat or fields & CHAT <= kind.UNLOGGED
    assert kind.__name__ == "Upload" or fields >= kind.UNLOGGED | kind.PERSONAL
