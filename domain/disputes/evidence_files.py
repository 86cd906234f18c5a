"""Files as evidence in a chargeback: those that the sides gave in the dispute of the job.

Stripe takes JPEG, PNG and PDF, one file for each field, and 4.5 MB in all. Source: Stripe, "Dispute
evidence". Names that people gave to their files are not sent.
"""

from collections.abc import Iterable

from domain.deals.chargeback import Chargeback
from domain.disputes.chargeback_evidence import EvidenceFile
from domain.disputes.dispute import Dispute
from domain.files.file import File, State
from domain.kernel.errors import Invalid, NotFound, Rule
from domain.kernel.store import UnitOfWork
from domain.ports.payment_gateway import GatewayRefused
from domain.ports.ports import Ports

EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "application/pdf": "pdf"}
REMOVED = "evidence_file_removed"  # our own code: Stripe was not asked
MAX_BYTES = 4_500_000  # of all files of one dispute
MAX_DISPUTES, MAX_FILES = 20, 100  # of one job


async def files_of_job(uow: UnitOfWork, job_id: str) -> list[File]:
    """The files of the job's disputes that Stripe takes."""
    disputes = await uow.all(Dispute, {"job_id": job_id}, limit=MAX_DISPUTES)
    if not disputes:
        return []
    kept = {"state": State.KEPT, "attached_to": tuple(dispute.id for dispute in disputes)}
    files = await uow.all(File, kept, limit=MAX_FILES)
    return [file for file in files if file.type in EXTENSIONS]


async def check_files(
    uow: UnitOfWork, chargeback: Chargeback, wanted: Iterable[EvidenceFile]
) -> dict[str, str]:
    """The ids of the files by Stripe's fields. Raises NotFound, and Invalid beyond its limits."""
    wanted = tuple(wanted)
    fields = {str(each.field): each.file_id for each in wanted}
    if not fields:
        return {}
    if len(fields) < len(wanted):
        raise Invalid("take one file for each field.", field="files", rule=Rule.VALUE)
    known = {file.id: file for file in await files_of_job(uow, chargeback.job_id)}
    if not set(fields.values()) <= set(known):
        raise NotFound
    if sum(known[id].size for id in set(fields.values())) > MAX_BYTES:
        raise Invalid("take files of 4.5 MB in all.", field="files", rule=Rule.VALUE)
    return fields


async def upload(ports: Ports, fields: dict[str, str], key: str) -> dict[str, str]:
    """Upload the files to Stripe. Returns their ids there by field.

    Raises GatewayRefused too for a file that was removed meanwhile.
    """
    uploaded = {}
    for field, file_id in fields.items():
        file = await ports.store.single().find(File, {"_id": file_id, "state": State.KEPT})
        if file is None:
            raise GatewayRefused(REMOVED, "A file was removed before it was sent.")
        pieces = [piece async for piece in ports.blobs.read(file.id, 0, file.size)]
        name = f"{field}.{EXTENSIONS[file.type]}"
        uploaded[field] = await ports.gateway.upload_evidence(
            name, b"".join(pieces), key=f"{key}:{field}"
        )
    return uploaded
