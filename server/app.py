"""The composition root: builds every part from the settings, starts and stops them in order."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from redis.asyncio import BlockingConnectionPool, Redis

from domain import feed, narrating, notices, presence
from domain.errors import RateLimited
from domain.model import RECORDS, TASKS
from domain.money import Schedule
from domain.monitor import overview_of
from domain.operation import Actor, Meta, Operation
from domain.outbox import Delivery, Event
from domain.people import Memberships
from domain.ports import Ports, Rates
from domain.record import wire
from domain.store import Store, UnitOfWork
from handlers import NAMESPACES, files, webhooks
from handlers.expose import answer, refusal
from handlers.statements import DOWNLOADS, Download
from server.blobs import blobs
from server.clock import SystemClock
from server.config import Settings
from server.control import Control
from server.ending import end
from server.examiner import Examiner
from server.fanout import Fanout
from server.http import MAX_BODY, Wire
from server.limits import Limits
from server.mail import mailer
from server.passwords import Argon2Passwords
from server.posts import Posts
from server.presence import Presence
from server.proxies import client_address
from server.realtime.packets import envelope, event
from server.realtime.server import Realtime, user_room
from server.relay import Relay
from server.scheduler import Scheduler
from server.seals import HmacSeal
from server.stripe_gateway import StripeGateway, StripeWebhooks
from server.tokens import AccessTokens, Gatekeeper, RedisSessions

log = structlog.get_logger()

STATIC = Path(__file__).resolve().parent.parent / "static"
HEAD_SECONDS = 30
STATS_SECONDS = 1
REDIS_CONNECTIONS = 50
REDIS_PATIENCE = 20  # seconds that one waits for a connection
OF_ONE = ("job:", "user:")  # rooms that are told what others are told otherwise, or not at all
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; "
    "style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


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
        self.store.follow = _follow
        # Whoever finds all connections in use waits for one: that Redis is busy must not look as
        # if it were away, because then sessions are believed without being looked up.
        self.redis: Redis[Any] = Redis.from_pool(
            BlockingConnectionPool.from_url(
                settings.redis_url, max_connections=REDIS_CONNECTIONS, timeout=REDIS_PATIENCE,
                socket_timeout=5, socket_connect_timeout=2,
            )
        )  # fmt: skip
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
            store=self.store, clock=clock, sessions=self.sessions, gateway=self.gateway,
            webhooks=StripeWebhooks(settings.stripe_webhook_secrets, settings.live, clock),
            passwords=Argon2Passwords(), waiter=self.relay, gauges=self, live=self,
            presence=self.presence, members=Memberships(self.store), posts=self.posts, seal=seal,
            mail=mailer(settings, clock),
            blobs=blobs(settings, self.store), examiner=Examiner(), tickets=self.tokens,
            public_url=settings.public_url,
        )  # fmt: skip
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
        told = await self.redis.hgetall(f"{self.store.name}:sockets")
        fresh = time.time() - 3 * STATS_SECONDS
        numbers = [raw.decode().split("@") for raw in told.values()]
        return sum(int(number) for number, at in numbers if float(at) > fresh)

    async def _moved(self, counts: Mapping[str, int]) -> None:
        await presence.moved(self.ports, counts)

    def tell(self, event: Event, data: Any, *, room: str) -> None:
        """Push what nobody has to hear."""
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
        # What is said in a chat stays between its members.
        if delivery.seq is None and not (delivery.room or "").startswith(OF_ONE):
            activity = {"namespace": space, "name": name, "data": data}
            self._say("live", "/admin", "activity", envelope(None, at, activity))


class Web(Core):
    """A process with sockets and HTTP."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        gatekeeper = Gatekeeper(self.tokens, self.sessions)
        address = partial(client_address, trusted=settings.trusted_proxies)
        self.limits = Limits(
            self.redis, self.store.name, settings.commands_per_second, settings.sign_ins_per_minute
        )
        self.realtime = Realtime(
            commands={
                (namespace.name, exposed.event): exposed.operation
                for namespace in NAMESPACES
                for exposed in namespace.exposed
                if exposed.event
            },
            answer=self._answer, refuse=refusal, gatekeeper=gatekeeper, address=address,
            origins=list(settings.cors_origins), limits=self.limits, fanout=self.fanout,
            presence=self.presence, fast=settings.realtime == "fast",
        )  # fmt: skip
        self.control.receive = self.realtime.follow
        self.wire = Wire(self._answer, refusal, gatekeeper, address)
        self._loops: list[asyncio.Task[None]] = []

    async def _answer(self, op: Operation, fields: Any, actor: Actor | None, meta: Meta) -> Any:
        try:
            await self.limits.check(op, fields, actor, meta)
        except RateLimited as refused:
            return refusal(refused)
        return await answer(op, fields, actor, meta, self.ports)

    async def _keep(self, receive: Any, actor: Actor, meta: Meta) -> Any:
        try:
            await self.limits.check(files.UPLOAD, None, actor, meta)
        except RateLimited as refused:
            return refusal(refused)
        return await files.keep(partial(receive, actor.id), actor, meta, self.ports)

    async def _open(
        self, file: Download | files.Reading, fields: Any, actor: Actor, meta: Meta
    ) -> Any:
        try:
            await self.limits.check(file.operation, fields, actor, meta)
        except RateLimited as refused:
            return refusal(refused)
        return await file.open(fields, actor, meta, self.ports)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self.wire.problems])
        self.realtime.attach(app)
        app.add_routes(
            self.wire.route(exposed.route.method, exposed.route.path, exposed.operation)
            for namespace in NAMESPACES
            for exposed in namespace.exposed
            if exposed.route and not exposed.streamed
        )
        app.add_routes(
            self.wire.download(file.path, file.operation, partial(self._open, file))
            for file in (*DOWNLOADS, files.READING)
        )
        app.add_routes([self.wire.upload("/api/files", files.UPLOAD, self._keep)])
        app.add_routes([web.get("/livez", _alive), web.get("/readyz", self._ready)])
        app.add_routes(webhooks.routes)
        app[webhooks.PORTS] = self.ports
        _serve_pages(app)
        app.cleanup_ctx.append(self._running)
        app.on_shutdown.append(self._release)
        return app

    async def drain(self) -> None:
        """Be taken out of the traffic, then let the clients go, spread over the time."""
        await self.realtime.eio.drain(self.settings.drain_seconds)

    async def _release(self, app: web.Application) -> None:
        await self.realtime.eio.drain(0)

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        self.realtime.start()
        await self.start(listening=True)
        self.presence.start()
        self._loops = [
            asyncio.create_task(self._push_heads()), asyncio.create_task(self._push_stats())
        ]  # fmt: skip
        yield
        await end(self._loops)
        await self.realtime.stop()
        await self.presence.stop()
        await self.stop()

    async def _push_heads(self) -> None:
        """So that a client learns of a push it missed although nothing else happens to it."""
        while True:
            await asyncio.sleep(HEAD_SECONDS)
            users = list(self.realtime.users())
            with contextlib.suppress(Exception):
                await self._push_heads_to(users)

    async def _push_heads_to(self, users: Sequence[str]) -> None:
        uow = self.store.single()
        for user, marks in (await feed.heads(uow, users)).items():
            self.realtime.push(user_room(user), "/account", "head", wire(marks))

    async def _push_stats(self) -> None:
        """To the admins who listen on this process; computed only when there are any."""
        key = f"{self.store.name}:sockets"
        while True:
            await asyncio.sleep(STATS_SECONDS)
            try:
                told = f"{self.realtime.connections}@{time.time()}"
                await self.redis.hset(key, self.store.worker, told)
                if self.realtime.rooms.members("live"):
                    stats = await overview_of(self.store.single(), await self.sockets())
                    self.realtime.push("live", "/admin", "stats", wire(stats))
            except Exception:
                log.warning("stats not pushed", exc_info=True)

    async def _ready(self, request: web.Request) -> web.Response:
        """200 while a load balancer should send traffic here.

        Not while this process ends, without the database, or when it does not hear what it says
        to itself: then its clients would miss what others say. Without Redis at all no process is
        better than another, and money goes on.
        """
        ready = not self.realtime.eio.draining
        with contextlib.suppress(Exception):
            redis = await self.sessions.reachable()
            ready = ready and not (redis and await self.fanout.deaf())
            await self.store.ping()
            return web.json_response({"ready": ready, "redis": redis}, status=200 if ready else 503)
        return web.json_response({"ready": False}, status=503)


def _serve_pages(app: web.Application) -> None:
    """The web client at `/`, the live monitor at `/admin`; modules, without a build step."""

    def page(name: str) -> web.RouteDef:
        async def show(request: web.Request) -> web.FileResponse:
            return web.FileResponse(STATIC / name, headers=PAGE_HEADERS)

        return web.get("/" if name == "index.html" else "/admin", show)

    async def guard_files(request: web.Request, response: web.StreamResponse) -> None:
        """Modules of two versions never mix: the browser asks whether each has changed."""
        if request.path.startswith("/static/"):
            response.headers.update(PAGE_HEADERS)

    if STATIC.is_dir():
        app.add_routes([page("index.html"), page("admin.html"), web.static("/static", STATIC)])
        app.on_response_prepare.append(guard_files)


def _follow(uow: UnitOfWork) -> None:
    notices.follow(uow)
    narrating.follow(uow)


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"alive": True})
