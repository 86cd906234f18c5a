"""A changed name reaches every record that holds a copy of it."""

import pytest

from domain.accounts.user import User
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
