"""What waits for a person."""

from typing import Any

from domain.home.waiting import waiting_for_contractor, waiting_for_customer
from domain.kernel import documents
from domain.kernel.store import UnitOfWork
from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market
from tests.support.parties import Json, Party


async def waiting(party: Party) -> dict[str, Json]:
    home = await party.call("/account", "home")
    return {each["kind"]: each for each in home["waiting"]}


def titles(found: Json) -> list[str]:
    return [subject["title"] for subject in found["subjects"]]


async def test_each_side_is_told_what_waits_for_it(market: Market, server: Any) -> None:
    """Guard: the queries of `home.waiting`, and `waits_for` in `dispute.add_entry`."""
    customer, contractor = await market.customer(), await market.contractor()
    assert await waiting(customer) == await waiting(contractor) == {}
    jobs = {
        title: await market.job(customer, title=title)
        for title in ("Applied", "Unpaid", "Offered", "Countered", "Assigned")
    }
    for job in jobs.values():
        await market.application(contractor, job)
    unpaid = await market.offer(customer, contractor, jobs["Unpaid"], payment_method=None)
    offered = await market.offer(customer, contractor, jobs["Offered"])
    countered = await market.offer(customer, contractor, jobs["Countered"])
    terms = {"offer_id": countered["id"], "amount": 120_000}
    await contractor.call("/bidding", "counter", terms)
    assigned = await market.offer(customer, contractor, jobs["Assigned"])
    await market.accept(contractor, assigned)
    for_customer, for_contractor = await waiting(customer), await waiting(contractor)
    assert set(for_customer) == {"applications", "offers_to_pay", "counter_offers"}
    assert titles(for_customer["offers_to_pay"]) == ["Unpaid"]
    assert for_customer["offers_to_pay"]["subjects"][0]["id"] == unpaid["id"]
    [counter] = for_customer["counter_offers"]["subjects"]
    assert (counter["id"], counter["amount"]) == (countered["id"], 120_000)
    assert set(for_contractor) == {"offers_to_answer", "jobs_to_start"}
    [answer] = for_contractor["offers_to_answer"]["subjects"]
    assert (answer["id"], answer["due_at"]) == (offered["id"], offered["expires_at"])
    assert titles(for_contractor["jobs_to_start"]) == ["Assigned"]
    # A later offer answers a counter-offer.
    await market.offer(customer, contractor, jobs["Countered"])
    assert "counter_offers" not in await waiting(customer)
    await market.start(contractor, jobs["Assigned"])
    work = (await waiting(contractor))["work_to_deliver"]
    assert (titles(work), work["subjects"][0]["amount"]) == (["Assigned"], 100_000)
    await market.deliver(contractor, jobs["Assigned"])
    assert "work_to_deliver" not in await waiting(contractor)
    approve = (await waiting(customer))["work_to_approve"]["subjects"][0]
    assert (approve["id"], approve["amount"]) == (assigned["id"], 100_000)
    assert approve["due_at"]
    about = {"job_id": jobs["Assigned"]["id"], "reason": "quality", "text": "It is bare."}
    dispute = await customer.call("/payment", "dispute_open", about)
    assert dispute["waits_for"] == contractor.id
    assert (await waiting(contractor))["disputes"]["subjects"][0]["id"] == dispute["id"]
    assert not {"disputes", "work_to_approve"} & set(await waiting(customer))
    split = {"dispute_id": dispute["id"], "refund_amount": 40_000}
    proposed = await contractor.call("/payment", "dispute_propose", split)
    assert proposed["waits_for"] == customer.id
    assert titles((await waiting(customer))["disputes"]) == ["Assigned"]
    resolved = await customer.call("/payment", "dispute_agree", split)
    assert resolved["waits_for"] is None
    assert "disputes" not in await waiting(customer)
    money = (await waiting(contractor))["money_to_set_up"]["subjects"]
    assert [(each["amount"], each["currency"]) for each in money] == [(42_000, "USD")]


async def test_counts_of_many_and_of_what_is_unread(market: Market, work: JobInProgress) -> None:
    """Guard: the count of `waiting._list`, `unread.unread_messages`, `feed.unread_notices`."""
    members = {"job_id": work.job["id"], "user_id": work.contractor.id}
    chat = await work.customer.call("/chat", "open", members)
    await market.settled()
    before = await work.contractor.call("/account", "home")
    for text in ("Hello", "Anybody here?"):
        await work.customer.call("/chat", "send", {"conversation_id": chat["id"], "text": text})
    await market.settled()
    home = await work.contractor.call("/account", "home")
    assert home["unread_messages"] == before["unread_messages"] + 2
    assert home["unread_conversations"] == 1
    assert home["unread_notices"] >= 1
    for number in range(7):
        job = await market.job(work.customer, title=f"Job {number}")
        await market.application(work.contractor, job)
    found = (await waiting(work.customer))["applications"]
    assert (found["count"], titles(found)) == (7, [f"Job {number}" for number in (6, 5, 4, 3, 2)])


async def test_what_waits_is_read_from_indexes(
    market: Market, server: Any, monkeypatch: Any
) -> None:
    """Guard: the indexes of `Offer`, `Application`, `Dispute` and `Job` that the lists use."""
    deal = await market.accepted_job(onboarded=False)
    asked: list[tuple[Any, Any]] = []
    real = UnitOfWork._read

    async def read(uow: UnitOfWork, kind: Any, query: Any, *rest: Any) -> Any:
        asked.append((kind, query))
        return await real(uow, kind, query, *rest)

    monkeypatch.setattr(UnitOfWork, "_read", read)
    uow = server.store.single()
    await waiting_for_customer(uow, deal.customer.user)
    await waiting_for_contractor(uow, deal.contractor.user)
    assert len(asked) == 10
    for kind, query in asked:
        where = documents.filtered(query)
        explained = await server.store.database.command(
            {"explain": {"find": kind.COLLECTION, "filter": where}}
        )
        plan = str(explained["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in plan, (kind, query)
