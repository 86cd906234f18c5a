"""Clients of the Python package `jobsphere`, for the users of a market."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jobsphere import Client, Subscription

from domain.ports.sessions import ACCESS_LIFE
from tests.support.installations import Server
from tests.support.market import Market
from tests.support.parties import Party

Json = dict[str, Any]
JOB: Json = {
    "title": "Paint the fence",
    "description": "Twelve metres of wooden fence, two coats.",
    "category": "painting",
    "budget_min_amount": 50_000,
    "budget_max_amount": 200_000,
    "currency": "USD",
}
WAIT_SECONDS = 20.0


def session_of(party: Party, life: timedelta = ACCESS_LIFE) -> Any:
    """What a sign-in of this user would have answered."""
    return {
        "user": {"id": party.id, "name": party.name, "role": party.role.value},
        "access_token": party.token,
        "refresh_token": party.refresh_token,
        "expires_at": (datetime.now(UTC) + life).isoformat(),
        "device_token": "",
        "second_factor_setup_required": False,
    }


class PythonClients:
    """Makes clients, and closes them at the end."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._made: list[Client] = []

    async def customer(self, **options: Any) -> Client:
        return await self.of(await self.market.customer(connect=False), **options)

    async def contractor(self, **options: Any) -> Client:
        return await self.of(await self.market.contractor(connect=False), **options)

    async def of(self, party: Party, **options: Any) -> Client:
        """Another client of this user, connected."""
        client = self.new(**options)
        await client.resume(session_of(party))
        return client

    def new(self, url: str | None = None, **options: Any) -> Client:
        client = Client(url or self.market.url, **options)
        self._made.append(client)
        return client

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._made))


def push_unreliably(
    server: Server, monkeypatch: pytest.MonkeyPatch, times: Mapping[str, int]
) -> None:
    """Push packets with one of these texts so many times, and all others once."""
    send = server.web.fanout.send

    def unreliable(room: str, packet: bytes) -> None:
        found = (count for text, count in times.items() if text.encode() in packet)
        for _ in range(next(found, 1)):
            send(room, packet)

    monkeypatch.setattr(server.web.fanout, "send", unreliable)


async def talk_of(customer: Client, contractor: Client) -> Json:
    """A conversation of the two. It needs a job with an applicant."""
    job = await customer.job.create(**JOB)
    application = await contractor.job_request.apply(
        job_id=job["id"], cover_letter="I can.", proposed_amount=60_000, timeline_days=3
    )
    await customer.job_request.accept(application_id=application["id"])
    opened: Any = await customer.chat.open(job_id=job["id"], user_id=contractor.id)
    return opened


async def take(pushes: Subscription[Any], count: int) -> list[Any]:
    """The next pushes."""
    async with asyncio.timeout(WAIT_SECONDS):
        return [await anext(pushes) for _ in range(count)]


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what no push announces."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
