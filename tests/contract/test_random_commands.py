"""Socket commands with random fields: the answer is always as documented. The short run sends half
of them (see `wires.py`), each as one role, the full one all of them as each."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from domain.kernel.actor import Role
from tests.architecture.test_matrix import World, world  # noqa: F401
from tests.contract.beyond_schemas import is_beyond_schemas
from tests.contract.model import contract
from tests.contract.snapshot import documents
from tests.contract.socket_commands import Command, Sent, commands, pushes, strategies
from tests.contract.wires import of_sockets
from tests.support.installations import Installation
from tests.support.market import Market
from tests.support.parties import ConnectionLost, Json, Party
from tests.support.property_sizes import SEED, examples, size

EACH = size(1, deep=30)  # examples for each command and each of its roles


@pytest.fixture(autouse=True)
def without_limits(installation: Installation) -> None:
    installation.configure(COMMANDS_PER_SECOND="1000000", SIGN_INS_PER_MINUTE="100000")


class Callers:
    """The connected parties that send, by role. A command may end the session of its caller, as a
    sign-out or a ban does: then a fresh user of that role takes over."""

    def __init__(self, market: Market, world: World) -> None:  # noqa: F811
        self._market = market
        self._parties: dict[str, Party] = {
            Role.CUSTOMER: world.customer,
            Role.CONTRACTOR: world.contractor,
            Role.ADMIN: world.admin,
        }
        self.all = list(self._parties.values())

    async def ask(self, role: str, command: Command, arguments: tuple[Any, ...]) -> Any:
        party = self._parties[role]
        if party.connected(command.namespace):
            try:
                return await party.emit(command.namespace, command.event, *arguments)
            except ConnectionLost:
                pass  # what it sent before has ended its session
        party = self._parties[role] = await self._market.join(Role(role), "Fay Fresh")
        self.all.append(party)
        return await party.emit(command.namespace, command.event, *arguments)


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does
@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_every_command_is_always_answered_as_documented(
    market: Market,
    world: World,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    """Fails for an acknowledgement that its schema or the codes of its command do not allow, for a
    push that differs from its schema, and for every error that the server logs.

    Hypothesis runs in a thread and passes each example to the event loop of the server.
    """
    both = documents()
    document = both["asyncapi"]
    callers = Callers(market, world)
    known = commands(document)
    tried = of_sockets((command.name for command in known), contract(**both)["http"])
    known = [command for command in known if command.name in tried]
    fields = strategies(document, known, world.ids)
    loop = asyncio.get_running_loop()
    wrong: dict[str, str] = {}
    outcomes: Counter[str] = Counter()

    def play(command: Command, role: str) -> None:
        @examples(EACH, deep=EACH)
        @given(fields[command.name])
        def example(sent: Sent) -> None:
            asking = callers.ask(role, command, sent.arguments)
            ack = asyncio.run_coroutine_threadsafe(asking, loop).result()
            outcomes["ok" if ack.get("ok") else ack["error"]["code"]] += 1
            found = command.wrong(ack)
            if not found and sent.valid and not ack["ok"] and not is_beyond(ack["error"]):
                found.append(f"refuses what the document allows: {ack['error']}")
            if not sent.valid and ack.get("ok"):
                found.append("accepts what the document does not allow")
            if found:
                wrong[command.name] = f"{found} after {sent.arguments}"

        example()

    for number, command in enumerate(known):
        first = number % max(len(command.roles), 1)
        for role in command.roles if SEED else command.roles[first:][:1]:
            await asyncio.to_thread(play, command, role)
    assert wrong == {}
    assert wrong_pushes(document, callers.all) == {}
    logged = capsys.readouterr().err.splitlines()
    assert [line for line in logged if "[error" in line or "[critical" in line] == []
    record_property("random commands", outcomes.total())
    assert {"ok", "invalid", "not_found"} <= outcomes.keys(), outcomes


def is_beyond(error: Json) -> bool:
    return is_beyond_schemas(error["code"], error["message"], error["details"])


def wrong_pushes(document: Json, parties: list[Party]) -> dict[str, list[str]]:
    """How the pushes that these parties got differ from the document."""
    known = pushes(document)
    found = {}
    for party in parties:
        for push in party.pushes:
            payload = {"seq": push.seq, "at": push.at, "data": push.data}
            message = known.get((push.namespace, push.name))
            errors = message.errors(payload) if message else ["is not in the document"]
            if errors:
                found[f"{push.namespace} {push.name}"] = errors
    return found
