"""The market of a test: creates users and performs the first steps of most tests."""

import asyncio
import hashlib
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import bson
from aiohttp import ClientSession, ClientTimeout
from redis.asyncio import ConnectionPool, Redis

from domain.accounts.mailed_tokens import MailedToken
from domain.accounts.search_keys import search_keys
from domain.accounts.user import User
from domain.admin.activity import ActivityRow
from domain.audit_trail.hash_chain import Anchor
from domain.chat.search_backfill import TermsPosition
from domain.kernel.actor import Role
from domain.kernel.leases import Lease
from domain.kernel.money import Schedule
from domain.kernel.outbox import OutboxRow
from domain.kernel.process_registry import ProcessHeartbeat
from domain.kernel.record import Record
from domain.kernel.settings import Rates
from domain.kernel.store import Store, new_id
from domain.monitor.bucket import SeriesBucket
from domain.notifications.feed import FeedHead
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.ports.sessions import SessionEvent
from domain.presence.presence import LastSeen
from server.adapters import stripe_mapping
from server.adapters.field_cipher import field_codec
from server.adapters.jwt_tokens import AccessTokens
from server.adapters.redis_sessions import RedisSessions
from server.adapters.system_clock import SystemClock
from server.config import Settings
from server.pubsub.redis_connections import redis_pool
from tests.support.parties import PASSWORD_HASH, AnonymousClient, Json, Party
from tests.support.sandbox_client import BANK_ACCOUNT, Sandbox

SETTLE_SECONDS = 15.0

NO_TRACES = {
    kind.COLLECTION
    for kind in (
        Lease,
        ProcessHeartbeat,
        SeriesBucket,
        Anchor,
        LastSeen,
        ActivityRow,
        TermsPosition,
    )
}


class AcceptedJob(NamedTuple):
    """A job whose offer was accepted, with both sides."""

    customer: Party
    contractor: Party
    job: Json
    application: Json
    offer: Json


class Market:
    """Creates users and performs the first steps of most tests.

    Users are written straight into the database and signed in through the real sessions. Every
    step returns the server's answer. `store` is that of a server in this process, if there is one.
    """

    def __init__(
        self, settings: Settings, url: str, sandbox: Sandbox, store: Store | None = None
    ) -> None:
        clock = SystemClock()
        self.settings = settings
        self.url = url
        self.sandbox = sandbox
        rates = Rates(
            Schedule(settings.platform_fee_bps, settings.service_fee_bps), settings.currencies
        )
        self.store = store or Store(settings.mongo_url, clock, rates, field_codec(settings))
        self._owns_store = store is None
        self.tokens = AccessTokens(settings.jwt_keys, clock)
        self.web = ClientSession(timeout=ClientTimeout(total=30))
        self.parties: list[Party] = []
        self._redis: Redis[Any] = Redis.from_pool(redis_pool(ConnectionPool, settings.redis_url))
        self.sessions = RedisSessions(
            self._redis,
            self.store.name,
            self.tokens,
            clock,
            self.store.codec.cipher,
            _publish_nothing,
        )

    async def close(self) -> None:
        await asyncio.gather(*(party.disconnect() for party in self.parties))
        await self.web.close()
        await self._redis.aclose()
        if self._owns_store:
            self.store.close()

    # -- people ------------------------------------------------------------------------------

    async def customer(self, name: str = "Carla Customer", **options: Any) -> Party:
        return await self.join(Role.CUSTOMER, name, **options)

    async def contractor(
        self,
        name: str = "Colin Contractor",
        *,
        onboarded: bool = False,
        currencies: str = "",
        **options: Any,
    ) -> Party:
        """A new contractor. An `onboarded` one has a Stripe account that is ready for transfers and
        payouts, with bank accounts in `currencies` ("usd,jpy"; default: all configured). The server
        saw neither a command nor an event about it: `onboard` plays that part."""
        if onboarded:
            options |= await self._stripe_account(name, currencies)
        return await self.join(Role.CONTRACTOR, name, **options)

    async def _stripe_account(self, name: str, currencies: str) -> Json:
        """The fields of a user who has an account at Stripe."""
        id = new_id(User.PREFIX)
        created = await self.sandbox.onboarded_account(
            {
                "type": "express",
                "email": _email(id),
                "metadata": {"user_id": id},
                "capabilities": {
                    "card_payments": {"requested": True},
                    "transfers": {"requested": True},
                },
                "settings": {"payouts": {"schedule": {"interval": "manual"}}},
            },
            {"name": name, "bank_account": BANK_ACCOUNT},
            (currencies or ",".join(self.settings.currencies)).lower().split(","),
        )
        account = stripe_mapping.account(created)
        return {
            "id": id,
            "connect_id": account.id,
            "transfers_active": account.transfers_active,
            "payouts_enabled": account.payouts_enabled,
            "payout_currencies": account.currencies,
            "payout_agreement": account.agreement,
            "payouts_changed_at": self.store.single().now,
            "bank": account.bank,
        }

    async def admin(self, name: str = "Ada Admin", **options: Any) -> Party:
        return await self.join(Role.ADMIN, name, **options)

    def anonymous_client(self, url: str | None = None) -> AnonymousClient:
        return AnonymousClient(self.web, url or self.url)

    async def join(
        self,
        role: Role,
        name: str,
        *,
        url: str | None = None,
        connect: bool = True,
        reconnection: bool = False,
        id: str | None = None,
        **fields: Any,
    ) -> Party:
        """A new user, signed in and (unless `connect=False`) connected."""
        uow = self.store.single()
        id = id or new_id(User.PREFIX)
        user = User(
            id=id,
            created_at=uow.now,
            updated_at=uow.now,
            email=_email(id),
            name=name,
            search_keys=search_keys(name, _email(id)),
            role=role,
            password_hash=PASSWORD_HASH,
            **fields,
        )
        await uow.add(user)
        return await self._start_session(user, user.sessions_valid_from, url, connect, reconnection)

    async def sign_in(
        self,
        user: User,
        *,
        url: str | None = None,
        connect: bool = True,
        reconnection: bool = False,
    ) -> Party:
        """Another session (device) of a user."""
        now = await self.store.single().get(User, user.id)
        return await self._start_session(user, now.sessions_valid_from, url, connect, reconnection)

    async def _start_session(
        self, user: User, generation: int, url: str | None, connect: bool, reconnection: bool
    ) -> Party:
        tokens = await self.sessions.start(user.id, user.role, "127.0.0.1", generation=generation)
        party = Party(self.web, url or self.url, user, tokens)
        self.parties.append(party)
        if connect:
            await party.connect(reconnection=reconnection)
        return party

    async def onboard(self, contractor: Party, currencies: str = "") -> None:
        """Create the account, submit Stripe's page, and wait for Stripe's webhooks."""
        link = await contractor.call("/account", "onboard")
        currencies = currencies or ",".join(self.settings.currencies).lower()
        await self.sandbox.fill_in_onboarding(link["url"], contractor.name, currencies)
        await contractor.push(
            "/account",
            "account.updated",
            lambda user: user["transfers_active"] and user["payouts_enabled"],
        )

    # -- the story of a job ------------------------------------------------------------------

    async def job(self, customer: Party, **fields: Any) -> Json:
        return await customer.call(
            "/job",
            "create",
            {
                "title": "Paint the fence",
                "description": "Twelve metres of wooden fence, two coats.",
                "category": "painting",
                "skills": ["painting"],
                "budget_min_amount": 50_000,
                "budget_max_amount": 200_000,
                "currency": "USD",
                **fields,
            },
        )

    async def application(self, contractor: Party, job: Json, **fields: Any) -> Json:
        return await contractor.call(
            "/job-request",
            "apply",
            {
                "job_id": job["id"],
                "cover_letter": "I have painted a hundred fences.",
                "proposed_amount": 100_000,
                "timeline_days": 5,
                **fields,
            },
        )

    async def offer(
        self,
        customer: Party,
        contractor: Party,
        job: Json,
        amount: int = 100_000,
        payment_method: str | None = "pm_card_visa",
        **fields: Any,
    ) -> Json:
        """Create an offer. With a payment method, wait until its money is held."""
        answer = await customer.call(
            "/bidding",
            "create",
            {
                "job_id": job["id"],
                "contractor_id": contractor.id,
                "amount": amount,
                "currency": job["currency"],
                "description": "As discussed.",
                "timeline_days": 5,
                **({"payment_method": payment_method} if payment_method else {}),
                **fields,
            },
        )
        offer: Json = answer["offer"]
        if payment_method and offer["status"] == "awaiting_payment":
            return await contractor.push(
                "/bidding", "offer.created", lambda pushed: pushed["id"] == offer["id"]
            )
        return offer

    async def accept(self, contractor: Party, offer: Json) -> Json:
        """Accept, and wait until the money is captured."""
        await contractor.call("/bidding", "accept", {"offer_id": offer["id"]})
        return await contractor.push(
            "/bidding", "offer.accepted", lambda pushed: pushed["id"] == offer["id"], 10
        )

    async def start(self, contractor: Party, job: Json) -> Json:
        return await contractor.call("/job", "start", {"job_id": job["id"]})

    async def deliver(self, contractor: Party, job: Json, note: str = "All done.") -> Json:
        return await contractor.call("/job", "deliver", {"job_id": job["id"], "note": note})

    async def complete(self, customer: Party, job: Json) -> Json:
        """Complete the job. Returns the job and its split."""
        return await customer.call("/job", "complete", {"job_id": job["id"]})

    async def withdraw(
        self, contractor: Party, amount: int, currency: str | None = None, **options: Any
    ) -> Json:
        fields = {"amount": amount, **({"currency": currency} if currency else {})}
        return await contractor.call("/wallet", "withdraw", fields, **options)

    async def accepted_job(
        self,
        customer: Party | None = None,
        contractor: Party | None = None,
        *,
        amount: int = 100_000,
        onboarded: bool = True,
        **job_fields: Any,
    ) -> AcceptedJob:
        """From posting the job to the captured money."""
        customer = customer or await self.customer()
        contractor = contractor or await self.contractor(onboarded=onboarded)
        job = await self.job(customer, **job_fields)
        application = await self.application(contractor, job)
        offer = await self.offer(customer, contractor, job, amount)
        offer = await self.accept(contractor, offer)
        job = await customer.call("/job", "get", {"job_id": job["id"]})
        return AcceptedJob(customer, contractor, job, application, offer)

    # -- what has happened -------------------------------------------------------------------

    async def settled(self, seconds: float = SETTLE_SECONDS, *, ignoring: str = "") -> None:
        """Wait until the outbox is empty and all of Stripe's webhooks are delivered.

        Rows scheduled for later than 60 s do not count, nor do rows put back with the error
        `ignoring`.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        quiet = 0
        while quiet < 2:  # a finished task may cause a webhook, and a webhook a task
            uow = self.store.single()
            soon = {"$lte": datetime.fromtimestamp(uow.now.timestamp() + 60, uow.now.tzinfo)}
            rows = await uow.all(OutboxRow, {"dead": False, "lease_until": soon})
            rows = [row for row in rows if not ignoring or row.last_error != ignoring]
            news = [] if rows else await self.sandbox.pending()
            quiet = 0 if rows or news else quiet + 1
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"still under way after {seconds} s: {rows} {news}")
            await asyncio.sleep(0.02)

    async def traces(self) -> dict[str, Any]:
        """Everything stored, as {collection: {id: digest}}, and the writing requests to Stripe.

        Equal before and after a command exactly if the command left no trace: no row changed,
        no event in a feed, no task, no stored reply, nothing posted to Stripe. Waits first until
        earlier work is settled. Leases and lives of processes are not traces, nor is what is kept
        late: feed heads and last-seen times.
        """
        await self.settled()
        found: dict[str, Any] = {}
        for name, rows in (await self._everything_stored()).items():
            if name == OutboxRow.COLLECTION:
                rows = [{"_id": row["_id"], "body": row["body"]} for row in rows]
            if name in (AuditRow.COLLECTION, WaitingRow.COLLECTION):  # they are chained later
                name, rows = "trail", [{"_id": row["_id"], "detail": row["detail"]} for row in rows]
            if name == FeedHead.COLLECTION:
                heads = [row for row in rows if str(row["_id"]).startswith(FeedHead.PREFIX)]
                seen = [{"_id": row["_id"], "seen": row["seen"]} for row in heads if row["seen"]]
                rows = [row for row in rows if row not in heads] + seen
            found.setdefault(name, {}).update((str(row["_id"]), _digest(row)) for row in rows)
        found["stripe"] = [call for call in await self.sandbox.calls() if call[:4] != "GET "]
        return found

    async def _everything_stored(self) -> dict[str, list[Json]]:
        """The documents of all collections but NO_TRACES, read by one statement."""
        database = self.store.database
        names = set(await database.list_collection_names()) - NO_TRACES
        found: dict[str, list[Json]] = {name: [] for name in names}
        # In reverse order: rows move from `audit_waiting` to `audit`, and none may be missed.
        first, *others = sorted(names, reverse=True)
        stages = [
            *_labelled(first),
            *({"$unionWith": {"coll": name, "pipeline": _labelled(name)}} for name in others),
        ]
        async for document in database[first].aggregate(stages):
            found[document["of"]].append(document["row"])
        return found

    async def tasks(self, tag: str) -> list[OutboxRow]:
        """The outbox rows of one kind of task."""
        return [row for row in await self.rows(OutboxRow) if row.body["type"] == tag]

    async def rows(self, kind: type[Record], **where: Any) -> list[Any]:
        """Stored records, oldest first."""
        return await self.store.single().all(kind, where, (("_id", 1),))

    async def age_mails(self, time: timedelta) -> None:
        """Make the tokens of all mails older."""
        uow = self.store.single()
        for row in await self.rows(MailedToken):
            created_at, expires_at = row.created_at - time, row.expires_at - time
            await uow.change(MailedToken, row.id, created_at=created_at, expires_at=expires_at)

    async def trail(self, **where: Any) -> list[Any]:
        """The rows of the audit trail, oldest first, chained or not."""
        waiting = await self.rows(WaitingRow, **where)
        rows = {row.id: row for row in [*waiting, *await self.rows(AuditRow, **where)]}
        return [rows[id] for id in sorted(rows)]


def _labelled(collection: str) -> list[Json]:
    return [{"$project": {"_id": 0, "of": {"$literal": collection}, "row": "$$ROOT"}}]


def _email(id: str) -> str:
    return f"{id}@people.test"


def _digest(row: Json) -> str:
    return hashlib.sha256(bson.encode(row)).hexdigest()[:16]


async def _publish_nothing(event: SessionEvent) -> None:
    """New sessions have no sockets on any process."""
