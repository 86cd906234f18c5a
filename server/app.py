"""The composition root: builds every part from the settings, starts them and stops them in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import socketio
import structlog
from aiohttp import web
from redis.asyncio import Redis

from domain import feed
from domain.model import RECORDS, TASKS
from domain.money import Schedule
from domain.operation import Actor, Meta, Operation
from domain.outbox import Delivery
from domain.ports import Ports, Rates
from domain.store import Store
from handlers import NAMESPACES
from handlers.expose import answer, refusal
from server.clock import SystemClock
from server.config import Settings
from server.control import Control
from server.http import MAX_BODY, Wire
from server.passwords import Argon2Passwords
from server.realtime import Realtime, envelope, user_room
from server.relay import Relay
from server.stripe_gateway import StripeGateway
from server.tokens import AccessTokens, Gatekeeper, RedisSessions

log = structlog.get_logger()

STATIC = Path(__file__).resolve().parent.parent / "static"
HEAD_SECONDS = 30


class Core:
    """What every process type shares: stores, ports and the relay."""

    def __init__(self, settings: Settings) -> None:
        clock = SystemClock()
        self.settings = settings
        self.store = Store(settings.mongo_url, clock)
        self.redis: Redis[Any] = Redis.from_url(
            settings.redis_url, socket_timeout=5, socket_connect_timeout=2
        )
        self.listening: Redis[Any] = Redis.from_url(settings.redis_url, socket_timeout=None)
        self.control = Control(self.listening, self.store.name)
        self.tokens = AccessTokens(settings.jwt_keys, clock)
        self.sessions = RedisSessions(
            self.redis, self.store.name, self.tokens, clock, self.control.announce
        )
        self.gateway = StripeGateway(
            settings.stripe_secret_key, settings.stripe_api_base, settings.public_url
        )
        self.relay = Relay(TASKS, self._push)
        self.ports = Ports(
            store=self.store, clock=clock, sessions=self.sessions, gateway=self.gateway,
            passwords=Argon2Passwords(), waiter=self.relay, gauges=self,
            rates=Rates(
                Schedule(settings.platform_fee_bps, settings.service_fee_bps), settings.currencies
            ),
            public_url=settings.public_url,
        )  # fmt: skip
        self.manager: Any = self._redis_manager(write_only=True)

    def _redis_manager(self, write_only: bool) -> socketio.AsyncRedisManager:
        return socketio.AsyncRedisManager(
            self.settings.redis_url, channel=f"{self.store.name}:socketio", write_only=write_only,
            redis_options={"socket_timeout": None},
        )  # fmt: skip

    async def start(self) -> None:
        await self.store.prepare(RECORDS)
        self.control.start()
        self.relay.start(self.ports)

    async def stop(self) -> None:
        await self.relay.stop()
        await self.control.stop()
        await self.gateway.close()
        await self.redis.aclose()
        await self.listening.aclose()
        self.store.close()

    async def sockets(self) -> int:
        return 0

    async def _push(self, delivery: Delivery, at: datetime, seqs: dict[str, int]) -> None:
        """To every user the copy with the user's own number, on whatever process they are."""
        for user in delivery.to:
            message = envelope(seqs.get(user, delivery.seq), at, delivery.data)
            await self.manager.emit(
                delivery.name, message, namespace=delivery.namespace, room=user_room(user)
            )
        if delivery.room:
            await self.manager.emit(
                delivery.name, envelope(None, at, delivery.data), namespace=delivery.namespace,
                room=delivery.room,
            )  # fmt: skip


class Web(Core):
    """A process with sockets and HTTP."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        gatekeeper = Gatekeeper(self.tokens, self.sessions)
        self.manager = self._redis_manager(write_only=False)
        self.realtime = Realtime(
            commands={
                (namespace.name, exposed.event): exposed.operation
                for namespace in NAMESPACES
                for exposed in namespace.exposed
                if exposed.event
            },
            answer=self._answer, refuse=refusal, gatekeeper=gatekeeper,
            origins=list(settings.cors_origins), manager=self.manager,
        )  # fmt: skip
        self.control.receive = self.realtime.follow
        self.wire = Wire(self._answer, refusal, gatekeeper)
        self._loops: list[asyncio.Task[None]] = []

    async def _answer(self, op: Operation, fields: Any, actor: Actor | None, meta: Meta) -> Any:
        return await answer(op, fields, actor, meta, self.ports)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self.wire.problems])
        self.realtime.attach(app)
        app.add_routes(
            self.wire.route(exposed.route.method, exposed.route.path, exposed.operation)
            for namespace in NAMESPACES
            for exposed in namespace.exposed
            if exposed.route
        )
        app.add_routes([web.get("/livez", _alive), web.get("/readyz", self._ready)])
        app.cleanup_ctx.append(self._running)
        return app

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        await self.start()
        self._loops = [asyncio.create_task(self._push_heads())]
        yield
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.realtime.shutdown()
        await self.stop()

    async def sockets(self) -> int:
        return self.realtime.connections

    async def _push_heads(self) -> None:
        """So that a client learns of a push it missed although nothing else happens to it."""
        while True:
            await asyncio.sleep(HEAD_SECONDS)
            users = list(self.realtime.users())
            with contextlib.suppress(Exception):
                await self._push_heads_to(users)

    async def _push_heads_to(self, users: Sequence[str]) -> None:
        uow = self.store.single()
        for user, head in (await feed.heads(uow, users)).items():
            await self.manager.emit(
                "head", envelope(None, uow.now, {"head": head}), namespace="/account",
                room=user_room(user), ignore_queue=True,
            )  # fmt: skip

    async def _ready(self, request: web.Request) -> web.Response:
        """200 when the stores answer; a load balancer sends traffic only then."""
        try:
            await self.store.ping()
            await self.redis.ping()
        except Exception:
            return web.json_response({"ready": False}, status=503)
        return web.json_response({"ready": True})


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"alive": True})
