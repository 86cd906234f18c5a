"""Fixtures: a sandbox process, the real Stripe SDK as its client, and its control API."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web
from stripe import AIOHTTPClient, StripeClient

from tests.support import stripe_oracle

ROOT = Path(__file__).parents[4]
CONTROL_KEY = uuid.uuid4().hex
NO_REDIRECT = {"enabled": True, "allow_redirects": "never"}


def free_port() -> int:
    """An unused port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sandbox:
    """The sandbox as a child process. It can be killed and restarted on its data."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        arguments = ["--port", str(self.port), "--data", str(self.data)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server.dev.stripe_sandbox", *arguments],
            cwd=ROOT,
            env=os.environ | {"SANDBOX_CONTROL_KEY": CONTROL_KEY},
        )
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{self.url}/_sandbox/health", timeout=1).read()
                return
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, "the sandbox did not start"
                time.sleep(0.05)
        raise AssertionError("the sandbox did not answer")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the process a signal and wait for its end. Returns its exit code."""
        assert self.process is not None
        os.kill(self.process.pid, number)
        return self.process.wait(10)


class Shop:
    """One tenant: its SDK client, its control API, and shortcuts for frequent steps."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession, retries: int = 0) -> None:
        self.key = f"sk_test_{uuid.uuid4().hex}"
        self.url = sandbox.url
        self.http = http
        self.client = self.connect(retries)
        self.v1 = self.client.v1

    def connect(self, retries: int = 0, key: str | None = None) -> StripeClient:
        """Another SDK client of the same tenant."""
        return StripeClient(
            key or self.key,
            base_addresses={"api": self.url, "files": self.url},
            http_client=AIOHTTPClient(session=self.http),
            max_network_retries=retries,
        )

    async def control(self, method: str, name: str, body: Any = None) -> Any:
        """Call the control API."""
        headers = {"Authorization": f"Bearer {self.key}", "Sandbox-Control-Key": CONTROL_KEY}
        url = f"{self.url}/_sandbox/{name}"
        async with self.http.request(method, url, json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return answer

    async def fault(self, **rule: Any) -> None:
        """Add a fault."""
        await self.control("POST", "faults", rule)

    async def advance(self, seconds: float) -> None:
        """Move the tenant's clock forward."""
        await self.control("POST", "clock", {"advance": seconds})

    async def charge_fees(self) -> None:
        """Set Stripe's usual fees: 2.9 % and 30 minor units. Refunds may overdraw the balance."""
        usual = {"fee_bps": 290, "fee_fixed": 30, "refunds_wait": 0}
        await self.control("POST", "settings", usual)

    async def log(self) -> list[dict[str, Any]]:
        """The request log."""
        return list((await self.control("GET", "requests"))["data"])

    async def events(self) -> list[str]:
        """The types of all events so far, oldest first."""
        page = await self.v1.events.list_async({"limit": 100})
        return [event.type for event in reversed(page.data)]

    async def pay(self, card: str = "pm_card_visa", amount: int = 10_000, **more: Any) -> Any:
        """Confirm a payment with a card."""
        given = {
            "amount": amount,
            "currency": "usd",
            "payment_method": card,
            "confirm": True,
            "automatic_payment_methods": NO_REDIRECT,
            **more,
        }
        return await self.v1.payment_intents.create_async(given)

    async def hold(self, card: str = "pm_card_visa", amount: int = 10_000, **more: Any) -> Any:
        """Hold money on a card."""
        return await self.pay(card, amount, capture_method="manual", **more)

    async def send(self, method: str, path: str, fields: dict[str, str] | None = None) -> Any:
        """Send a request without the SDK. Returns the answer, an error's too."""
        headers = {"Authorization": f"Bearer {self.key}"}
        url = self.url + path
        async with self.http.request(method, url, data=fields, headers=headers) as response:
            return await response.json()

    async def contractor(self, currencies: str = "usd", country: str = "US") -> str:
        """The id of a connected account that finished its onboarding."""
        account = await self.v1.accounts.create_async(
            {
                "type": "express",
                "country": country,
                "capabilities": {"transfers": {"requested": True}},
                "settings": {"payouts": {"schedule": {"interval": "manual"}}},
            }
        )
        await self.onboard(account.id, currencies)
        return str(account.id)

    async def onboard(self, account: str, currencies: str = "usd") -> str:
        """Submit the onboarding form. Returns the redirect."""
        link = await self.v1.account_links.create_async(
            {
                "account": account,
                "type": "account_onboarding",
                "return_url": "https://shop.test/done",
                "refresh_url": "https://shop.test/again",
            }
        )
        return await self.post_form(link.url, {"currencies": currencies})

    async def post_form(self, url: str, fields: dict[str, str]) -> str:
        """Post a page's form. Returns the redirect."""
        async with self.http.post(url, data=fields, allow_redirects=False) as response:
            assert response.status == 303, await response.text()
            return response.headers["Location"]

    async def available(self, account: str | None = None) -> int:
        """The available balance in usd."""
        options: Any = {"stripe_account": account} if account else {}
        balance = await self.v1.balance.retrieve_async({}, options)
        return sum(entry.amount for entry in balance.available if entry.currency == "usd")

    async def check_against_oracle(self) -> None:
        """Check requests, responses and events of this tenant against Stripe's own description."""
        stripe_oracle.check_log(await self.log())
        for delivery in (await self.control("GET", "deliveries"))["data"]:
            stripe_oracle.check_event(delivery["body"])
        for event in (await self.v1.events.list_async({"limit": 100})).data:
            stripe_oracle.check_event(event.to_dict())


class Inbox:
    """A webhook receiver that verifies signatures. `answers` are the next statuses."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.answers: list[int] = []
        self.secret = ""
        self.received: list[Any] = []

    async def receive(self, request: web.Request) -> web.Response:
        """Receive one delivery."""
        body, header = await request.text(), request.headers["Stripe-Signature"]
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            event = stripe.Webhook.construct_event(body, header, self.secret)
            self.received.append(event)
        return web.Response(status=status)

    async def types(self, count: int) -> list[str]:
        """Wait for `count` events. Returns their types."""
        await wait_until(lambda: len(self.received) >= count)
        return [event.type for event in self.received]


async def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until a condition is true."""

    async def read() -> bool:
        return condition()

    await wait_until_equal(read, True, seconds)


async def wait_until_equal(
    read: Callable[[], Awaitable[Any]], wanted: Any, seconds: float = 5
) -> None:
    """Wait until `read` returns the wanted value."""
    for _ in range(int(seconds / 0.02)):
        if await read() == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never became {wanted!r}, but is {await read()!r}")


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One server for all tests; each test is its own tenant."""
    server = Sandbox(tmp_path_factory.mktemp("sandbox"))
    server.start()
    yield server
    assert server.end() == 0


@pytest.fixture
def sandbox_own_server(tmp_path: Path) -> Iterator[Sandbox]:
    """A server for one test, which may kill it."""
    server = Sandbox(tmp_path / "data")
    server.start()
    yield server
    server.end()


@pytest.fixture
async def sandbox_http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def sandbox_shop(
    sandbox_server: Sandbox, sandbox_http: aiohttp.ClientSession
) -> AsyncIterator[Shop]:
    """A new tenant. After the test its traffic is checked against Stripe's description."""
    shop = Shop(sandbox_server, sandbox_http)
    await shop.charge_fees()
    await shop.control("POST", "settings", {"accounts_v1": 1})
    yield shop
    await shop.check_against_oracle()


@pytest.fixture
async def sandbox_inbox(sandbox_shop: Shop) -> AsyncIterator[Inbox]:
    """A receiver of the platform's events."""
    async for inbox in _listen(sandbox_shop, connect=False):
        yield inbox


@pytest.fixture
async def sandbox_connect_inbox(sandbox_shop: Shop) -> AsyncIterator[Inbox]:
    """A receiver of the connected accounts' events."""
    async for inbox in _listen(sandbox_shop, connect=True):
        yield inbox


async def _listen(shop: Shop, *, connect: bool) -> AsyncIterator[Inbox]:
    inbox = Inbox(free_port())
    app = web.Application()
    app.router.add_post("/hook", inbox.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(inbox.url.split(":")[2].split("/")[0])).start()
    endpoint = await shop.v1.webhook_endpoints.create_async(
        {"url": inbox.url, "enabled_events": ["*"], "connect": connect}
    )
    inbox.secret = str(endpoint.secret)
    yield inbox
    await runner.cleanup()
