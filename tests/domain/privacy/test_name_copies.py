"""A changed name is shown at once, and reaches every record that holds a copy of it."""

import asyncio
from typing import Any

import pytest

from domain.accounts.user import User
from domain.jobs.job import Job
from domain.kernel.recent_names import KEPT_SECONDS, MAX_NAMES, RecentNames, Renamed
from domain.kernel.store import UnitOfWork
from domain.privacy import name_copies
from domain.privacy.name_copies import COPIES, CopyName
from domain.registry import RECORDS
from tests.conftest import Server
from tests.domain.chat.test_conversations import meet
from tests.support.market import Market
from tests.support.parties import Party

FIELDS = {"customer_name", "contractor_name"}


async def names_seen_by(party: Party) -> set[str]:
    """Every name in the lists of one side."""
    found = set()
    for namespace, command in (
        ("/chat", "list"),
        ("/job", "list"),
        ("/job-request", "mine" if party.user.role == "contractor" else "received"),
        ("/bidding", "list"),
        ("/payment", "list"),
    ):
        items = (await party.call(namespace, command))["items"]
        assert items, command
        for item in items:
            found |= set(item.get("names", {}).values())
            found |= {
                item[field] for field in item if field in ("customer_name", "contractor_name")
            }
    return found


async def test_a_changed_name_is_shown_everywhere(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `queue_name_copies`, COPIES, and `while` in `CopyName.run`: of two runs the earlier
    one may end last."""
    talk = await meet(market)
    customer, contractor = talk.customer, talk.contractor
    await market.offer(customer, contractor, talk.job)
    for number in (1, 2):
        for party in (customer, contractor):
            await party.call("/account", "update", {"name": f"{party.user.role} {number}"})
    await market.settled()
    server.ports.store.names.forget_all()  # only what is copied counts here
    for party in (customer, contractor):
        assert await names_seen_by(party) == {"customer 2", "contractor 2"}
    assert len(await market.tasks("copy_name")) == 4  # each runs once more
    for role, kinds in COPIES.items():
        assert {kind for kind in RECORDS if f"{role}_name" in kind.__struct_fields__} == {*kinds}

    copied = []
    copy_name = name_copies.copy_name

    async def renamed_meanwhile(uow: UnitOfWork, user: User) -> None:
        copied.append(user.name)
        await copy_name(uow, user)
        if len(copied) == 1:
            await uow.change(User, user.id, name="Third")

    monkeypatch.setattr(name_copies, "copy_name", renamed_meanwhile)
    await CopyName(customer.id).run(server.ports)
    assert copied == ["customer 2", "Third"]
    assert await names_seen_by(contractor) == {"Third", "contractor 2"}


async def test_a_changed_name_is_shown_before_it_is_copied(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many records have copies, and on every process. Guard: `RecentNames.shown` in
    `UnitOfWork`, `renamed_users` in `Container._on_changes`, and
    `Broadcasts.renamed`."""
    talk = await meet(market)
    customer, contractor = talk.customer, talk.contractor
    await market.offer(customer, contractor, talk.job)
    await market.settled()
    held, web = asyncio.Event(), server.web
    messages: list[bytes] = []
    uow = market.store.single()

    async def wait(uow: UnitOfWork, user: User) -> None:
        await held.wait()

    with monkeypatch.context() as patch:
        patch.setattr(name_copies, "copy_name", wait)
        patch.setattr(web.fanout, "broadcast", messages.append)
        for number in (1, 2):
            for party in (customer, contractor):
                await party.call("/account", "update", {"name": f"{party.user.role} {number}"})
        new, old = {"customer 2", "contractor 2"}, {customer.user.name, contractor.user.name}
        assert await names_seen_by(customer) == await names_seen_by(contractor) == new
        assert await uow.all(Job, {"customer_name": "customer 2"}) == []  # not copied yet

        told = [message for message in messages if message[:1] == b"n"]
        assert len(told) == 4
        web.fanout._on_missed(None)  # as in another process, which missed it
        assert await names_seen_by(customer) == old
        for message in reversed(told):
            web.fanout.on_broadcast[b"n"](message)
        assert await names_seen_by(customer) == new
        held.set()
    await market.settled()


async def test_changed_names_are_kept_for_a_while() -> None:
    """Guard: `RecentNames._forget_expired`, and MAX_NAMES."""
    now = 0.0
    names = RecentNames(lambda: now)

    def shown(id: str) -> Any:
        document = {"customer_id": id, "customer_name": "old"}
        return names.shown(Job, document)["customer_name"]

    for number in range(MAX_NAMES + 1):
        names.remember(Renamed(f"usr_{number}", 2, "new"))
    assert [shown(f"usr_{number}") for number in (0, 1, MAX_NAMES)] == ["old", "new", "new"]
    now = KEPT_SECONDS - 1
    names.remember(Renamed("usr_1", 3, "newest"))
    now = KEPT_SECONDS
    assert [shown(f"usr_{number}") for number in (1, MAX_NAMES)] == ["newest", "old"]
