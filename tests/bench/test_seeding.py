"""The world of the realtime benchmark."""

from domain.chat.conversation import Conversation, Message
from domain.chat.search_backfill import END, TermsPosition
from domain.chat.search_terms import message_terms
from domain.jobs.job import Job
from tests.bench.realtime import seeding


async def test_the_seeded_records_are_those_that_servers_read(server, installation, monkeypatch):
    """The benchmark did not start after a field of a record was removed."""
    monkeypatch.setattr(seeding, "PAIRS", 1)
    monkeypatch.setattr(seeding, "MESSAGES", 2)
    world = await seeding.seed(installation.settings, 1)
    uow = server.store.single()
    assert len(world.sign(world.owner, *world.crowd)) == 2
    [pair] = world.pairs
    assert (await uow.get(Conversation, pair.conversation_id)).head == 2
    messages = await uow.all(Message, {"conversation_id": pair.conversation_id})
    assert [each.terms for each in messages] == [message_terms(each.text) for each in messages]
    assert len(messages) == 2
    assert [each.after for each in await uow.all(TermsPosition, {})] == [END]
    jobs = await uow.all(Job, {"customer_id": world.owner.id})
    assert {job.id for job in jobs} == {world.watched_job, world.lonely_job}
