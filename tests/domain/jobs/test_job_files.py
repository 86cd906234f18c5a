"""Files that a customer adds to a job: who reads them before and after its assignment."""

import pytest

from domain.files.file import File
from tests.support.file_samples import download, picture, upload
from tests.support.market import Market
from tests.support.parties import Party, Refused


async def test_files_are_read_while_the_job_is_open_and_then_by_its_sides(market: Market) -> None:
    """Guard: `job_files._readers`; `set_files` in `posting.create` and `posting.update`, with
    `detach`; `restrict_files` in `deal_steps.assign_job` and `work.cancel`; the files in
    `views.public_part`."""
    customer, admin = await market.customer(), await market.admin()
    contractor, rival = await market.contractor(onboarded=True), await market.contractor("Rita")
    other = await market.customer("Olga")
    people = (customer, contractor, rival, admin, other)
    photo, plan = await upload(customer, picture()), await upload(customer, b"Steps.", "plan.txt")

    async def read_by(file_id: str) -> list[Party]:
        found = [(await download(party, file_id))[0] for party in people]
        return [party for party, status in zip(people, found, strict=True) if status == 200]

    job = await market.job(customer, file_ids=[photo["id"]])
    assert job["files"] == [photo]
    assert await read_by(photo["id"]) == [customer, contractor, rival, admin]
    assert await read_by(plan["id"]) == [customer]
    seen = await rival.push("/job", "job.updated")
    assert seen["files"] == [photo]
    _, public = await market.anonymous_client().http("GET", f"/api/job/public/{job['id']}")
    assert "files" not in public

    # An update without `file_ids` leaves them; one with them names all that stay.
    of_job = {"job_id": job["id"]}
    retitled = await customer.call("/job", "update", {**of_job, "title": "Paint the gate"})
    assert retitled["files"] == [photo]
    both = {**of_job, "file_ids": [plan["id"], photo["id"]]}
    assert (await customer.call("/job", "update", both))["files"] == [plan, photo]
    one = {**of_job, "file_ids": [plan["id"]]}
    assert (await customer.call("/job", "update", one))["files"] == [plan]
    assert await read_by(photo["id"]) == [customer]
    assert (await market.store.single().get(File, photo["id"])).attached_to is None

    theirs = await upload(other, picture())
    elsewhere = await market.job(customer, file_ids=[photo["id"]])
    for file_id, code in ((theirs["id"], "not_found"), (photo["id"], "conflict")):
        with pytest.raises(Refused, match=code):
            await customer.call("/job", "update", {**of_job, "file_ids": [file_id]})
    await customer.call("/job", "cancel", {"job_id": elsewhere["id"]})
    assert await read_by(photo["id"]) == [customer, admin]

    await market.application(rival, job)
    await market.application(contractor, job)
    await market.accept(contractor, await market.offer(customer, contractor, job))
    await market.settled()
    assert await read_by(plan["id"]) == [customer, contractor, admin]
    assert (await contractor.call("/job", "get", of_job))["files"] == [plan]
    assert (await rival.call("/job", "get", of_job))["files"] == []
    with pytest.raises(Refused, match="job_not_open"):
        await customer.call("/job", "update", {**of_job, "file_ids": []})
    assert await read_by(plan["id"]) == [customer, contractor, admin]
