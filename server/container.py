"""What every process has: stores, ports of the domain, relay, scheduler and message writer, built
from the settings, started and stopped in order. A worker process has only this."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, Redis

from domain.accounts.step_up import StepUpCheck
from domain.accounts.user import User
from domain.admin.activity import ACTIVITY, Activity
from domain.bidding import system_messages
from domain.chat.members import ConversationMembers
from domain.chat.typing_indicator import TypingTimers
from domain.jobs.job import Job as JobRecord
from domain.kernel.money import Schedule
from domain.kernel.outbox import Delivery, Event
from domain.kernel.process_figures import ProcessFigures
from domain.kernel.record import Change, wire
from domain.kernel.rooms import LIVE_MONITOR, gets_copies, user_room
from domain.kernel.settings import Clock, Demands, Rates
from domain.kernel.store import Store, UnitOfWork
from domain.notifications import notices
from domain.operations.own_deeds import queue_own_deeds
from domain.ports.job_index import JobIndex
from domain.ports.messaging import ReachChange
from domain.ports.ports import Ports, Seal
from domain.presence import presence
from domain.privacy import name_copies
from domain.registry import RECORDS, TASKS
from server.adapters.argon2_passwords import Argon2Passwords
from server.adapters.blob_storage import blobs
from server.adapters.field_cipher import field_codec
from server.adapters.file_inspector import FileInspector
from server.adapters.hmac_seal import HmacSeal
from server.adapters.job_index.absent import NoJobIndex
from server.adapters.jwt_tokens import AccessTokens
from server.adapters.mailed_secrets import HmacMailedSecrets
from server.adapters.redis_presence import Presence
from server.adapters.redis_sessions import RedisSessions
from server.adapters.smtp import mailer
from server.adapters.stripe_gateway import StripeGateway
from server.adapters.stripe_webhooks import StripeWebhooks
from server.adapters.system_clock import SystemClock
from server.adapters.totp import TotpCodes
from server.adapters.webauthn import PyWebAuthn
from server.config import Settings
from server.demo_accounts import DEMO_EMAILS
from server.pubsub.broadcasts import Broadcasts
from server.pubsub.fanout import Fanout
from server.pubsub.job_changes import JobChanges
from server.pubsub.redis_connections import redis_pool
from server.realtime.packets import Routing, envelope, event, routed
from server.runtime.figures import Figures
from server.workers.access_alerts import AccessAlerts
from server.workers.activity_writer import ActivityWriter
from server.workers.message_writer import MessageWriter
from server.workers.outbox_relay import Relay
from server.workers.scheduler import Job, Scheduler

PLATFORM = "JobSphere"  # as authenticator apps and passkeys show it
STATS_SECONDS = 1
STOP_SECONDS = 3.0  # for work in hand; other processes finish what is left
REDIS_CONNECTIONS = 50
REDIS_WAIT_SECONDS = 20  # for a free connection


log = structlog.get_logger()


class CannotServe(Exception):
    """This process must not or cannot run; the message says what to do."""


class Container:
    """What every process has: stores, ports and background workers."""

    KIND = "worker"

    def __init__(
        self, settings: Settings, clock: Clock | None = None, jobs: Sequence[Job] | None = None
    ) -> None:
        """`clock` and the periodic `jobs` are others than the usual ones while a history is made
        (`server seed`)."""
        clock = clock or SystemClock()
        self.settings = settings
        self.figures = Figures(self.KIND, clock.now)
        self.store = Store(settings.mongo_url, clock, _rates(settings), field_codec(settings))
        self.store.delivers = False  # while its relay does not run
        self.store.on_damaged = _log_damaged
        self.redis = _redis(settings.redis_url)
        self.fanout = Fanout(settings.redis_urls, self.store.name)
        self.broadcasts = Broadcasts(self.fanout, self.store.names)
        self.job_changes = JobChanges(self.fanout)
        self.store.changed = self._on_changes
        self.tokens = AccessTokens(settings.jwt_keys, clock)
        self.sessions = RedisSessions(
            self.redis,
            self.store.name,
            self.tokens,
            clock,
            self.store.codec.cipher,
            self.broadcasts.session_event,
        )
        self.access_alerts = AccessAlerts(self.store)
        self.gateway = self._stripe_gateway()
        self.relay = Relay(TASKS, self._push)
        self.activity_writer = ActivityWriter(self.store, self._push_activity)
        self.relay.figures = self.process_figures
        seal = HmacSeal(settings.audit_keys)
        self.store.before_commit = partial(_follow, seal=seal)
        demands = Demands(second_factor=settings.require_second_factor)
        self.message_writer = MessageWriter(self.store, seal, self._push)
        self.presence = Presence(
            self.redis, self.store.name, self.store.worker, self._presence_changed
        )
        self.members = ConversationMembers(self.store)
        self.typing = TypingTimers(self)
        self.broadcasts.on_reach = self._reach_changed
        self.ports = Ports(
            store=self.store,
            clock=clock,
            sessions=self.sessions,
            gateway=self.gateway,
            webhooks=StripeWebhooks(settings.stripe_webhook_secrets, settings.live, SystemClock()),
            passwords=Argon2Passwords(),
            waiter=self.relay,
            gauges=self,
            live=self,
            presence=self.presence,
            members=self.members,
            typing=self.typing,
            messages=self.message_writer,
            job_index=self._job_index(),
            seal=seal,
            mail=mailer(settings, clock),
            mailed_secrets=HmacMailedSecrets(settings.jwt_keys),
            blobs=blobs(settings, self.store),
            examiner=FileInspector(),
            tickets=self.tokens,
            challenges=self.tokens,
            totp=TotpCodes(PLATFORM),
            webauthn=PyWebAuthn(PLATFORM, settings.public_url, settings.cors_origins),
            step_up=StepUpCheck(self.store, self.sessions, clock, demands),
            demands=demands,
            devices=self.tokens,
            public_url=settings.public_url,
        )
        self.scheduler = Scheduler(self.ports, jobs)

    def _job_index(self) -> JobIndex:
        """Web processes have one."""
        return NoJobIndex()

    def _on_changes(self, changes: Sequence[Change]) -> None:
        ids = dict.fromkeys(str(each.after["_id"]) for each in changes if each.kind is JobRecord)
        if ids:
            self._on_changed_jobs(tuple(ids))
        for renamed in name_copies.renamed_users(changes):
            self.broadcasts.renamed(renamed)

    def _on_changed_jobs(self, ids: Sequence[str]) -> None:
        self.job_changes.announce(ids)

    def _stripe_gateway(self) -> StripeGateway:
        return StripeGateway(
            self.settings.stripe_secret_key,
            self.settings.stripe_api_base,
            self.settings.public_url,
            self.settings.payment_methods,
            self.figures.note_stripe_call,
            self.access_alerts.note,
            accounts=self.settings.stripe_accounts,
        )

    async def start(self, *, listening: bool = False) -> None:
        if not (self.settings.require_second_factor or self.settings.demo):
            log.warning("REQUIRE_SECOND_FACTOR is off: a password alone signs administrators in")
        if not (self.settings.require_verification or self.settings.demo):
            log.warning("REQUIRE_VERIFICATION is off: anybody can use a foreign e-mail address")
        if open_ways := self.settings.unencrypted:
            log.warning("not encrypted on the way to another machine", variables=open_ways)
        await self.store.prepare(RECORDS)
        await self.fanout.start(listening=listening)
        self.message_writer.start()
        self.activity_writer.start()
        self.relay.start(self.ports)
        self.scheduler.start()

    async def stop(self) -> None:
        await self.scheduler.stop()
        await self.relay.stop(STOP_SECONDS)
        await self.access_alerts.stop()
        await self.activity_writer.stop(STOP_SECONDS)
        await self.message_writer.stop(STOP_SECONDS)
        self.typing.end_all()
        await self.fanout.stop()
        await self.close()

    async def close(self) -> None:
        """Close the connections; enough for a container that was never started."""
        await self.gateway.close()
        await self.redis.aclose()
        self.store.close()

    def process_figures(self, **state: Any) -> ProcessFigures:
        """How this process is, for its heartbeat."""
        self.figures.messages = self.message_writer.stored
        return self.figures.told(
            in_hand=self.relay.in_hand, queued_pushes=self.relay.queued_pushes, **state
        )

    async def sockets(self) -> int:
        """Connected clients of all processes; each process stores its number every second."""
        stored: Any = await self.redis.hgetall(f"{self.store.name}:sockets")
        fresh = time.time() - 3 * STATS_SECONDS
        numbers = [raw.decode().split("@") for raw in stored.values()]
        return sum(int(number) for number, at in numbers if float(at) > fresh)

    async def _presence_changed(self, counts: Mapping[str, int]) -> None:
        await presence.push_counts(self.ports, counts)

    def push(self, event: Event, data: Any, *, room: str) -> None:
        """Push an ephemeral event, which is not stored, to the connections in a room."""
        self._send(room, event.namespace, event.name, envelope(None, datetime.now(UTC), wire(data)))

    def announce_reach(self, change: ReachChange) -> None:
        self.broadcasts.reach_change(change)

    def _reach_changed(self, change: ReachChange) -> None:
        """Two users may reach each other from now on, or no longer: here or on another process."""
        self.members.forget(change.conversation_ids)

    def _send(self, room: str, namespace: str, name: str, message: Any) -> None:
        self.fanout.send(room, event(namespace, name, message))

    async def _push(
        self, delivery: Delivery, at: datetime, seqs: dict[str, int], row_id: str = ""
    ) -> None:
        """Push to every user, on all processes, with the user's own number."""
        space, name, data = delivery.namespace, delivery.name, delivery.data
        self.figures.deliveries += len(delivery.to) + (delivery.room is not None)
        for user in delivery.to:
            message = envelope(seqs.get(user, delivery.seq), at, data)
            self._send(user_room(user), space, name, message)
        if delivery.room:
            packet = event(space, name, envelope(None, at, data))
            if delivery.without or delivery.ends:
                packet = routed(packet, Routing(delivery.without, delivery.ends))
            self.fanout.send(delivery.room, packet)
        # Chat stays private, and an event is shown once.
        if delivery.seq is None and not gets_copies(delivery.room or ""):
            self.activity_writer.add(row_id, at, delivery)

    def _push_activity(self, item: Activity) -> None:
        message = envelope(None, item.at, wire(item))
        self._send(LIVE_MONITOR, ACTIVITY.namespace, ACTIVITY.name, message)


async def refuse_demo_accounts(store: Store) -> None:
    """Their password is public. Raises CannotServe."""
    if await store.single().find(User, {"email": DEMO_EMAILS}):
        raise CannotServe(
            "This database has demo accounts, whose password is public. Use another database "
            "(MONGO_URL), or delete the users whose e-mail ends with @demo.test."
        )


def _redis(url: str) -> Redis:
    """A caller waits for a free connection: a busy Redis must not look like an absent one, because
    without Redis sessions are accepted without a look-up."""
    return Redis.from_pool(
        redis_pool(
            BlockingConnectionPool,
            url,
            max_connections=REDIS_CONNECTIONS,
            timeout=REDIS_WAIT_SECONDS,
            socket_timeout=5,
        )
    )


def _rates(settings: Settings) -> Rates:
    return Rates(
        Schedule(settings.platform_fee_bps, settings.service_fee_bps),
        settings.currencies,
        settings.auto_complete_days,
        settings.require_verification,
        settings.admin_approval_amount,
        settings.card_attempts,
        settings.platform_country,
        settings.payment_methods,
        caused_refunds=settings.caused_refunds,
        minimum_withdrawal=settings.minimum_withdrawal,
        cross_border=settings.cross_border_payouts,
        exchange=dict(settings.exchange_rates),
    )


async def _follow(uow: UnitOfWork, seal: Seal) -> None:
    await uow.add_all(queue_own_deeds(uow, seal))
    notices.queue_notifications(uow)
    system_messages.queue_system_messages(uow)
    presence.queue_presence(uow)
    name_copies.queue_name_copies(uow)


def _log_damaged(collection: str, ids: Sequence[str]) -> None:
    log.error("damaged records are left out of a list", collection=collection, ids=list(ids))
