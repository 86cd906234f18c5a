"""The JavaScript client and a server that is killed while it works."""

import asyncio

from domain.chat.conversation import Message
from domain.jobs.job import Job
from tests.clients.javascript.node_clients import Node
from tests.clients.javascript.test_commands import JOB
from tests.domain.chat.test_conversations import meet
from tests.support.processes import Processes


async def test_nothing_is_lost_or_done_twice(node: Node, processes: Processes) -> None:
    """Guard: `#repeat` in commands.js and `catchUp` in feed.js. Some commands are under way when
    the process is killed, and some are given while it is away."""
    first, second = await processes.web(), await processes.web()
    talk = await meet(processes.market)
    client = await node.client(first.url, since=0)
    await client.adopt(talk.customer)
    await client.call("connect")
    await talk.customer.disconnect()
    talk.contractor.url = second.url
    await talk.contractor.connect()

    def send(number: int) -> asyncio.Future[object]:
        fields = {"conversation_id": talk.id, "text": f"number {number}"}
        return client.start("chat.send", fields)

    sending = [send(number) for number in range(20)]
    posting = [client.start("job.create", {**JOB, "title": f"Job {n}"}) for n in range(5)]
    await sending[3]
    await first.kill()
    sending += [send(number) for number in range(20, 30)]
    await talk.say(talk.contractor, "meanwhile")
    await processes.restart(first)
    await asyncio.gather(*sending, *posting)
    uow = processes.market.store.single()
    stored = await uow.all(Message, {"conversation_id": talk.id, "author_id": talk.customer.id})
    said = [row.text for row in sorted(stored, key=lambda row: row.seq)]
    assert said == [f"number {number}" for number in range(30)]
    jobs = await uow.all(Job, {"customer_id": talk.customer.id})
    assert len(jobs) == 6
    await client.until(lambda: len(client.texts) == 31)
    await client.call("feed.catchUp")
    assert client.seqs == list(range(1, len(client.seqs) + 1))
    assert len(client.seqs) >= len(jobs)
    numbers = [p.seq for p in client.pushes if p.name == "message"]
    assert numbers == sorted(set(numbers))
