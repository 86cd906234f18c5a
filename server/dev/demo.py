"""`server demo`: one job from posting to payout, played by clients of a running dev server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

import socketio
from aiohttp import ClientError, ClientSession, ClientTimeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text
from socketio.exceptions import SocketIOError

from domain.kernel.money import display
from server.demo_accounts import DEMO_PASSWORD
from server.dev.store_kinds import CONTROL_KEY

Json = dict[str, Any]

NAMESPACES = ["/account", "/bidding", "/chat", "/job", "/job-request", "/payment", "/wallet"]
WAIT_SECONDS = 20.0  # for an answer and for a push
FUNDS_SECONDS = 3  # until the money of the demo's payments is available
STEPS = 11  # plus one with a withdrawal
BASIS_POINTS = 10_000
COLOURS = {"customer": "cyan", "contractor": "green", "contractor2": "magenta", "admin": "yellow"}
SHOWN = (
    "id",
    "status",
    "title",
    "delivered_at",
    "text",
    "seq",
    "amount",
    "available",
    "pending",
    "in_transit",
    "payouts_enabled",
    "platform_amount",
    "contractor_amount",
)


class StoryFailed(Exception):
    """A command was refused, a push did not come, or a number is not what it should be."""


class Books(NamedTuple):
    """Minor units of the demo's currency."""

    wallet: int
    pending: int
    platform: int
    escrow: int


class Push(NamedTuple):
    namespace: str
    name: str
    data: Any


class Stage:
    """The output: numbered steps, commands, acks, pushes and the books."""

    def __init__(self, steps: int) -> None:
        self.console = Console(highlight=False)
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self.console,
            transient=True,
        )
        self.task = self.progress.add_task("", total=steps)
        self.number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.number += 1
        self.progress.update(self.task, description=title)
        self.console.print(f"\n[bold]{self.number}. {title}[/bold]")
        yield
        self.progress.advance(self.task)

    def show(self, who: str, arrow: str, what: str, data: Any) -> None:
        line = Text(f"  {who:<12}", COLOURS[who])
        line.append(f"{arrow} {what:<36} ", "default")
        line.append(data if isinstance(data, str) else json.dumps(data), "default dim")
        if self.console.is_terminal:
            self.console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            self.console.print(line, soft_wrap=True)

    def books(self, books: Books, currency: str) -> None:
        parts = (f"{name} {amount}" for name, amount in books._asdict().items())
        self.show("admin", "$", f"books in {currency}", "   ".join(parts))


class HttpClient:
    """Calls the server by HTTP."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def json(self, method: str, path: str, token: str = "", body: Json | None = None) -> Json:
        """Raises StoryFailed."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self.session.request(
                method, self.url + path, json=body, headers=headers
            ) as response:
                answer: Json = await response.json(content_type=None)
                if response.status == 200:
                    return answer
        except (ClientError, OSError, ValueError, TimeoutError) as away:
            raise StoryFailed(
                f"No JobSphere server answers at {self.url} ({away}): start one with `make run`, "
                "or name its address with --url."
            ) from away
        raise StoryFailed(f"{method} {path} was refused: {answer.get('title', answer)}")

    async def sign_in(self, name: str) -> Json:
        """Raises StoryFailed."""
        login = {"email": f"{name}@demo.test", "password": DEMO_PASSWORD}
        return await self.json("POST", "/api/account/login", body=login)

    async def submit(self, url: str, form: Mapping[str, str]) -> None:
        """Submit a form of the Stripe sandbox, as a browser would. Raises StoryFailed."""
        try:
            async with self.session.post(url, data=form, allow_redirects=False) as response:
                if response.status == 303:
                    return
        except (ClientError, OSError, TimeoutError):
            pass
        raise StoryFailed(f"{url} cannot be filled in: the demo needs the dev server's sandbox.")


class SandboxControl(NamedTuple):
    """The control API of the dev server's sandbox."""

    url: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "SandboxControl | None":
        """None without a dev server that has its own sandbox."""
        names = ("STRIPE_API_BASE", "STRIPE_SECRET_KEY", CONTROL_KEY)
        if not all(environ.get(name) for name in names):
            return None
        base, key, control = (environ[name] for name in names)
        headers = {"Authorization": f"Bearer {key}", "Sandbox-Control-Key": control}
        return cls(f"{base}/_sandbox/settings", headers)

    @asynccontextmanager
    async def funds_soon(self, session: ClientSession) -> AsyncIterator[None]:
        """Make the money of payments available after seconds instead of days. Raises
        StoryFailed."""
        usual = await self._call(session, "GET")
        delay = min(usual["available_delay_seconds"], FUNDS_SECONDS)
        await self._call(session, "POST", {"available_delay_seconds": delay})
        try:
            yield
        finally:
            before = {"available_delay_seconds": usual["available_delay_seconds"]}
            await self._call(session, "POST", before)

    async def _call(self, session: ClientSession, method: str, body: Json | None = None) -> Json:
        try:
            async with session.request(
                method, self.url, json=body, headers=self.headers
            ) as response:
                answer: Json = await response.json()
                if response.status == 200:
                    return answer
        except (ClientError, OSError, ValueError, TimeoutError):
            pass
        raise StoryFailed("The dev server's sandbox does not answer.")


class Client:
    """One person's Socket.IO connection. It records and shows every push."""

    def __init__(self, name: str, signed_in: Json, stage: Stage) -> None:
        self.name = name
        self.id: str = signed_in["user"]["id"]
        self.token: str = signed_in["access_token"]
        self.stage = stage
        self.pushes: list[Push] = []
        self.socket = socketio.AsyncClient(reconnection=False)
        self._changed = asyncio.Event()
        for namespace in NAMESPACES:
            self.socket.on("*", self._listener(namespace), namespace=namespace)

    async def connect(self, url: str) -> None:
        """Raises StoryFailed."""
        try:
            await self.socket.connect(
                url,
                auth={"token": self.token},
                transports=["websocket"],
                namespaces=NAMESPACES,
                wait_timeout=WAIT_SECONDS,
            )
        except SocketIOError as refused:
            raise StoryFailed(f"{self.name} cannot connect: {refused}") from refused

    async def close(self) -> None:
        with suppress(Exception):
            await self.socket.shutdown()

    def _listener(self, namespace: str) -> Any:
        async def pushed(name: str, envelope: Json, *_: Any) -> None:
            number = f"#{envelope['seq']}" if envelope["seq"] else ""
            self.stage.show(self.name, "⇐", f"{namespace} {name} {number}", brief(envelope["data"]))
            self.pushes.append(Push(namespace, name, envelope["data"]))
            self._changed.set()

        return pushed

    async def call(self, namespace: str, event: str, **fields: Any) -> Any:
        """The data of the acknowledgement. Raises StoryFailed."""
        self.stage.show(self.name, "→", f"{namespace} {event}", fields)
        try:
            ack = await self.socket.call(event, fields, namespace=namespace, timeout=WAIT_SECONDS)
        except SocketIOError as lost:
            raise StoryFailed(f"{self.name}: {namespace} {event} was not answered.") from lost
        if not ack["ok"]:
            error = ack["error"]
            raise StoryFailed(
                f"{self.name}: {namespace} {event} was refused: {error['code']}: {error['message']}"
            )
        self.stage.show(self.name, "←", f"{namespace} {event}: ok", brief(ack["data"]))
        return ack["data"]

    async def sees(self, namespace: str, name: str, **fields: Any) -> Any:
        """Wait for a push with these fields. Raises StoryFailed."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    self._changed.clear()
                    for push in self.pushes:
                        if push[:2] == (namespace, name) and fields.items() <= push.data.items():
                            return push.data
                    await self._changed.wait()
        except TimeoutError:
            raise StoryFailed(
                f"{self.name} got no {namespace} {name} with {fields} in {WAIT_SECONDS:.0f} s."
            ) from None


def brief(data: Any) -> Any:
    """The fields of an object to show, and those of its job, offer and split."""
    if not isinstance(data, dict):
        return data
    shown = {name: data[name] for name in SHOWN if name in data}
    parts = {name: brief(part) for name, part in data.items() if name in ("job", "offer", "split")}
    return shown | parts


async def play(
    url: str, amount: int, withdraw: bool, sandbox: SandboxControl | None = None
) -> None:
    """The story; `amount` is minor units of the server's main currency. With the `sandbox` the
    money is available within seconds. Raises StoryFailed."""
    stage = Stage(STEPS + withdraw)
    async with AsyncExitStack() as stack:
        session = ClientSession(timeout=ClientTimeout(total=WAIT_SECONDS))
        web = HttpClient(await stack.enter_async_context(session), url)
        if sandbox:
            await stack.enter_async_context(sandbox.funds_soon(session))
        stack.enter_context(stage.progress)
        with stage.step(f"Everybody signs in at {url}"):
            admin = (await web.sign_in("admin"))["access_token"]
            clients = []
            for name in ("customer", "contractor", "contractor2"):
                client = Client(name, await web.sign_in(name), stage)
                stack.push_async_callback(client.close)
                await client.connect(url)
                clients.append(client)
        await Story(stage, web, admin, clients, amount).play(withdraw)


class Story:
    """The steps, each checked by the pushes that its people receive."""

    def __init__(
        self, stage: Stage, web: HttpClient, admin: str, clients: list[Client], amount: int
    ) -> None:
        self.stage = stage
        self.web = web
        self.admin = admin
        self.customer, self.contractor, self.rival = clients
        self.amount = amount
        self.currency = ""

    async def play(self, withdraw: bool) -> None:
        """Raises StoryFailed."""
        before = await self.books()
        job = await self.post()
        await self.onboard()
        await self.apply(job)
        await self.talk(job)
        offers = [await self.offer(job, who) for who in (self.contractor, self.rival)]
        await self.accept(job, *offers)
        await self.work(job)
        share = self.share(offers[0]["schedule"])
        await self.complete(job, before.wallet + share)
        if withdraw:
            await self.withdraw(share)
        with self.stage.step("The books"):
            fee = await self.stripe_fee(offers[0])
            expected = Books(0 if withdraw else share, 0, self.amount - share - fee, 0)
            self.check(before, await self.books(), expected, fee)

    async def books(self) -> Books:
        overview = await self.web.json("GET", "/api/admin/overview", self.admin)
        platform = await self.web.json("GET", "/api/wallet", self.admin)
        wallet = await self.web.json("GET", "/api/wallet", self.contractor.token)
        self.currency = platform["currency"]
        commission = overview["commission"].get(self.currency, 0)
        if commission != platform["available"]:
            raise StoryFailed(f"The platform has {platform}, but the overview says {commission}.")
        escrow = overview["escrow"].get(self.currency, 0)
        books = Books(wallet["available"], wallet["pending"], commission, escrow)
        self.stage.books(books, self.currency)
        return books

    async def stripe_fee(self, offer: Json) -> int:
        """What Stripe has kept of the payment, as it is booked."""
        path = f"/api/admin/transactions?offer_id={offer['id']}&kind=stripe_fee"
        rows = (await self.web.json("GET", path, self.admin))["items"]
        return sum(posting["amount"] for row in rows for posting in row["postings"])

    def share(self, schedule: Json) -> int:
        """The contractor's part; both fees are rounded down."""
        fees: list[int] = [schedule["platform_bps"], schedule["service_bps"]]
        return self.amount - sum(self.amount * points // BASIS_POINTS for points in fees)

    async def post(self) -> Json:
        with self.stage.step("The customer posts a job, both contractors receive it at once"):
            job: Json = await self.customer.call(
                "/job",
                "create",
                title="Paint the fence",
                category="painting",
                description="Twelve metres of wooden fence, two coats.",
                skills=["painting"],
                budget_min_amount=(self.amount + 1) // 2,
                budget_max_amount=self.amount,
                currency=self.currency,
            )
            for who in (self.contractor, self.rival, self.customer):
                await who.sees("/job", "job.updated", id=job["id"], status="open")
        return job

    async def onboard(self) -> None:
        with self.stage.step("The contractor opens an account for payouts"):
            me = await self.contractor.call("/account", "me")
            if me["transfers_active"] and me["payouts_enabled"]:
                return
            link = await self.contractor.call("/account", "onboard")
            if link["url"] is None:
                raise StoryFailed("The contractor got no onboarding link: Stripe is slow.")
            self.stage.show("contractor", "→", "fills in the page", link["url"])
            form = {
                "name": me["name"],
                "bank_account": "000123456789",
                "currencies": self.currency.lower(),
            }
            await self.web.submit(link["url"], form)
            await self.contractor.sees(
                "/account", "account.updated", transfers_active=True, payouts_enabled=True
            )

    async def apply(self, job: Json) -> None:
        with self.stage.step("Both apply, the customer shortlists both"):
            for who in (self.contractor, self.rival):
                application = await who.call(
                    "/job-request",
                    "apply",
                    job_id=job["id"],
                    timeline_days=5,
                    cover_letter="I have painted a hundred fences.",
                    proposed_amount=self.amount,
                )
                await self.customer.sees(
                    "/job-request", "application.created", id=application["id"]
                )
                await self.customer.call("/job-request", "accept", application_id=application["id"])
                await who.sees(
                    "/job-request", "application.updated", id=application["id"], status="accepted"
                )

    async def talk(self, job: Json) -> None:
        with self.stage.step("Customer and contractor chat, and see what was read"):
            conversation = await self.customer.call(
                "/chat", "open", job_id=job["id"], user_id=self.contractor.id
            )
            await self._say(conversation, self.customer, self.contractor, "Can you come on Monday?")
            await self._say(conversation, self.contractor, self.customer, "Yes, at eight.")

    async def _say(self, conversation: Json, author: Client, reader: Client, text: str) -> None:
        place = {"conversation_id": conversation["id"]}
        message = await author.call("/chat", "send", **place, text=text)
        await reader.sees("/chat", "message", id=message["id"], text=text)
        await reader.call("/chat", "read", **place, seq=message["seq"])
        await author.sees("/chat", "read", **place, user_id=reader.id, seq=message["seq"])

    async def offer(self, job: Json, who: Client) -> Json:
        with self.stage.step(f"The customer makes {who.name} an offer, the card is held"):
            answer = await self.customer.call(
                "/bidding",
                "create",
                job_id=job["id"],
                contractor_id=who.id,
                amount=self.amount,
                currency=self.currency,
                description="As discussed.",
                timeline_days=5,
                payment_method="pm_card_visa",
            )
            id = answer["offer"]["id"]
            offer: Json = await who.sees("/bidding", "offer.created", id=id, status="pending")
            await self.books()
        return offer

    async def accept(self, job: Json, offer: Json, rivals: Json) -> None:
        with self.stage.step("The contractor accepts, the rival's offer is blocked"):
            await self.contractor.call("/bidding", "accept", offer_id=offer["id"])
            for who in (self.contractor, self.customer):
                await who.sees("/bidding", "offer.accepted", id=offer["id"])
                await who.sees("/job", "job.updated", id=job["id"], status="assigned")
            await self.rival.sees("/bidding", "offer.blocked", id=rivals["id"])
            await self.customer.sees(
                "/payment", "payment.updated", offer_id=rivals["id"], status="canceled"
            )
            await self.books()

    async def work(self, job: Json) -> None:
        with self.stage.step("The contractor starts and delivers"):
            await self.contractor.call("/job", "start", job_id=job["id"])
            await self.customer.sees("/job", "job.updated", id=job["id"], status="in_progress")
            note = "Two coats, and the gate as well."
            await self.contractor.call("/job", "deliver", job_id=job["id"], note=note)
            await self.customer.sees("/job", "job.updated", id=job["id"], delivery_note=note)

    async def complete(self, job: Json, available: int) -> None:
        with self.stage.step("The customer completes the job, the money is split"):
            await self.customer.call("/job", "complete", job_id=job["id"])
            await self.contractor.sees("/job", "job.updated", id=job["id"], status="completed")
            await self.contractor.sees(
                "/wallet", "wallet.updated", currency=self.currency, available=available
            )

    async def withdraw(self, amount: int) -> None:
        with self.stage.step("The contractor withdraws it to the bank"):
            asked = await self.contractor.call(
                "/wallet", "withdraw", amount=amount, currency=self.currency
            )
            await self.contractor.sees(
                "/wallet", "withdrawal.updated", id=asked["id"], status="paid"
            )

    def check(self, before: Books, after: Books, expected: Books, fee: int) -> None:
        """Show the changes of this run. Raises StoryFailed for an unexpected amount."""
        table = Table("", "before", "this run", "now", "", title=f"{self.currency}, minor units")
        for column in table.columns[1:]:
            column.justify = "right"
        wrong = []
        for name, was, now, wanted in zip(Books._fields, before, after, expected, strict=True):
            title = f"contractor {name}" if name in ("wallet", "pending") else name
            table.add_row(title, str(was), f"{now - was:+}", str(now), display(now, self.currency))
            if now - was != wanted:
                wrong.append(f"{title} has changed by {now - was} instead of {wanted}")
        table.add_row("Stripe's fee, of the platform", "", f"{fee:+}", "", "")
        self.stage.console.print(table)
        if wrong:
            raise StoryFailed("The books differ from what is expected: " + "; ".join(wrong) + ".")
        self.stage.console.print("[bold green]All amounts are as expected.[/bold green]")
