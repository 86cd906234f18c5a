"""The client: one signed-in user, with all commands and pushes over one connection."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast
from urllib.parse import quote
from uuid import uuid4

from aiohttp import ClientSession, FormData

from jobsphere.contract import (
    NAMES,
    AccountLoginFields,
    AccountRegisterFields,
    Attachment,
    Namespaces,
    SignedIn,
)
from jobsphere.http import Http
from jobsphere.incoming import Incoming
from jobsphere.link import Link
from jobsphere.namespace import Fields, Repeat
from jobsphere.pushes import QUEUE, Key, Push, Subscription, Subscriptions, handle
from jobsphere.refusals import Missed, NoAnswer, Refusal, passes, repeat, was_not_executed
from jobsphere.session import Session

T = TypeVar("T")
log = logging.getLogger("jobsphere")

PATIENCE = 30.0  # seconds
ADMIN = "/admin"


class Client(Namespaces):
    """A user of the server at `url`: `await client.login(...)`, then `client.job.create(...)`.

    A command is repeated and waits for a connection for up to `patience` seconds. `on_session` is
    called with the session whenever its tokens have changed, so that it can be stored for `resume`;
    its exceptions are logged. `counts` says what happened on the way: connections, jumps,
    duplicates, repeated commands.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = PATIENCE,
        on_session: Callable[[SignedIn], None] = lambda session: None,
        web: ClientSession | None = None,
    ) -> None:
        super().__init__(self)
        self.counts: Counter[str] = Counter()
        self._patience = patience
        self._on_session = on_session
        self._own_web = web is None
        self._web = web or ClientSession()
        self._http = Http(self._web, url)
        self._subscriptions = Subscriptions()
        self._handling: set[asyncio.Task[None]] = set()
        self._session: Session | None = None
        self._incoming: Incoming | None = None
        self._link: Link | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- signing in ----------------------------------------------------------------------------

    async def register(
        self, *, connect: bool = True, **fields: Unpack[AccountRegisterFields]
    ) -> SignedIn:
        """Open an account, sign in and connect.

        Raises Refusal. Where addresses are verified first, its code is `email_unverified`: then
        `login` with `verification`, the code of the mail.
        """
        answer = await self.account.register(**fields)
        if "access_token" not in answer:
            raise Refusal("email_unverified", "Sign in with the code of the mail (verification).")
        return await self.resume(cast(SignedIn, answer), connect=connect)

    async def login(
        self, *, connect: bool = True, **fields: Unpack[AccountLoginFields]
    ) -> SignedIn:
        """Sign in and connect. Raises Refusal; after `second_factor_required` go on with
        `resume(await client.account.login_code(...))`."""
        return await self.resume(await self.account.login(**fields), connect=connect)

    async def resume(
        self, session: SignedIn, *, since: int | None = None, connect: bool = True
    ) -> SignedIn:
        """Go on with a session, and connect. Raises Refusal.

        `since` is the `seq` of the last event that was handled before: what came after it goes to
        the subscriptions that are open by now. By default the feed begins with the next event.
        Without `connect` commands go over HTTP, and there are no pushes.
        """
        assert self._session is None, "a client has one session: make another client"
        self._session = Session(self._http, session, self._keep, self._count_repeat)
        self._keep(self._session.tokens)
        if connect:
            await self._connect(self._session, since)
        return session

    async def close(self) -> None:
        """Disconnect, and end all subscriptions. The session lives on: see `account.logout`."""
        if self._link:
            await self._link.close()
        if self._incoming:
            await self._incoming.stop()
        self._subscriptions.end(None)
        others = self._handling - {asyncio.current_task()}  # a handler may close
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._own_web:
            await self._web.close()

    # -- state ---------------------------------------------------------------------------------

    @property
    def session(self) -> SignedIn:
        """The user as signed in, and the newest tokens."""
        assert self._session, "sign in first"
        return cast(SignedIn, self._session.tokens)

    @property
    def id(self) -> str:
        return self.session["user"]["id"]

    @property
    def connected(self) -> bool:
        return self._link is not None and self._link.connected

    @property
    def seq(self) -> int | None:
        """The number of the last event of the feed that was given to the subscriptions."""
        return self._incoming.feed.seq if self._incoming else None

    # -- pushes --------------------------------------------------------------------------------

    def pushes(self, size: int = QUEUE) -> Subscription[Any]:
        """All pushes from now on. Those of a namespace are typed: `client.job.pushes(...)`."""
        return self.subscribe(None, size)

    def subscribe(self, keys: Collection[Key] | None, size: int) -> Subscription[Any]:
        """Pushes by namespace and name, from now on."""
        return self._subscriptions.open(keys, size)

    def on(
        self,
        pushes: Subscription[T],
        handler: Callable[[Push[T]], Awaitable[None]],
        missed: Callable[[Missed], Awaitable[None]] | None = None,
    ) -> asyncio.Task[None]:
        """Call `handler` for each push, one after the other, and `missed` where some are missing.

        Their exceptions are logged, and so is a gap without a `missed`. Cancel the task to end it.
        """
        task = asyncio.create_task(handle(pushes, handler, missed))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)
        return task

    async def caught_up(self) -> None:
        """Look for missed pushes, and wait until they have been delivered."""
        if self._incoming:
            self._incoming.catch_up()
            await self._incoming.caught_up()

    def cut(self) -> None:
        """Cut the connection as a network failure does, for tests; the client comes back."""
        if self._link:
            self._link.cut()

    # -- files and the like ----------------------------------------------------------------------

    async def upload(
        self, source: Path | bytes, name: str = "", type: str = "application/octet-stream"
    ) -> Attachment:
        """Store a file of at most 20 MiB. Within a day its id belongs into the `file_ids` of a
        message or the like. Raises Refusal."""
        content = await asyncio.to_thread(source.read_bytes) if isinstance(source, Path) else source
        name = name or (source.name if isinstance(source, Path) else "file")

        async def send(token: str) -> Any:
            form = FormData()
            form.add_field("file", content, filename=name, content_type=type)
            return await self._http.request("POST", "/api/files", token=token, form=form)

        kept: Attachment = await self._authorized(send, safe=True)  # what is not used is removed
        return kept

    async def download(self, file_id: str, target: Path, *, thumbnail: bool = False) -> None:
        """Write a file, or its small picture. Raises Refusal."""
        query = {"size": "thumb"} if thumbnail else {}
        await self.save(f"/api/files/{quote(file_id, safe='')}", target, query)

    async def save(self, path: str, target: Path, query: Mapping[str, str]) -> None:
        """Write what a GET answers, such as `/api/wallet/statement.csv`. Raises Refusal."""

        async def receive(token: str) -> None:
            await self._http.save(path, query, target, token=token)

        await self._authorized(receive, safe=True)

    async def meta(self) -> dict[str, Any]:
        """The limits, currencies, countries and fees of this server. Raises Refusal."""
        answer: dict[str, Any] = await self.request("GET /api/meta", {}, "safe", signed_in=False)
        return answer

    # -- what the namespaces call ----------------------------------------------------------------

    async def command(
        self,
        namespace: str,
        name: str,
        fields: Fields,
        repeated: Repeat,
        *,
        http: str | None = None,
        request_id: str | None = None,
        joins: bool = False,
    ) -> Any:
        """The data of the acknowledgement; the answer over `http` if the client does not connect.

        Raises Refusal.
        """
        if self._link is None and self._session and http:
            return await self.request(http, fields, repeated, request_id=request_id)
        if self._link is None:
            raise Refusal("unauthenticated", "Sign in first, and connect.")
        return await self._link.command(
            namespace, name, fields, repeated, self._patience, request_id, joins
        )

    async def request(
        self,
        http: str,
        fields: Fields,
        repeated: Repeat,
        *,
        request_id: str | None = None,
        signed_in: bool = True,
    ) -> Any:
        """The answer to a command over HTTP, such as `POST /api/job`. Raises Refusal."""
        method, _, path = http.partition(" ")
        if repeated == "request_id" and request_id is None:
            request_id = str(uuid4())

        async def send(token: str) -> Any:
            return await self._http.request(
                method, path, fields, token=token, request_id=request_id
            )

        return await self._authorized(send, safe=repeated != "no", signed_in=signed_in)

    async def _authorized(
        self, send: Callable[[str], Awaitable[Any]], *, safe: bool, signed_in: bool = True
    ) -> Any:
        if signed_in and self._session is None:
            raise Refusal("unauthenticated", "Sign in first.")

        async def attempt() -> Any:
            if self._session and signed_in:
                return await self._session.authorized(send)
            return await send("")

        return await repeat(
            attempt,
            again=passes if safe else was_not_executed,
            patience=self._patience,
            on_repeat=self._count_repeat,
        )

    # -- the connection ------------------------------------------------------------------------

    async def _connect(self, session: Session, since: int | None) -> None:
        """Connect, and read how far feed and conversations have come. Raises Refusal."""
        admin = session.tokens["user"]["role"] == "admin"
        self._incoming = incoming = Incoming(
            self._read,
            self._subscriptions,
            self.counts,
            since=since,
            chats=not admin,
            on_revoked=lambda refused: link.end(refused),
        )
        self._link = link = Link(
            self._web,
            self._http.url,
            session,
            [name for name in NAMES if admin or name != ADMIN],
            self.counts,
            on_push=self._pushed,
            on_open=incoming.catch_up,
            on_end=self._subscriptions.end,
        )
        await link.start(self._patience)
        if since is None:  # otherwise what is missed may be more than fits into subscriptions
            await incoming.caught_up()
        if self.seq is None:
            raise NoAnswer("the state of the feed cannot be read")

    async def _read(self, namespace: str, name: str, fields: Fields) -> Any:
        return await self.command(namespace, name, fields, "safe")

    def _pushed(self, namespace: str, name: str, envelope: Any) -> None:
        """Everything that comes, also what came before."""
        if self._incoming:
            self._incoming.pushed(namespace, name, envelope)

    def _keep(self, tokens: dict[str, Any]) -> None:
        try:
            self._on_session(cast(SignedIn, dict(tokens)))
        except Exception:  # the session goes on
            log.exception("the new tokens were not stored")

    def _count_repeat(self, refused: Refusal) -> None:
        self.counts[f"repeated: {refused.code}"] += 1
