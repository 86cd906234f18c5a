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
# Commands that write and are not counted among the changes that wait to be sent, with the reason.
UNCOUNTED = {
    "account.logout": "it is over here all the same",
    "account.passkey_options": "a challenge changes nothing",
    "account.payout_state": "the server reads from Stripe",
    "account.seen": "looking is no change of the person's",
    "chat.read": "looking is no change of the person's",
    "job.search_seen": "looking is no change of the person's",
}
OPEN_VIEWS = {"entry.js", "mailed.js"}  # before one signs in, without the bar that counts
COUNTING = {"write", "guarded", "change"}  # the two others call `write`
# Pushes that no view names, with the reason.
HANDLED = {
    "session.revoked": "the client library ends the session",
    "resync": "the client library reads again",
    **dict.fromkeys(PUSHES["/bidding"].split(), "client/world.js takes all of /bidding alike"),
}


def commands() -> dict[str, bool]:
    """Each command as the client library names it, such as `jobRequest.list`; whether it writes."""
    found, namespace = {}, ""
    for line in DECLARED.splitlines():
        if opened := re.match(r'  "?([\w-]+)"?: \{$', line):
            namespace = re.sub(r"-(\w)", lambda dash: dash[1].upper(), opened[1])
        elif command := re.match(r"      (\w+): \{ ", line):
            found[f"{namespace}.{command[1]}"] = 'repeat: "safe"' not in line
    return found


def around(text: str, position: int) -> set[str]:
    """The functions among whose arguments a position is."""
    found, depth = set(), 0
    for at in range(position - 1, -1, -1):
        depth += {")": 1, "]": 1, "}": 1, "(": -1, "[": -1, "{": -1}.get(text[at], 0)
        if depth < 0:
            depth = 0
            if text[at] == "(" and (name := re.search(r"\w+$", text[:at])):
                found.add(name[0])
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


def test_what_the_client_writes_is_counted_while_it_waits() -> None:
    """Guard: `write` in shared/server.js; what does not go through it is missing in the bar that
    says how much waits to be sent."""
    writes, uncounted = commands(), set()
    for path in sources("static/js/client", "static/js/shared", kinds=(".js",)):
        text = path.read_text() if path.name not in OPEN_VIEWS else ""
        for call in re.finditer(r"\bserver\.(\w+\.\w+)\(", text):
            if writes.get(call[1]) and not around(text, call.start()) & COUNTING:
                uncounted.add(call[1])
    assert uncounted == UNCOUNTED.keys()


def test_the_exceptions_are_still_needed() -> None:
    """Fails for an exception whose command is gone or has a view."""
    assert ELSEWHERE.keys() - commands().keys() == set()
    assert [each for each in ELSEWHERE if is_called(each)] == []
