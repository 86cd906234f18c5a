"""What of a job each reader sees, over every operation that reads and every push.

The secrets of a job are values that occur nowhere else. All answers and pushes of a reader are
searched for them, so a new operation or push is covered without a line here.
"""

import inspect
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
import pytest

from domain.jobs.job import Job
from domain.jobs.views import PUBLIC, public_part
from domain.kernel.record import wire
from domain.operations.command import Style
from domain.operations.operation import Operation
from tests.architecture.test_matrix import World, by_http, operations, valid_fields
from tests.support.file_samples import upload
from tests.support.market import Market
from tests.support.operation_cases import CASES, NOT_FOUND, OWN
from tests.support.parties import Json, Party, Refused
from tests.support.property_sizes import SEED

EXACT = {"lon": 13.123456, "lat": 52.654321, "label": "Hidden Lane 7"}
NOTE, FILE_NAME = "The key is under the mat", "plan-of-the-alarm.txt"
SECRETS_WHILE_OPEN = ("13.123456", "52.654321", "Hidden Lane 7")
READ_DIRECTLY = {"job.watch", "job.unwatch", "chat.presence", "account.sync"}
MISSING = {
    "application_id": "app_none",
    "offer_id": "ofr_none",
    "payment_id": "pay_none",
    "conversation_id": "cnv_none",
    "conversations": {"cnv_none": 0},
    "revisions": {"cnv_none": 0},
    "conversation_ids": ["cnv_none"],
    "search_id": "sch_none",
    "user_id": "usr_none",
    "contractor_id": "usr_none",
    "thread_id": "thr_none",
    "dispute_id": "dsp_none",
    "file_id": "fil_none",
    "transfer_id": "trf_none",
    "withdrawal_id": "wdr_none",
    "chargeback_id": "cbk_none",
    "start": "2026-01-01T00:00:00Z",
    "end": "2027-01-01T00:00:00Z",
}


class Readers(NamedTuple):
    """The parties, an administrator, and everybody who must not see the secrets.

    `former` had an offer that was withdrawn, `losing` an application that was rejected when the job
    was assigned, `withdrawn` an application that they withdrew.
    """

    customer: Party
    contractor: Party
    admin: Party
    stranger: Party
    other_customer: Party
    losing: Party
    former: Party
    withdrawn: Party

    @property
    def insiders(self) -> tuple[Party, ...]:
        return self[:3]

    @property
    def outsiders(self) -> tuple[Party, ...]:
        return self[3:]


class Story:
    """A job from posting to a dispute, with all readers watching it from the beginning."""

    def __init__(self, market: Market, readers: Readers) -> None:
        self.market = market
        self.readers = readers
        self.own: dict[str, Json] = {}  # ids of the records of each reader
        self.deal: Json = {}
        self.secrets: tuple[str, ...] = ()

    async def post(self) -> None:
        market, readers = self.market, self.readers
        self.job = await market.job(readers.customer, location=EXACT)
        for reader in readers:
            await reader.call("/job", "search_save", {"name": "Fences", "q": "fence"})
            await reader.call("/job", "watch", {"job_id": self.job["id"]})
        fields = {"job_id": self.job["id"], "title": "Paint the long fence"}
        self.job = await readers.customer.call("/job", "update", fields)
        for applicant in (readers.contractor, readers.losing, readers.former, readers.withdrawn):
            made = await market.application(applicant, self.job)
            self.own[applicant.id] = {"application_id": made["id"]}
        await readers.withdrawn.call("/job-request", "withdraw", self.own[readers.withdrawn.id])
        offer = await market.offer(readers.customer, readers.former, self.job)
        await readers.customer.call("/bidding", "withdraw", {"offer_id": offer["id"]})
        members = {"job_id": self.job["id"], "user_id": readers.customer.id}
        chat = await readers.former.call("/chat", "open", members)
        self.own[readers.former.id] |= {
            "offer_id": offer["id"],
            "thread_id": offer["thread_id"],
            "payment_id": offer["payment_id"],
            "conversation_id": chat["id"],
            "conversations": {chat["id"]: 0},
            "conversation_ids": [chat["id"]],
        }
        await market.settled()

    async def go_on(self) -> None:
        """Assign, start, deliver and dispute. Those who may watch the job again do."""
        market, customer, contractor = self.market, self.readers.customer, self.readers.contractor
        offer = await market.offer(customer, contractor, self.job)
        await market.accept(contractor, offer)
        await market.settled()
        for reader in self.readers:
            await reader.ack("/job", "watch", {"job_id": self.job["id"]})
        await market.start(contractor, self.job)
        file = await upload(contractor, b"What the house looks like.", FILE_NAME)
        delivered = {"job_id": self.job["id"], "note": NOTE, "file_ids": [file["id"]]}
        await contractor.call("/job", "deliver", delivered)
        dispute = {"job_id": self.job["id"], "reason": "quality", "text": "It is raw wood."}
        opened = await customer.call("/payment", "dispute_open", dispute)
        await market.settled()
        self.secrets = (NOTE, FILE_NAME, opened["id"], contractor.id, offer["id"])
        self.deal = {
            "offer_id": offer["id"],
            "thread_id": offer["thread_id"],
            "payment_id": offer["payment_id"],
            "dispute_id": opened["id"],
            "file_id": file["id"],
        }

    async def seen_by(self, reader: Party) -> dict[str, str]:
        """All that a reader is answered and pushed, as JSON by its source. What is on both wires is
        read on one of them, half of the readers each; the full run reads it on both."""
        seen = {f"push {push.name} {n}": text(push.data) for n, push in enumerate(reader.pushes)}
        for ids in filter(None, ({"job_id": self.job["id"]}, self.own.get(reader.id))):
            values = {**MISSING, **self.deal, "job_id": self.job["id"], **ids}
            world = World(*self.readers[:2], *self.readers[3:5], self.readers.admin, values)
            for number, (namespace, event, route, op) in enumerate(reading()):
                if op.roles and reader.role not in op.roles:
                    continue
                fields = {} if op.name == "job.list" else valid_fields(op, world)
                if op.name in ("job.mine", "bidding.list", "job-request.mine"):
                    fields.pop("status", None)
                source = f"{op.name} {sorted(ids)}"
                on_socket = event is not None and namespace in reader.namespaces
                on_http = route is not None
                if on_socket and on_http and not SEED:
                    on_socket = (number + self.readers.index(reader)) % 2 == 0
                    on_http = not on_socket
                if on_socket:
                    answer = await reader.ack(namespace, event, fields)
                    seen[f"socket {source}"] = text(answer.get("data"))
                if on_http:
                    status, body = await by_http(reader, route, fields)
                    seen[f"http {source}"] = text(body) if status < 400 else ""
        return seen


def text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def reading() -> list[tuple[str, str | None, Any, Operation]]:
    """All operations that read. The others answer with records of the caller, or refuse."""
    return [
        each
        for each in operations()
        if each[3].style is Style.READ or each[3].name in READ_DIRECTLY
    ]


def found_in(seen: dict[str, str], secrets: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(source, s) for source, content in seen.items() for s in secrets if s in content]


@pytest.fixture
async def story(market: Market) -> Story:
    readers = Readers(
        await market.customer("Carla"),
        await market.contractor(onboarded=True),
        await market.admin(),
        await market.contractor("Sten"),
        await market.customer("Olga"),
        await market.contractor("Lola"),
        await market.contractor("Fred"),
        await market.contractor("Wim"),
    )
    return Story(market, readers)


async def test_each_reader_sees_their_view_of_a_job_and_no_more(story: Story) -> None:
    """Guard: `seen_by`, `public_part` and `publish_job` in `jobs/views.py`, `_rooms_to_join`, and
    `public_part` in `saved_searches._publish_new_hits`; the application in `access.read_job`, which
    hides a job that is not open from others."""
    readers = story.readers
    await story.post()
    for reader in (*readers.outsiders, readers.contractor):  # who is not a party yet
        assert found_in(await story.seen_by(reader), SECRETS_WHILE_OPEN) == [], reader.name
    for reader in (readers.customer, readers.admin):
        found = found_in(await story.seen_by(reader), SECRETS_WHILE_OPEN)
        sources = {source.split()[1] for source, _ in found}
        assert {"job.updated", "job.get", "job.list", "job.watch"} <= sources, sources

    await story.go_on()
    secrets = SECRETS_WHILE_OPEN + story.secrets
    for reader in readers.outsiders:
        assert found_in(await story.seen_by(reader), secrets) == [], reader.name
        pushed = {push.data["status"] for push in reader.received("/job", "job.updated")}
        may_watch = reader in (readers.losing, readers.former, readers.withdrawn)
        assert ("in_progress" in pushed) == may_watch, reader.name
    for reader in readers.insiders:
        found = found_in(await story.seen_by(reader), secrets)
        assert {secret for _, secret in found} == set(secrets), reader.name
    for reader in (readers.stranger, readers.other_customer):
        for event in ("get", "watch"):
            with pytest.raises(Refused, match="not_found"):
                await reader.call("/job", event, {"job_id": story.job["id"]})


async def test_the_place_of_a_job_cannot_be_found_by_searching(market: Market) -> None:
    """Guard: `Location.rounded` in `posting._check_and_derive`: the circle is around the rounded
    place, for the list and for saved searches."""
    customer, contractor = await market.customer(), await market.contractor()
    exact = {"lon": EXACT["lon"], "lat": EXACT["lat"]}
    rounded = {"lon": 13.12, "lat": 52.65}
    for name, near in (("exact", exact), ("rounded", rounded)):
        search = {"name": name, "near": near, "radius_km": 0.1}
        await contractor.call("/job", "search_save", search)
    job = await market.job(customer, location=EXACT)
    for near, found in ((exact, []), (rounded, [job["id"]])):
        page = await contractor.call("/job", "list", {"near": near, "radius_km": 0.1})
        assert [item["id"] for item in page["items"]] == found
    matched = await contractor.push("/job", "job.matched")
    assert matched["name"] == "rounded" and matched["job"]["location"] == {**rounded, "label": ""}


def test_every_operation_that_yields_a_job_is_tried() -> None:
    """An operation that returns a Job reads it, or is refused to everybody but its parties."""
    wrong = [
        op.name
        for *_, op in operations()
        if yields_job(get_type_hints(op.run).get("return"))
        and op.style is not Style.READ
        and op.name not in READ_DIRECTLY
        and CASES[op.name].stranger not in (NOT_FOUND, OWN)
    ]
    assert wrong == []


def yields_job(kind: Any) -> bool:
    """Whether values of this type are or contain jobs."""
    if kind is Job:
        return True
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return any(yields_job(hint) for hint in get_type_hints(kind).values())
    return any(yields_job(part) for part in get_args(kind))


def test_the_public_part_has_no_field_that_is_not_listed() -> None:
    """Guard: `_HIDDEN`. A new field of Job is hidden until PUBLIC names it."""
    filled: Json = {field.name: "x" for field in msgspec.structs.fields(Job)}
    job = Job(**{**filled, "location": None})
    shown = wire(public_part(job))
    assert {name for name, value in shown.items() if value == "x"} <= PUBLIC
    assert set(shown) == set(wire(job)), "clients need no second form"
