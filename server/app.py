"""The composition root of a web process: handlers, sockets, HTTP routes, pages, health checks."""

import asyncio
import contextlib
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from domain.accounts.devices import account_of
from domain.kernel.actor import Actor
from domain.kernel.errors import Code, RateLimited, Unauthenticated, Unavailable
from domain.kernel.mongo_client import command_limit
from domain.kernel.process_figures import ProcessFigures
from domain.kernel.record import wire
from domain.kernel.rooms import LIVE_MONITOR, user_room
from domain.kernel.settings import Clock
from domain.kernel.store import UNREACHABLE
from domain.monitor.dashboard import STATS, overview_of
from domain.notifications.feed import HEAD, heads
from domain.operations.command import Meta, Style
from domain.operations.operation import Operation
from domain.ports.messaging import ReachChange
from domain.ports.ports import Ports
from domain.ports.sessions import SessionEvent
from handlers import NAMESPACES, files, webhooks
from handlers.clients import made_files
from handlers.documents.asyncapi import asyncapi
from handlers.documents.openapi import openapi
from handlers.expose import Answer, answer, refusal
from handlers.meta import meta, operations
from handlers.statements import DOWNLOADS
from server.adapters.dev_mailbox import DevMailbox
from server.adapters.job_index.index import TantivyJobIndex
from server.admission import Admission, Capacity, follow_requests
from server.authentication import ENDED, Authenticator
from server.config import Settings
from server.container import STATS_SECONDS, CannotServe, Container, refuse_demo_accounts
from server.cross_origin import CrossOrigin
from server.disk_space import DiskSpace
from server.http.cached_read import cached_read
from server.http.client_address import client_address
from server.http.dev_mails import mails_route
from server.http.headers import page_policy, security_headers, security_txt
from server.http.pages import page_routes
from server.http.protocol import HttpRunner
from server.http.routes import MAX_BODY, HttpApi
from server.meta import server_meta
from server.operation_calls import RunOperation
from server.rate_limits import RateLimits, RateTable
from server.readiness import Readiness, Trouble
from server.realtime.frame_budget import FrameBudget
from server.realtime.presence_rooms import PresenceRooms
from server.realtime.server import Realtime
from server.refusal_log import RefusalLog
from server.revocations import Revocations
from server.runtime.background_tasks import end
from server.runtime.descriptors import for_connections, raise_limit
from server.workers.scheduler import Job

log = structlog.get_logger()

STATIC = Path(__file__).resolve().parent.parent / "static"
HEAD_SECONDS = 30
HTTP_SECONDS = 0.5  # at least, that requests over HTTP get to end after the draining
SILENT_SECONDS = 15.0  # without a heartbeat in the database, which is due every 4 s
REDIS_SECONDS = 0.7  # until it counts as away; asked twice within a probe
REVOCATION_SECONDS = 1
READINESS_SECONDS = 5


class Web(Container):
    """A process with sockets and HTTP."""

    KIND = "web"

    def __init__(
        self, settings: Settings, clock: Clock | None = None, jobs: Sequence[Job] | None = None
    ) -> None:
        super().__init__(settings, clock, jobs)
        self.revocations = Revocations(self.store)
        authenticator = Authenticator(self.tokens, self.sessions, self.revocations)
        address = partial(client_address, trusted=settings.trusted_proxies)
        self.rates = RateTable(settings.commands_per_second, settings.sign_ins_per_minute)
        self.limits = RateLimits(
            self.redis,
            self.store.name,
            self.rates,
            self.ports.seal.sign,
            partial(account_of, self.ports),
            self.tokens,
        )
        self.cross_origin = CrossOrigin(settings.cors_origins)
        self.admission = Admission(
            Capacity(
                min(settings.max_connections, for_connections(raise_limit())),
                settings.connections_per_address,
                settings.trusted_proxies,
            ),
            self.cross_origin,
        )
        self.refusals = RefusalLog()
        run = self._limited(answer)
        self.realtime = Realtime(
            commands={
                (namespace.name, exposed.event): exposed.operation
                for namespace in NAMESPACES
                for exposed in namespace.exposed
                if exposed.event
            },
            run=run,
            charge_answer=self.limits.charge_answer,
            refuse=refusal,
            note=self.refusals.note,
            authenticator=authenticator,
            address=address,
            origins=list(settings.cors_origins),
            budget=FrameBudget(settings.commands_per_second),
            admission=self.admission,
            sockets_per_user=settings.sockets_per_user,
            fanout=self.fanout,
            presence=self.presence,
            recheck=self._recheck_reach,
            fast=settings.realtime == "fast",
        )
        self.limits.audience = lambda room: len(self.realtime.rooms.members(room))
        self.broadcasts.on_session = self._on_session_event
        self.presence_rooms = self._presence_rooms()
        # Only embedded stores write to the disk of this process.
        self.disk = DiskSpace(settings.data_dir) if settings.demo else None
        self.readiness = self._readiness()
        self.http = HttpApi(
            run,
            refusal,
            self.refusals.note,
            authenticator,
            address,
            self.admission.charge_request,
            self.limits.charge_answer,
        )
        self._loops: list[asyncio.Task[None]] = []

    def _readiness(self) -> Readiness:
        return Readiness(
            {
                "process": self._check_process,
                "database": self._check_database,
                "redis": self._check_redis,
                "disk": self._check_disk,
                "search": self._check_search,
            }
        )

    def _presence_rooms(self) -> PresenceRooms:
        realtime = self.realtime
        return PresenceRooms(
            realtime.rooms, lambda: realtime.eio.connections, realtime.leave, self.store
        )

    def _job_index(self) -> TantivyJobIndex:
        self.job_index = TantivyJobIndex(
            self.store, self.settings.data_dir / "job_index" / self.store.name
        )
        self.job_changes.on_changed = partial(self.job_index.changed, here=False)
        self.job_changes.on_missed = self.job_index.note_gap
        return self.job_index

    def _on_changed_jobs(self, ids: Sequence[str]) -> None:
        self.job_index.changed(ids, here=True)
        super()._on_changed_jobs(ids)

    def _limited(self, work: Callable[..., Awaitable[Answer]]) -> RunOperation:
        """`work(op, fields, actor, meta, ports)`, unless the caller exceeds a rate limit, or their
        session ended while the command waited. Its waiting for the database is limited."""

        async def run(op: Operation, fields: Any, actor: Actor | None, meta: Meta) -> Answer:
            # Instant operations limit it only when they wait: it costs 1 % of their time.
            self.figures.commands += 1
            limit = None if op.instant else command_limit().begin()
            try:
                attempts: Sequence[Any] = ()
                try:
                    if not self.limits.admit_at_once(op, actor, meta):
                        attempts = await self.limits.check(op, fields, actor, meta)
                except RateLimited as refused:
                    self._note(refused.code, op, actor, meta)
                    return refusal(refused)
                except UNREACHABLE:
                    return refusal(Unavailable())
                if actor and self.revocations.covers(actor):
                    answered = refusal(Unauthenticated(ENDED))
                elif self.disk and op.style is not Style.READ and self.disk.low:
                    answered = refusal(Unavailable())
                else:
                    answered = await work(op, fields, actor, meta, self.ports)
                if answered.ok:
                    if not op.limits:
                        return answered
                    self.limits.charge(op, actor, meta, answered.data)
                if answered.error:
                    self._note(Code(answered.error.code), op, actor, meta)
                for attempt in attempts:
                    await attempt.settle(answered.error.code if answered.error else None)
                return answered
            finally:
                if limit:
                    limit.end()

        return run

    def _note(self, code: Code, op: Operation, actor: Actor | None, meta: Meta) -> None:
        self.figures.refused += 1
        self.refusals.note(code, op.name, actor.id if actor else "", meta.address)

    def application(self) -> web.Application:
        app = web.Application(
            client_max_size=MAX_BODY,
            middlewares=[follow_requests, self.http.problems, self.cross_origin.preflight],
        )
        self.realtime.attach(app)
        app.add_routes(
            self.http.route(
                exposed.route.method, exposed.route.path, exposed.operation, exposed.kept_seconds
            )
            for namespace in NAMESPACES
            for exposed in namespace.exposed
            if exposed.route and not exposed.streamed
        )
        app.add_routes(
            self.http.download(file.path, file.operation, self._limited(_without_op(file.open)))
            for file in (*DOWNLOADS, files.READING)
        )
        keep = self._limited(_without_op(files.keep))
        app.add_routes([self.http.upload("/api/files", files.UPLOAD, keep)])
        app.add_routes([cached_read("/api/meta", self._meta)])
        app.add_routes(
            cached_read(f"/api/{name}.json", make) for name, make in self._documents().items()
        )
        app.add_routes([web.get("/livez", _alive), web.get("/readyz", self._ready)])
        app.add_routes(webhooks.routes)
        app[webhooks.PORTS] = self.ports
        settings = self.settings
        app.add_routes(
            [security_txt(settings.public_url, settings.security_contact, self.store.clock.now)]
        )
        if isinstance(self.ports.mail, DevMailbox):
            app.add_routes([mails_route(self.ports.mail.mails)])
        stripe = bool(settings.stripe_publishable_key) and settings.stripe_api_base is None
        policy = partial(page_policy, settings.public_url, stripe)
        app.add_routes(page_routes(STATIC, policy, settings.demo))
        app.on_response_prepare.append(security_headers(settings.public_url, stripe))
        app.on_response_prepare.append(self.cross_origin.complete)
        app.cleanup_ctx.append(self._running)
        app.on_shutdown.append(self._release)
        return app

    def _meta(self) -> dict[str, Any]:
        known = operations().values()
        own = server_meta(self.settings, self.rates, known, HEAD_SECONDS)
        return meta(self.store.rates) | own

    def process_figures(self, **state: Any) -> ProcessFigures:
        report = self.readiness.last
        return super().process_figures(
            sockets=self.realtime.connection_count, ready=report.ready, reasons=report.reasons
        )

    @property
    def operations(self) -> Mapping[str, Operation]:
        """All operations by their names, for programs in this process."""
        return operations()

    def _documents(self) -> dict[str, Callable[[], Any]]:
        return documents(self.rates, self.settings.public_url)

    async def drain(self) -> None:
        """Answer 503 to /readyz, then close the connections, spread over `drain_seconds`."""
        await self.realtime.eio.drain(self.settings.drain_seconds)

    async def listen(self, runner: web.AppRunner) -> None:
        """Accept connections. Raises OSError."""
        assert runner.server
        await self.admission.listen(runner.server, self.settings.host, self.settings.port)

    async def _release(self, app: web.Application) -> None:
        await self.admission.stop()
        await self.realtime.eio.drain(0)

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        self.realtime.start()
        await self.start(listening=True)
        await self.job_index.start()
        self.presence.start()
        self._loops = [
            asyncio.create_task(self._push_heads()),
            asyncio.create_task(self._push_stats()),
            asyncio.create_task(self._read_revocations()),
            asyncio.create_task(self._check_readiness()),
        ]
        yield
        self.readiness.stop()
        await end(self._loops)
        await self.realtime.stop()
        await self.presence.stop()
        await self.limits.stop()
        await self.job_index.stop()
        await self.stop()

    def _on_session_event(self, event: SessionEvent) -> None:
        self.revocations.remember(event)
        self.realtime.on_session_event(event)

    def _reach_changed(self, change: ReachChange) -> None:
        super()._reach_changed(change)
        if not change.reachable:
            self.presence_rooms.end(change.users)

    async def _recheck_reach(self) -> None:
        """Changes of reach may have been missed."""
        self.members.forget_all()
        try:
            await self.presence_rooms.recheck()
        except UNREACHABLE:
            log.warning("subscriptions to presence are not checked", exc_info=True)

    async def _read_revocations(self) -> None:
        """Learn from MongoDB what other processes revoked, also while Redis is away."""
        while True:
            await asyncio.sleep(REVOCATION_SECONDS)
            try:
                async for event in self.revocations.read_recent():
                    if self.revocations.remember(event):
                        self.realtime.on_session_event(event)
            except UNREACHABLE as away:
                log.warning("revocations not read", reason=str(away))
            except Exception:
                log.exception("revocations not read")

    async def _push_heads(self) -> None:
        """Push each user's latest number, so that an idle client notices a missed push."""
        while True:
            await asyncio.sleep(HEAD_SECONDS)
            users = list(self.realtime.users())
            with contextlib.suppress(Exception):
                await self._push_heads_to(users)

    async def _push_heads_to(self, users: Sequence[str]) -> None:
        uow = self.store.single()
        for user, marks in (await heads(uow, users)).items():
            self.realtime.push(user_room(user), HEAD.namespace, HEAD.name, wire(marks))

    async def _push_stats(self) -> None:
        """Push live figures to the admins on this process; computed only when there are any."""
        key = f"{self.store.name}:sockets"
        while True:
            await asyncio.sleep(STATS_SECONDS)
            try:
                count = f"{self.realtime.connection_count}@{time.time()}"
                await self.redis.hset(key, self.store.worker, count)
                if self.realtime.rooms.members(LIVE_MONITOR):
                    stats = await overview_of(self.store.single(), await self.sockets())
                    self.realtime.push(LIVE_MONITOR, STATS.namespace, STATS.name, wire(stats))
            except (RedisError, *UNREACHABLE) as away:
                log.warning("stats not pushed", reason=str(away))
            except Exception:
                log.exception("stats not pushed")

    async def _check_readiness(self) -> None:
        """For the monitor, also where no load balancer asks."""
        while True:
            await self.readiness.report()
            await asyncio.sleep(READINESS_SECONDS)

    async def _ready(self, request: web.Request) -> web.Response:
        """200 while a load balancer should send traffic here, otherwise 503, within two seconds.

        Without Redis all processes are equal, and payments still work, so it is 200.
        """
        report = await self.readiness.report()
        state = {
            "ready": report.ready,
            "redis": "redis" not in report.found,
            "reasons": report.reasons,
        }
        return web.json_response(state, status=200 if report.ready else 503)

    async def _check_process(self) -> Trouble | None:
        return Trouble("ends") if self.realtime.eio.draining else None

    async def _check_database(self) -> Trouble | None:
        try:
            await self.store.ping()
        except Unavailable as away:
            return Trouble(f"cannot be read: {type(away.__cause__).__name__}")
        silent = self.relay.seconds_since_heartbeat
        return Trouble(f"no write for {silent:.0f} s") if silent > SILENT_SECONDS else None

    async def _check_redis(self) -> Trouble | None:
        """When it does not deliver the process's own messages, its clients would miss pushes of
        other processes."""
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                reachable = await self.sessions.reachable()
        except TimeoutError:
            return Trouble("no answer", fatal=False)
        if not reachable:
            return Trouble("cannot be reached, or refuses commands", fatal=False)
        if await self.fanout.misses_own_messages(REDIS_SECONDS):
            return Trouble("does not deliver the messages of this process")
        return None

    async def _check_search(self) -> Trouble | None:
        if self.job_index.ready:
            return None
        return Trouble(f"the job index is being built, {self.job_index.jobs_read} jobs by now")

    async def _check_disk(self) -> Trouble | None:
        if self.disk is None or not await asyncio.to_thread(lambda: self.disk and self.disk.low):
            return None
        return Trouble(f"{self.disk.free() // 1024**2} MiB are free for the embedded stores")


def documents(rates: RateTable, public_url: str) -> dict[str, Callable[[], Any]]:
    """What makes each document of the API, by its name."""
    in_force = partial(rates.described, operations().values())
    return {
        "openapi": lambda: openapi(in_force()["operations"], public_url),
        "asyncapi": lambda: asyncapi(in_force()["operations"], public_url),
    }


def client_files() -> dict[str, str]:
    """What is made of the documents for the clients: paths below `static/client/` and texts."""
    openapi, asyncapi = (make() for make in documents(RateTable(), "").values())
    return made_files(openapi, asyncapi)


@contextlib.asynccontextmanager
async def listening(
    settings: Settings,
    clock: Clock | None = None,
    jobs: Sequence[Job] | None = None,
    prepare: Callable[[Ports], Awaitable[None]] | None = None,
) -> AsyncIterator[Web]:
    """A web server that accepts connections; `prepare` is awaited before the first one. Raises
    CannotServe."""
    served = Web(settings, clock, jobs)
    if not settings.demo:
        await refuse_demo_accounts(served.store)
    runner = HttpRunner(served.application(), HTTP_SECONDS)
    try:
        await runner.setup()
        if prepare:
            await prepare(served.ports)
        try:
            await served.listen(runner)
        except OSError as refused:
            raise CannotServe(_why(refused, settings)) from refused
        try:
            yield served
        finally:
            ends = time.monotonic() + settings.drain_seconds
            await served.drain()
            # Requests over HTTP get what is left of the time; the library has no setter for it.
            runner._shutdown_timeout = max(HTTP_SECONDS, ends - time.monotonic())
    finally:
        await runner.cleanup()


def _why(refused: OSError, settings: Settings) -> str:
    if refused.errno == errno.EADDRINUSE:
        return f"Port {settings.port} is in use: end what listens there, or set PORT."
    return (
        f"Cannot listen on {settings.host}:{settings.port}: {refused.strerror}. Set HOST or PORT."
    )


def _without_op(work: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """Adapt work that serves a single operation, and so does not take it as an argument."""
    return lambda op, *arguments: work(*arguments)


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"alive": True})
