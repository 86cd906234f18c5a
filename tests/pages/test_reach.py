"""What programs can ask for and hear of, people can too: each command and push has its view."""

import re

import pytest

from tests.architecture.source_tree import ROOT, sources
from tests.support.wire_contract import PUSHES

VIEWS = "\n".join(path.read_text() for path in sources("static/js", kinds=(".js",)))
DECLARED = (ROOT / "static" / "client" / "contract.js").read_text()

# Commands that no view calls, with the reason.
ELSEWHERE = {
    "account.refresh": "the client library does it by itself",
    "chat.sync": "the client library catches up with it after a break",
    "files.upload": "shared/uploads.js sends files itself, to show how far it is",
    "files.ticket": "the client library asks for one when it makes the address of a file",
    "job.public": "client/landing.js fetches it, without the client library",
    "job.public_one": "client/landing.js fetches it, without the client library",
    "jobRequest.get": "each view has the list that the application is in",
    "admin.overview": "`admin.live` answers the same and then pushes it",
}
# Pushes that no view names, with the reason.
HANDLED = {
    "session.revoked": "the client library ends the session",
    "resync": "the client library reads again",
    **dict.fromkeys(PUSHES["/bidding"].split(), "client/world.js takes all of /bidding alike"),
}


def commands() -> list[str]:
    """Each command as the client library names it, such as `jobRequest.list`."""
    found, namespace = [], ""
    for line in DECLARED.splitlines():
        if opened := re.match(r'  "?([\w-]+)"?: \{$', line):
            namespace = re.sub(r"-(\w)", lambda dash: dash[1].upper(), opened[1])
        elif command := re.match(r"      (\w+): \{ ", line):
            found.append(f"{namespace}.{command[1]}")
    return found


def is_called(command: str) -> bool:
    namespace, name = command.split(".")
    return re.search(rf"\.{namespace}\s*\.{name}\b", VIEWS) is not None


def test_every_command_has_a_view() -> None:
    """Fails for a command that people cannot give, unless ELSEWHERE says why."""
    known = commands()
    assert len(known) > 140
    assert [each for each in known if not is_called(each)] == [
        each for each in known if each in ELSEWHERE
    ]


@pytest.mark.parametrize("namespace", PUSHES)
def test_every_push_changes_a_view(namespace: str) -> None:
    """Fails for a push that no view hears, unless HANDLED says why."""
    for push in PUSHES[namespace].split():
        named = re.search(rf'["/ ]{re.escape(push)}"', VIEWS) is not None
        assert named or push in HANDLED, push


def test_the_exceptions_are_still_needed() -> None:
    """Fails for an exception whose command is gone or has a view."""
    assert set(ELSEWHERE) - set(commands()) == set()
    assert [each for each in ELSEWHERE if is_called(each)] == []
