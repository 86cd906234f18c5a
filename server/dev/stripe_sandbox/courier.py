"""Delivers webhooks: signed, retried until accepted, one endpoint never blocking another."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp

from .errors import Json
from .state import Store, Tenant

BACKOFF = (0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
PARALLEL = 64
PARALLEL_PER_ENDPOINT = 4
TIMEOUT = aiohttp.ClientTimeout(total=10)
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Letter:
    """What is to be sent; `stamp` is the time of a signature that is not made now."""

    body: str
    attempts: int
    stamp: int | None


def sign(secret: str, body: str, stamp: int) -> str:
    """The `Stripe-Signature` header of a payload."""
    signed = f"{stamp}.{body}".encode()
    return f"t={stamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def listed(store: Store, tenant: Tenant, after: int, limit: int, status: str = "") -> list[Json]:
    """Delivery rows, oldest first, of one status if given."""
    columns = ("id", "event", "endpoint", "type", "status", "attempts", "code", "body")
    rows = store.db.execute(
        f"SELECT {', '.join(columns)} FROM deliveries WHERE tenant = ? AND id > ?"
        " AND ? IN ('', status) ORDER BY id LIMIT ?",
        (tenant.key, after, status, limit),
    )
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    for row in found:
        row["body"] = json.loads(row["body"])
    return found


class Courier:
    """The delivery loop; what is to be sent lives in rows, so a restart goes on with it."""

    def __init__(self, store: Store, wake: asyncio.Event) -> None:
        self.store = store
        self.wake = wake
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            try:
                while True:
                    self._pump(session)
                    self.wake.clear()
                    try:
                        await asyncio.wait_for(self.wake.wait(), POLL_SECONDS)
                    except TimeoutError:
                        continue
            finally:
                for task in self._sending.values():
                    task.cancel()

    def _pump(self, session: aiohttp.ClientSession) -> None:
        """Start what is due, as far as there is room."""
        now = time.time()
        due = "SELECT DISTINCT endpoint FROM deliveries WHERE status = 'pending' AND next_at <= ?"
        for (endpoint,) in self.store.db.execute(due, (now,)).fetchall():
            rows = self.store.db.execute(
                "SELECT id, body, attempts, stamp FROM deliveries WHERE endpoint = ?"
                " AND status = 'pending' AND next_at <= ? ORDER BY next_at, id LIMIT ?",
                (endpoint, now, 2 * PARALLEL_PER_ENDPOINT),
            ).fetchall()
            target = self.store.get(endpoint)
            for number, *letter in rows:
                if number in self._sending or target is None:
                    continue
                full = len(self._sending) >= PARALLEL
                if full or self._busy[endpoint] >= PARALLEL_PER_ENDPOINT:
                    break
                self._start(session, number, target[2], Letter(*letter))

    def _start(
        self, session: aiohttp.ClientSession, number: int, endpoint: Json, letter: Letter
    ) -> None:
        self._busy[endpoint["id"]] += 1
        task = asyncio.create_task(self._send(session, number, endpoint, letter))
        self._sending[number] = task

        def finished(_: asyncio.Task[None]) -> None:
            del self._sending[number]
            self._busy[endpoint["id"]] -= 1
            self.wake.set()

        task.add_done_callback(finished)

    async def _send(
        self, session: aiohttp.ClientSession, number: int, endpoint: Json, letter: Letter
    ) -> None:
        # Real time, not the tenant's: receivers compare the stamp with their own clock.
        signature = sign(endpoint["_secret"], letter.body, letter.stamp or int(time.time()))
        headers = {
            "Stripe-Signature": signature,
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        code = 0
        try:
            async with session.post(
                endpoint["url"], data=letter.body.encode(), headers=headers, allow_redirects=False
            ) as response:
                code = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            code = 0
        status = "succeeded" if 200 <= code < 300 else "pending"
        if letter.stamp and status == "pending":
            status = "refused"
        wait = BACKOFF[min(letter.attempts, len(BACKOFF) - 1)]
        self.store.db.execute(
            "UPDATE deliveries SET status = ?, attempts = ?, code = ?, next_at = ? WHERE id = ?",
            (status, letter.attempts + 1, code, time.time() + wait, number),
        )
