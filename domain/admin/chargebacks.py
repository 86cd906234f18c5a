"""A chargeback as administrators see it: with its amounts, people, and what the bank was told."""

from typing import Annotated

import msgspec

from domain.admin.people import names_of
from domain.deals.chargeback import Chargeback
from domain.disputes.chargeback_evidence import ChargebackEvidence
from domain.disputes.evidence_files import files_of_job
from domain.files.file import Attachment
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.store import NEWEST, UnitOfWork
from domain.operations.command import Command, Id, Style
from domain.operations.operation import operation

VERSIONS = 20  # of the evidence in one answer


class SeenChargeback(Chargeback, frozen=True, kw_only=True):
    """A chargeback with its id at Stripe and its evidence."""

    PRIVATE = frozenset({"steps", "warned_at"})

    stripe_id: Annotated[str, about("The dispute at Stripe.")]
    held_amount: Annotated[
        int, about("What is held of the contractor's money for it, in minor units.")
    ] = 0
    completed_amount: Annotated[
        int, about("The completed work that the loss undid, in minor units.")
    ] = 0
    names: Annotated[dict[str, str], about("The names of the people, by user id.")]
    files: Annotated[list[Attachment], about("Files of the job's disputes that the bank can get.")]
    evidence: Annotated[
        list[ChargebackEvidence], about("What was written to the bank, the newest first.")
    ]


class ById(Command, frozen=True):
    chargeback_id: Annotated[Id, about("The id of the chargeback.")]


@operation("admin.chargeback", roles=ADMINS, style=Style.READ, errors=(NotFound,))
async def chargeback(cmd: ById, actor: Actor, uow: UnitOfWork) -> SeenChargeback:
    """One chargeback with what was written to the bank. Raises NotFound."""
    found = await uow.get(Chargeback, cmd.chargeback_id)
    written = await uow.first(ChargebackEvidence, {"chargeback_id": found.id}, NEWEST, VERSIONS)
    people = [found.customer_id, found.contractor_id, *(version.by for version in written)]
    return SeenChargeback(
        **msgspec.structs.asdict(found),
        names=await names_of(uow, people),
        files=[file.seen() for file in await files_of_job(uow, found.job_id)],
        evidence=written,
    )
