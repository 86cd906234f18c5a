"""Sends webhooks: signed, retried until accepted, at most four at once to one endpoint."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp

from server.dev.stripe_sandbox import access
from server.dev.stripe_sandbox.errors import Json
from server.dev.stripe_sandbox.store import Store
from server.dev.stripe_sandbox.wake import Wake, wait_until

RETRY_DELAYS_SECONDS = (0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
MAX_CONCURRENT = 64
MAX_CONCURRENT_PER_ENDPOINT = 4
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=10)
NEXT_DUE = "SELECT min(next_at) FROM deliveries WHERE status = 'pending' AND next_at > ?"


@dataclass(frozen=True)
class Delivery:
    """One delivery. `signed_at` is the signature's time if it is not the time of sending."""

    body: str
    attempts: int
    signed_at: int | None


def sign(secret: str, body: str, signed_at: int) -> str:
    """The `Stripe-Signature` header of a payload."""
    signed = f"{signed_at}.{body}".encode()
    return f"t={signed_at},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class WebhookSender:
    """The delivery loop. Deliveries are database rows, so a restart continues them."""

    def __init__(self, store: Store, wake: Wake) -> None:
        self.store = store
        self.wake = wake
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._running_by_endpoint: Counter[str] = Counter()

    async def run(self) -> None:
        """Send due deliveries until cancelled."""
        connector = aiohttp.TCPConnector(resolver=access.LoopbackResolver(self.store))
        async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT, connector=connector) as session:
            try:
                while True:
                    now = time.time()
                    self._start_due(session, now)
                    # What is due now runs, or waits for the end of others.
                    due = self.store.db.execute(NEXT_DUE, (now,)).fetchone()[0]
                    await wait_until(self.wake.webhooks, due, now)
            finally:
                for task in self._tasks.values():
                    task.cancel()

    def _start_due(self, session: aiohttp.ClientSession, now: float) -> None:
        """Start the due deliveries within the limits of concurrency."""
        due = "SELECT DISTINCT endpoint FROM deliveries WHERE status = 'pending' AND next_at <= ?"
        for (endpoint,) in self.store.db.execute(due, (now,)).fetchall():
            rows = self.store.db.execute(
                "SELECT id, body, attempts, signed_at FROM deliveries WHERE endpoint = ?"
                " AND status = 'pending' AND next_at <= ? ORDER BY next_at, id LIMIT ?",
                (endpoint, now, 2 * MAX_CONCURRENT_PER_ENDPOINT),
            ).fetchall()
            target = self.store.get(endpoint)
            for delivery_id, *fields in rows:
                if delivery_id in self._tasks or target is None:
                    continue
                at_limit = len(self._tasks) >= MAX_CONCURRENT
                if at_limit or self._running_by_endpoint[endpoint] >= MAX_CONCURRENT_PER_ENDPOINT:
                    break
                self._start(session, delivery_id, target[2], Delivery(*fields))

    def _start(
        self, session: aiohttp.ClientSession, delivery_id: int, endpoint: Json, delivery: Delivery
    ) -> None:
        self._running_by_endpoint[endpoint["id"]] += 1
        task = asyncio.create_task(self._send(session, delivery_id, endpoint, delivery))
        self._tasks[delivery_id] = task

        def finished(_: asyncio.Task[None]) -> None:
            del self._tasks[delivery_id]
            self._running_by_endpoint[endpoint["id"]] -= 1
            self.wake.webhooks.set()

        task.add_done_callback(finished)

    async def _send(
        self, session: aiohttp.ClientSession, delivery_id: int, endpoint: Json, delivery: Delivery
    ) -> None:
        # Real time, not the tenant's: receivers compare the timestamp with their own clock.
        signature = sign(endpoint["_secret"], delivery.body, delivery.signed_at or int(time.time()))
        headers = {
            "Stripe-Signature": signature,
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        url, code = endpoint.get("url") or endpoint["_url"], 0
        try:
            if not access.may_send_to(self.store, url):
                raise OSError("the endpoint is not on this machine")
            async with session.post(
                url, data=delivery.body.encode(), headers=headers, allow_redirects=False
            ) as response:
                code = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            code = 0
        status = "succeeded" if 200 <= code < 300 else "pending"
        if delivery.signed_at and status == "pending":
            status = "refused"
        wait = RETRY_DELAYS_SECONDS[min(delivery.attempts, len(RETRY_DELAYS_SECONDS) - 1)]
        self.store.db.execute(
            "UPDATE deliveries SET status = ?, attempts = ?, code = ?, next_at = ? WHERE id = ?",
            (status, delivery.attempts + 1, code, time.time() + wait, delivery_id),
        )
