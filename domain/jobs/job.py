"""The job record and its states.

`posting` creates and updates jobs, `search` finds them, `access` decides who may read one, and
`views` what of it each reader sees.
Starting, delivering, completing and cancelling are in `fulfillment.work`, because they move money.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import Skill
from domain.files.file import MAX_ATTACHED, Attachment
from domain.kernel.bounds import Bounded
from domain.kernel.fields import Currency, CustomerId, JobId, about
from domain.kernel.money import MAX_AMOUNT
from domain.kernel.outbox import Event, Numbering
from domain.kernel.record import Index, Record
from domain.kernel.state_machine import Steps
from domain.kernel.text_types import line, prose

Title = Annotated[str, line(120)]
Description = Annotated[str, prose(8000)]
Category = Annotated[str, line(60)]
Skills = Annotated[tuple[Skill, ...], Limits(max_length=20)]
Amount = Annotated[int, Limits(ge=1, le=MAX_AMOUNT)]
Longitude = Annotated[float, Limits(ge=-180, le=180)]
Latitude = Annotated[float, Limits(ge=-90, le=90)]


PUBLIC_DECIMALS = 2  # of degrees


class JobStatus(StrEnum):
    """`open`: contractors may apply. `assigned`: an offer is accepted, work has not begun."""

    OPEN = "open"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


JOB_STEPS: Steps = {
    JobStatus.OPEN: (JobStatus.ASSIGNED, JobStatus.CANCELLED),
    JobStatus.ASSIGNED: (JobStatus.IN_PROGRESS, JobStatus.COMPLETED, JobStatus.CANCELLED),
    JobStatus.IN_PROGRESS: (JobStatus.COMPLETED, JobStatus.CANCELLED),
}


class Location(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place, and what a person calls it."""

    lon: Annotated[Longitude, about("The longitude, in degrees.")]
    lat: Annotated[Latitude, about("The latitude, in degrees.")]
    label: Annotated[
        str, line(120, least=0), about("What a person calls the place; may be empty.")
    ] = ""

    @property
    def rounded(self) -> tuple[float, float]:
        """The place to about 1 km, as others than the parties see it and searches find it."""
        return round(self.lon, PUBLIC_DECIMALS), round(self.lat, PUBLIC_DECIMALS)


class Job(Record, frozen=True):
    """What a customer wants to be done. It is public while it is open.

    `accepting_offer_id` is set while the payment of an accepted offer is being captured.
    `point` is the rounded location as GeoJSON, so that searching does not reveal the exact one.
    `search_revision` counts the changes of what is searched.
    """

    COLLECTION = "jobs"
    PREFIX = "job"
    DEED = "status"
    INDEXES = (
        Index((("status", 1), ("_id", -1))),
        Index((("updated_at", 1), ("_id", 1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("customer_id", 1), ("status", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("status", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"accepting_offer_id", "point", "search_revision"})
    PERSONAL = frozenset({"customer_name", "location", "point"})
    ENCRYPTED = frozenset({"location"})

    customer_id: CustomerId
    customer_name: Annotated[str, about("The customer's name.")]
    title: Annotated[str, about("What is to be done, in one line.")]
    description: Annotated[str, about("What is to be done.")]
    category: Annotated[str, about("The kind of work, free text.")]
    skills: Annotated[tuple[str, ...], Bounded(20), about("What the contractor should be good at.")]
    budget_min_amount: Annotated[
        int, about("The least that the customer will pay, in minor units.")
    ]
    budget_max_amount: Annotated[int, about("The most that the customer will pay, in minor units.")]
    currency: Currency
    location: Annotated[
        Location | None,
        about(
            "Where; rounded to about 1 km for others than the two sides. Null if it is anywhere."
        ),
    ]
    status: Annotated[JobStatus, about("Its state.")] = JobStatus.OPEN
    files: Annotated[
        tuple[Attachment, ...],
        Bounded(MAX_ATTACHED),
        about(
            "What the customer added to it. Contractors can read them while it is open, then only "
            "the two sides; to others they are none."
        ),
    ] = ()
    contractor_id: Annotated[
        str | None,
        about("The id of the assigned contractor; null before, and for others than the sides."),
    ] = None
    offer_id: Annotated[
        str | None,
        about("The id of the accepted offer; null before, and for others than the sides."),
    ] = None
    delivered_at: Annotated[
        datetime | None,
        about("When the contractor last delivered; null if never, and for others than the sides."),
    ] = None
    delivery_note: Annotated[
        str, about("What the contractor wrote with the delivery; empty for others than the sides.")
    ] = ""
    delivery_files: Annotated[
        tuple[Attachment, ...],
        Bounded(MAX_ATTACHED),
        about("The files of the delivery; none for others than the sides."),
    ] = ()
    completed_at: Annotated[
        datetime | None,
        about("When it was completed; null if it is not, and for others than the sides."),
    ] = None
    cancelled_at: Annotated[
        datetime | None,
        about("When it was cancelled; null if it is not, and for others than the sides."),
    ] = None
    dispute_id: Annotated[
        str | None,
        about("The id of the open dispute; null if there is none, and for others than the sides."),
    ] = None
    accepting_offer_id: str | None = None
    point: Annotated[dict[str, Any], Bounded(2)] | None = None
    search_revision: int = 0


class ClosedJob(msgspec.Struct, frozen=True):
    """The job is no longer open. Those who may still read it can fetch it."""

    job_id: JobId


UPDATED = Event(
    "/job",
    "job.updated",
    Job,
    Numbering.PARTIES,
    about="When a job is posted or changed: numbered to its customer and its chosen contractor; "
    "not numbered to all others who watch it, and to all contractors while it is open and "
    "when that ends. Each connection gets a change once; keep the highest `version`.",
)
CLOSED = Event(
    "/job",
    "job.closed",
    ClosedJob,
    Numbering.NEVER,
    about="When a job is no longer open, to everybody who watches it. Its sides and administrators "
    "get its later changes; all others get nothing more about it, so drop it, or ask "
    "`job.watch` again: it answers those who may still read the job.",
)
