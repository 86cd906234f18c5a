"""The users of a soak test: they chat, read, post and change jobs, apply, shortlist."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from domain.kernel.actor import Role
from tests.soak.client import Client, FeedEvent
from tests.soak.failures import Plan

MAX_PENDING = 6
ANSWER_SECONDS = 0.04  # typical time until an acknowledgement
JOB = {
    "title": "Paint the fence",
    "description": "Twelve metres of wooden fence, two coats.",
    "category": "painting",
    "budget_min_amount": 1000,
    "budget_max_amount": 2000,
    "currency": "USD",
}


class User:
    """The user of a client. `board` is the shared list of known jobs."""

    def __init__(self, client: Client, board: list[str], plan: Plan) -> None:
        self.client = client
        self.board = board
        self.plan = plan
        self.sent = 0
        self.jobs: list[str] = []
        self.applied: set[str] = set()
        client.on_event = self.learn

    def learn(self, event: FeedEvent, data: Any) -> None:
        """Shortlist 30 % of the applicants, which opens conversations; note new jobs."""
        if event.name == "application.created" and random.random() < 0.3:
            self._do("/job-request", "accept", application_id=data["id"])
        elif event.name == "job.updated" and data["id"] not in self.jobs:
            self.jobs.append(data["id"])
            self.board.append(data["id"])

    async def live(self) -> None:
        while True:
            await asyncio.sleep(random.expovariate(1 / self.plan.pause))
            if len(self.client.pending) < MAX_PENDING:
                self.act()
            if random.random() < self.plan.pause / self.plan.cut_every:
                # Some acknowledgements are lost.
                await asyncio.sleep(random.uniform(0, ANSWER_SECONDS))
                self.client.cut()

    def act(self) -> None:
        chance = random.random()
        if chance < 0.80 and self.client.talks:
            for _ in range(random.randint(1, 3)):
                self.talk()
        elif chance < 0.88:
            self.read()
        elif self.client.role is Role.CONTRACTOR:
            self.apply()
        elif self.jobs and chance < 0.94:
            self._do("/job", "update", job_id=random.choice(self.jobs), title=f"Paint {uuid4()}")
        else:
            self._do("/job", "create", **JOB)

    def talk(self) -> None:
        self.sent += 1
        key = str(uuid4())
        self.client.do(
            key,
            "/chat",
            "send",
            conversation_id=random.choice(list(self.client.talks)),
            text=f"number {self.sent}",
            client_id=key,
        )

    def read(self) -> None:
        heard = [(id, len(talk)) for id, talk in self.client.talks.items() if talk]
        if heard:
            id, seq = random.choice(heard)
            self._do("/chat", "read", conversation_id=id, seq=seq)

    def apply(self) -> None:
        fresh = [job for job in self.board[-50:] if job not in self.applied]
        if fresh:
            job = random.choice(fresh)
            self.applied.add(job)
            self._do(
                "/job-request",
                "apply",
                job_id=job,
                cover_letter="I can.",
                proposed_amount=1500,
                timeline_days=3,
            )

    def _do(self, namespace: str, name: str, **fields: Any) -> None:
        self.client.do(str(uuid4()), namespace, name, **fields)


async def begin(users: Sequence[User], timeout: float) -> None:
    """Each customer posts a job and shortlists the contractor of the same pair."""
    pairs = list(zip(users[::2], users[1::2], strict=True))
    async with asyncio.timeout(timeout):
        for customer, _ in pairs:
            customer._do("/job", "create", **JOB)
        await _idle(users)
        for customer, contractor in pairs:
            [(_, job)] = customer.client.acked
            contractor.applied.add(job["id"])
            contractor._do(
                "/job-request",
                "apply",
                job_id=job["id"],
                cover_letter="I can.",
                proposed_amount=1500,
                timeline_days=3,
            )
        await _idle(users)
        for customer, contractor in pairs:
            [(_, application)] = contractor.client.acked
            if not customer.client.pending:
                customer._do("/job-request", "accept", application_id=application["id"])
        await _idle(users)
        await asyncio.gather(*(person.client.list_talks() for person in users))
        while not all(person.client.talks for person in users):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _idle(users: Sequence[User]) -> None:
    await asyncio.gather(*(each.client.idle.wait() for each in users if each.client.pending))
