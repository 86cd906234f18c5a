"""A market in which everybody writes markup, script addresses and endless words."""

from datetime import timedelta

from domain.deals.payment import Payment
from domain.kernel.outbox import Lane, OutboxRow
from domain.notifications.alerts import alert
from domain.payouts.transfer import Transfer
from domain.reconciliation.book_difference import keep_differences
from domain.reconciliation.difference import Difference
from domain.reconciliation.foreign_lines import ForeignLine
from domain.reconciliation.ownerless_money import OwnerlessKind, OwnerlessMoney
from domain.reconciliation.runs import Reconciliation, ReconciliationStatus
from domain.reconciliation.stripe_lines import Comparison
from tests.support.file_samples import picture, upload
from tests.support.installations import Server
from tests.support.market import Market
from tests.support.parties import Json, Party

TAG = "<img src=x onerror=hit()>"  # what is looked for on the pages
WORD = "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerk"
SHORT = f'{TAG}"'
TITLE = f"{TAG}'\"><svg onload=hit()> {WORD}"
TEXT = (
    f"{TAG}<script>hit()</script> [x](javascript:hit()) javascript:hit() {{{{hit()}}}} ${{hit()}} "
    f'<a href="javascript:hit()">x</a> https://evil.test/"onmouseover="hit() {WORD}{WORD}{WORD}'
)


class HostileWorld:
    """The people, and the addresses of the views that show their records, by role."""

    customer: Party
    contractor: Party
    admin: Party

    def __init__(self, market: Market, server: Server) -> None:
        self.market, self.server = market, server
        self.ids: dict[str, str] = {}  # by the section of an address
        self.more: dict[str, list[str]] = {"customer": [], "contractor": [], "admin": []}

    async def build(self, *, queues: bool = False) -> "HostileWorld":
        """Make the records; those of the administrators' work `queues` only for their views."""
        market = self.market
        self.customer = await market.customer(f"{TAG} Carla", reconnection=True)
        self.contractor = await market.contractor(
            f"{TAG} {WORD[:30]}", onboarded=True, reconnection=True
        )
        self.admin = await market.admin(f"{TAG} Ada", reconnection=True)
        for person in (self.customer, self.contractor):
            await person.call("/account", "update", {"headline": TITLE, "bio": TEXT})
        picked = {"name": SHORT, "q": SHORT, "category": SHORT, "skills": [SHORT]}
        await self.contractor.call("/job", "search_save", picked)
        await self._open_job()
        await self._work()
        await self._accounts()
        if queues:
            await self._queues()
        await market.settled()
        return self

    async def _job(self, number: int) -> Json:
        title = f"{number} {TITLE}"
        fields = {"title": title, "description": TEXT, "category": SHORT, "skills": [SHORT]}
        return await self.market.job(self.customer, **fields)

    async def _applied(self, job: Json, contractor: Party | None = None) -> Json:
        applicant = contractor or self.contractor
        return await self.market.application(applicant, job, cover_letter=TEXT)

    async def _open_job(self) -> None:
        """An open job with applicants, a conversation, and offers that are answered in any way."""
        job = await self._job(1)
        other = await self.market.contractor(f"{TAG} Otto")
        await self._applied(job, other)
        application = await self._applied(job)
        await self.customer.call("/job-request", "accept", {"application_id": application["id"]})
        await self._talk(job, application)
        offer = await self.market.offer(self.customer, self.contractor, job, description=TEXT)
        await self.contractor.call(
            "/bidding", "counter", {"offer_id": offer["id"], "amount": 120_000, "note": TEXT}
        )
        second = await self.market.offer(
            self.customer, self.contractor, job, 120_000, description=TEXT
        )
        new = f"/offers/new?job={job['id']}&contractor={self.contractor.id}&from={offer['id']}"
        self.ids |= {"jobs": job["id"]}
        self._show("customer", f"/offers/{offer['id']}", new)
        for role in ("customer", "contractor"):
            self._show(role, f"/offers/{second['id']}")

    async def _talk(self, job: Json, application: Json) -> None:
        found = await self.customer.call("/chat", "list", {})
        [talk] = [each for each in found["items"] if each["job_id"] == job["id"]]
        names = {"conversation_id": talk["id"]}
        file = await upload(self.customer, picture(), f"{TAG.replace('/', '')}.png")
        said = {**names, "text": TEXT, "file_ids": [file["id"]]}
        first = await self.customer.call("/chat", "send", said)
        answer = {**names, "text": TEXT, "reply_to": first["id"]}
        second = await self.contractor.call("/chat", "send", answer)
        await self.customer.call(
            "/chat", "react", {**names, "message_id": second["id"], "emoji": "👍"}
        )
        reported = {**names, "message_id": second["id"], "reason": "spam", "text": TEXT}
        await self.customer.call("/chat", "report", reported)
        self.ids |= {"chat": talk["id"]}

    async def _work(self) -> None:
        """Work that is delivered, disputed, completed and paid, and a job that is cancelled."""
        job = await self._job(2)
        await self._applied(job)
        parts = [{"title": f"{n} {TITLE}", "amount": 50_000} for n in (1, 2, 3)]
        offer = await self.market.offer(
            self.customer, self.contractor, job, 150_000, description=TEXT, milestones=parts
        )
        await self.market.accept(self.contractor, offer)
        await self.market.start(self.contractor, job)
        for number in (1, 2, 3):
            file = await upload(self.contractor, picture(), f"{TAG}.png")
            done = {"job_id": job["id"], "milestone": number, "note": TEXT}
            await self.contractor.call("/job", "deliver", {**done, "file_ids": [file["id"]]})
        await self.customer.call("/job", "complete", {"job_id": job["id"], "milestone": 1})
        dispute = await self.customer.call(
            "/payment",
            "dispute_open",
            {"job_id": job["id"], "milestone": 2, "reason": "quality", "text": TEXT},
        )
        about = {"dispute_id": dispute["id"], "text": TEXT}
        file = await upload(self.contractor, picture(), f"{TAG}.png")
        await self.contractor.call(
            "/payment", "dispute_evidence", {**about, "file_ids": [file["id"]]}
        )
        await self.contractor.call(
            "/payment", "dispute_propose", {**about, "refund_amount": 10_000}
        )
        self.ids |= {
            "offers": offer["id"],
            "payments": offer["payment_id"],
            "disputes": dispute["id"],
            "users": self.contractor.id,
        }
        for role in ("customer", "contractor"):
            self._show(role, f"/jobs/{job['id']}")
        cancelled = await self._job(3)
        await self.customer.call("/job", "cancel", {"job_id": cancelled["id"]})
        self._show("customer", f"/jobs/{cancelled['id']}", "/jobs?state=cancelled")
        query = "&".join(f"{name}={TAG}" for name in ("q", "category", "skills", "place"))
        self._show("contractor", f"/jobs?{query}&near=48.2,16.4&min=1&max=x")
        self._show("contractor", "/work?show=applications", "/work?show=offers", "/work?show=done")

    async def _accounts(self) -> None:
        """Money that has moved, and what administrators look at."""
        market, admin = self.market, self.admin
        await market.settled()
        await market.withdraw(self.contractor, 10_000)
        wallet = {"user_id": self.contractor.id, "reason": TEXT[:900]}
        await admin.call("/admin", "freeze", wallet)
        await admin.call("/admin", "unfreeze", wallet)
        job = await self._job(4)
        await self._applied(job)
        offer = await market.offer(self.customer, self.contractor, job, description=TEXT)
        await market.accept(self.contractor, offer)
        refund = {"payment_id": offer["payment_id"], "amount": 1_000, "reason": TEXT[:900]}
        await admin.call("/admin", "refund", refund)
        banned = await market.customer(f"{TAG} Frida", connect=False)
        await admin.call("/admin", "ban", {"user_id": banned.id, "reason": TEXT[:900]})
        await self.server.store.transact(
            lambda uow: alert(uow, "refund_failed", self.ids["payments"], TEXT)
        )
        self._show("admin", f"/admin/users/{banned.id}", f"/admin/transactions?fact={TAG}")
        for tab in ("talk", "work"):
            self._show("admin", f"/admin/disputes/{self.ids['disputes']}?tab={tab}")

    async def _queues(self) -> None:
        """A chargeback with evidence, Stripe's events, and a record for each work queue."""
        market, uow = self.market, self.server.store.single()
        payment = await uow.get(Payment, self.ids["payments"])
        await self.server.sandbox.control("POST", "disputes", {"charge": payment.charge_id})
        charged = await self.customer.push("/payment", "chargeback.updated", seconds=30)
        self.ids |= {"chargebacks": charged["id"]}
        evidence = {"chargeback_id": charged["id"], "submit": False, "uncategorized_text": TEXT}
        await self.admin.call("/admin", "evidence", evidence)
        [event, *_] = (await self.admin.call("/admin", "webhook_events"))["items"]
        self.ids |= {"webhook-events": event["id"]}
        await market.settled()
        [transfer, *_] = await market.rows(Transfer)
        await uow.change(Transfer, transfer.id, refusal=TEXT)
        dead = {"owner": "", "lease_until": uow.now, "attempts": 12, "dead": True}
        await uow.add(
            uow.new(
                OutboxRow, lane=Lane.MAIL, body={"type": "x", "id": SHORT}, last_error=TEXT, **dead
            )
        )
        span = {"start": uow.now - timedelta(days=2), "end": uow.now}
        differ = Difference(TITLE[:80], SHORT, TEXT, None)
        run = uow.new(
            Reconciliation,
            **span,
            by=self.admin.id,
            status=ReconciliationStatus.DIFFERENT,
            differences=(differ,),
            difference_count=1,
            failure=TEXT,
            finished_at=uow.now,
        )
        await uow.add(run)
        self.ids |= {"reconciliations": run.id}
        result = Comparison({}, [differ], count=1)
        await keep_differences(uow, run.id, run.start, run.end, result)
        found = {"amount": 1, "currency": "USD", "found_at": uow.now, "last_seen_at": uow.now}
        signed = {"amount": -1, "fee": 0, "net": -1, "currency": "USD", "at": uow.now}
        await uow.add(
            uow.new(
                ForeignLine, line_id=SHORT, type="new", what=TEXT[:80], source_id=SHORT, **signed
            )
        )
        await uow.add_all(
            [
                uow.new(
                    OwnerlessMoney, id=f"own_{kind}", kind=kind, subject=self.contractor.id, **found
                )
                for kind in OwnerlessKind
            ]
        )

    def _show(self, role: str, *addresses: str) -> None:
        self.more[role].extend(addresses)

    def addresses(self, role: str, routes: list[str]) -> list[str]:
        """An address of each route, and those that show other states of the same records."""
        found = [self._address(route) for route in routes]
        return [*found, *self.more[role]]

    def _address(self, route: str) -> str:
        section = next((each for each in route.split("/") if each not in ("", "admin")), "")
        return "/".join(
            self.ids.get(section, "none") if part.startswith(":") else part
            for part in route.split("/")
        )
