"""Worlds: what many tests begin with, played once in a test process and then restored.

The first test that needs a world plays it through its server, command by command. All that is
stored by then is kept: the documents of the database, and the tenant of the Stripe sandbox. A later
test with the same settings gets that before its server starts, as after a restart, and the same
people sign in. In both tests they have no push from before.

A world is a fixture of the session whose name begins with PREFIX; `server` restores what a test
uses, and a fixture like `work` enters it.
"""

import copy
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bson.raw_bson import RawBSONDocument

from domain.accounts.user import User
from domain.kernel.leases import Lease
from domain.kernel.process_registry import ProcessHeartbeat
from server.config import Settings
from tests.support.installations import Installation, Server
from tests.support.market import Market
from tests.support.parties import Party

PREFIX = "world_of_"
OF_PROCESSES = {Lease.COLLECTION, ProcessHeartbeat.COLLECTION}  # which have ended
OF_KIND = {"market", "server", "sandbox"}  # attributes that belong to a test's own server
AT_REST = {"faults": 0, "undelivered": 0, "untold": 0}


class State(msgspec.Struct, frozen=True):
    """What is stored, in MongoDB and at Stripe (the name of a snapshot), and what the test has."""

    documents: dict[str, list[RawBSONDocument]]
    snapshot: str
    people: dict[str, User]
    facts: dict[str, Any]


class World:
    """One beginning: `kind` of a market and a server, with the people and the answers that `play`
    gives it as attributes. Its states are kept by settings."""

    def __init__(self, kind: Any, play: Callable[[Any], Awaitable[Any]]) -> None:
        self._kind, self._play = kind, play
        self._states: dict[Settings, State] = {}
        self._prepared: Installation | None = None

    async def prepare(self, installation: Installation) -> State | None:
        """Store a kept state, if there is one; no server runs yet."""
        self._prepared = installation
        state = self._states.get(_comparable(installation.settings))
        if state:
            await installation.sandbox.restore(state.snapshot)
            installation.database.fill(state.documents)
        return state

    async def enter(self, market: Market, server: Server) -> Any:
        """The restored state, or one that is played now."""
        entered = self._kind(market, server)
        installation, self._prepared = self._prepared, None
        if installation is None or installation.sandbox is not server.sandbox:
            await self._play(entered)
        elif state := self._states.get(_comparable(installation.settings)):
            for who, user in state.people.items():
                setattr(entered, who, await market.sign_in(user))
            vars(entered).update(copy.deepcopy(state.facts))
        else:
            is_first = not market.parties
            await self._play(entered)
            await market.settled()
            if is_first and await server.sandbox.rest() == AT_REST:
                await self._keep(installation, entered)
            if installation.smtp:
                installation.smtp.forget()
        for party in _people(entered).values():
            party.clear_pushes()
        return entered

    async def _keep(self, installation: Installation, entered: Any) -> None:
        settings = _comparable(installation.settings)
        documents = installation.database.documents()
        people = _people(entered)
        facts = vars(entered).keys() - people.keys() - OF_KIND
        self._states[settings] = State(
            {name: rows for name, rows in documents.items() if name not in OF_PROCESSES},
            await installation.sandbox.save(),
            {who: party.user for who, party in people.items()},
            copy.deepcopy({fact: vars(entered)[fact] for fact in facts}),
        )


async def prepare_world(installation: Installation, request: pytest.FixtureRequest) -> None:
    """Restore the first world of a test that was played before."""
    for name in request.fixturenames:
        if name.startswith(PREFIX) and await request.getfixturevalue(name).prepare(installation):
            return


def _people(entered: Any) -> dict[str, Party]:
    return {who: party for who, party in vars(entered).items() if isinstance(party, Party)}


def _comparable(settings: Settings) -> Settings:
    """The settings without those that each installation has of its own."""
    return msgspec.structs.replace(
        settings,
        port=0,
        data_dir=Path(),
        public_url="",
        cors_origins=(),
        mongo_url="",
        stripe_secret_key="",
        stripe_publishable_key="",
        stripe_webhook_secrets=(),
        realtime="",
        smtp_url=None if settings.smtp_url is None else "",
    )
