"""What every process type has: the stores, the ports of the domain and the relay, built from the
settings, started and stopped in their order. A worker is this alone."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis

from domain.accounts.user import User
from domain.bidding import system_messages
from domain.chat.members import Memberships
from domain.kernel.money import Schedule
from domain.kernel.outbox import Delivery, Event
from domain.kernel.record import wire
from domain.kernel.rooms import LIVE_MONITOR, is_of_user_or_job, user_room
from domain.kernel.settings import Rates
from domain.kernel.store import Store, UnitOfWork
from domain.notifications import notices
from domain.ports.ports import Ports
from domain.presence import presence
from domain.registry import RECORDS, TASKS
from server.adapters.argon2_passwords import Argon2Passwords
from server.adapters.blob_storage import blobs
from server.adapters.file_inspector import Examiner
from server.adapters.hmac_seal import HmacSeal
from server.adapters.jwt_tokens import AccessTokens
from server.adapters.redis_presence import Presence
from server.adapters.redis_sessions import RedisSessions
from server.adapters.smtp import mailer
from server.adapters.stripe_gateway import StripeGateway, StripeWebhooks
from server.adapters.system_clock import SystemClock
from server.config import Settings
from server.demo_accounts import DEMO_EMAILS
from server.pubsub.fanout import Fanout
from server.pubsub.redis_connections import redis_pool
from server.pubsub.session_events import Control
from server.realtime.packets import envelope, event
from server.workers.message_writer import Posts
from server.workers.outbox_relay import Relay
from server.workers.scheduler import Scheduler

STATS_SECONDS = 1
REDIS_CONNECTIONS = 50
REDIS_PATIENCE = 20  # seconds that one waits for a connection


class CannotServe(Exception):
    """This process must not or cannot run; the message says what to do."""


class Core:
    """What every process type shares: stores, ports and the relay."""

    def __init__(self, settings: Settings) -> None:
        clock = SystemClock()
        self.settings = settings
        rates = Rates(
            Schedule(settings.platform_fee_bps, settings.service_fee_bps),
            settings.currencies,
            settings.auto_complete_days,
        )
        self.store = Store(settings.mongo_url, clock, rates)
        self.store.before_commit = _follow
        # Whoever finds all connections in use waits for one: that Redis is busy must not look as
        # if it were away, because then sessions are believed without being looked up.
        self.redis = Redis.from_pool(
            redis_pool(
                BlockingConnectionPool,
                settings.redis_url,
                max_connections=REDIS_CONNECTIONS,
                timeout=REDIS_PATIENCE,
                socket_timeout=5,
            )
        )
        self.fanout = Fanout(settings.redis_urls, self.store.name)
        self.control = Control(self.fanout)
        self.tokens = AccessTokens(settings.jwt_keys, clock)
        self.sessions = RedisSessions(
            self.redis, self.store.name, self.tokens, clock, self.control.announce
        )
        self.gateway = StripeGateway(
            settings.stripe_secret_key, settings.stripe_api_base, settings.public_url
        )
        self.relay = Relay(TASKS, self._push)
        seal = HmacSeal(settings.audit_keys)
        self.posts = Posts(self.store, seal, self._push)
        self.presence = Presence(self.redis, self.store.name, self.store.worker, self._moved)
        self.ports = Ports(
            store=self.store,
            clock=clock,
            sessions=self.sessions,
            gateway=self.gateway,
            webhooks=StripeWebhooks(settings.stripe_webhook_secrets, settings.live, clock),
            passwords=Argon2Passwords(),
            waiter=self.relay,
            gauges=self,
            live=self,
            presence=self.presence,
            members=Memberships(self.store),
            messages=self.posts,
            seal=seal,
            mail=mailer(settings, clock),
            blobs=blobs(settings, self.store),
            examiner=Examiner(),
            tickets=self.tokens,
            public_url=settings.public_url,
        )
        self.scheduler = Scheduler(self.ports)

    async def start(self, *, listening: bool = False) -> None:
        await self.store.prepare(RECORDS)
        await self.fanout.start(listening=listening)
        self.posts.start()
        self.relay.start(self.ports)
        self.scheduler.start()

    async def stop(self) -> None:
        await self.scheduler.stop()
        await self.relay.stop()
        await self.posts.stop()
        await self.fanout.stop()
        await self.close()

    async def close(self) -> None:
        """Let go of the connections; enough for a core that was never started."""
        await self.gateway.close()
        await self.redis.aclose()
        self.store.close()

    async def sockets(self) -> int:
        """Connected clients of all processes; each tells its own number every second."""
        told: Any = await self.redis.hgetall(f"{self.store.name}:sockets")
        fresh = time.time() - 3 * STATS_SECONDS
        numbers = [raw.decode().split("@") for raw in told.values()]
        return sum(int(number) for number, at in numbers if float(at) > fresh)

    async def _moved(self, counts: Mapping[str, int]) -> None:
        await presence.moved(self.ports, counts)

    def push(self, event: Event, data: Any, *, room: str) -> None:
        """Push an ephemeral event, which is not stored, to the connections in a room."""
        self._say(room, event.namespace, event.name, envelope(None, datetime.now(UTC), wire(data)))

    def _say(self, room: str, namespace: str, name: str, message: Any) -> None:
        self.fanout.send(room, event(namespace, name, message))

    async def _push(self, delivery: Delivery, at: datetime, seqs: dict[str, int]) -> None:
        """To every user the copy with the user's own number, on whatever process they are."""
        space, name, data = delivery.namespace, delivery.name, delivery.data
        for user in delivery.to:
            message = envelope(seqs.get(user, delivery.seq), at, data)
            self._say(user_room(user), space, name, message)
        if delivery.room:
            self._say(delivery.room, space, name, envelope(None, at, data))
        # Chat stays private. Rooms of one user or job get copies of events that others also get.
        if delivery.seq is None and not is_of_user_or_job(delivery.room or ""):
            activity = {"namespace": space, "name": name, "data": data}
            self._say(LIVE_MONITOR, "/admin", "activity", envelope(None, at, activity))


async def refuse_demo_accounts(store: Store) -> None:
    """Everybody knows their password. Raises CannotServe."""
    if await store.single().find(User, {"email": DEMO_EMAILS}):
        raise CannotServe(
            "This database has demo accounts, whose password is public. Use another database "
            "(MONGO_URL), or delete the users whose e-mail ends with @demo.test."
        )


def _follow(uow: UnitOfWork) -> None:
    notices.queue_notifications(uow)
    system_messages.queue_system_messages(uow)
    presence.follow(uow)
