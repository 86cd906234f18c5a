"""Files of the dispute as evidence in a chargeback: the bank gets each file, and gets it once."""

import pytest

from domain.files.file import File, State
from domain.stripe_events.inbox import WebhookEvent
from tests.support.file_samples import picture, upload
from tests.support.job_in_progress import TIMEOUT

UPLOADS = "/v1/files"


async def give_in_dispute(work, *data):
    """Files that the customer gives in the dispute of the job, which is opened first."""
    opened = await work.open_dispute()
    files = [await upload(work.customer, each) for each in data]
    fields = {"dispute_id": opened["id"], "text": "See.", "file_ids": [f["id"] for f in files]}
    await work.customer.call("/payment", "dispute_evidence", fields)
    return files


async def send(work, chargeback, submit=True, **files):
    """Send files to the bank, by the field that they are for. Returns the chargeback as seen."""
    wanted = [{"field": field, "file_id": file["id"]} for field, file in files.items()]
    fields = {"chargeback_id": chargeback["id"], "files": wanted, "submit": submit}
    await work.as_admin("evidence", uncategorized_text="See the picture.", **fields)
    await work.market.settled(TIMEOUT)
    return await work.as_admin("chargeback", chargeback_id=chargeback["id"])


async def evidence_at_stripe(work):
    [found] = await work.stripe_list("disputes")
    return found["evidence"]


async def test_files_of_the_dispute_are_sent_as_evidence(work):
    """Guard: `evidence_files.upload` in `SubmitEvidence._post`: Stripe gets the file itself,
    without the name that a person gave it."""
    [shot, _] = await give_in_dispute(work, picture(), b"It is bare.")
    opened = await work.open_chargeback()
    seen = await work.as_admin("chargeback", chargeback_id=opened["id"])
    assert [file["id"] for file in seen["files"]] == [shot["id"]]
    seen = await send(work, opened, submit=False, service_documentation=shot)
    assert seen["evidence"][0]["files"] == [
        {"field": "service_documentation", "file_id": shot["id"]}
    ]
    assert (seen["submissions"], seen["evidence"][0]["refusal"]) == (0, None)
    given = await evidence_at_stripe(work)
    assert given["uncategorized_text"] == "See the picture."
    file = await work.sandbox.api("GET", f"files/{given['service_documentation']}")
    assert (file["purpose"], file["type"]) == ("dispute_evidence", "png")
    assert (file["filename"], file["size"]) == ("service_documentation.png", shot["size"])
    seen = await send(work, opened, customer_communication=shot)
    assert seen["submissions"] == 1
    assert (await evidence_at_stripe(work))["customer_communication"]


async def test_other_files_are_no_evidence(work):
    """Guard: `check_files` in `chargebacks.evidence`: files of the dispute only, of types that
    Stripe takes, one for each field; nothing is stored or sent otherwise."""
    shot, words = await give_in_dispute(work, picture(), b"It is bare.")
    opened = await work.open_chargeback()
    admin = await work.market.admin()
    loose = await upload(work.customer, picture())
    for id in (words["id"], loose["id"], "file_none"):
        files = [{"field": "receipt", "file_id": id}]
        fields = {"chargeback_id": opened["id"], "files": files}
        await work.assert_refused(admin, "/admin", "evidence", fields, "not_found")
    for names in (["secret"], ["receipt", "receipt"]):
        files = [{"field": name, "file_id": shot["id"]} for name in names]
        fields = {"chargeback_id": opened["id"], "files": files}
        await work.assert_refused(admin, "/admin", "evidence", fields, "invalid")
    seen = await admin.call("/admin", "chargeback", {"chargeback_id": opened["id"]})
    assert seen["evidence"] == []
    assert await work.stripe_list("files") == []


async def test_files_beyond_the_size_are_refused(work, monkeypatch):
    """Guard: `MAX_BYTES` in `check_files`: Stripe would refuse the whole evidence later."""
    monkeypatch.setattr("domain.disputes.evidence_files.MAX_BYTES", 100)
    [shot] = await give_in_dispute(work, picture())
    opened = await work.open_chargeback()
    fields = {
        "chargeback_id": opened["id"],
        "files": [{"field": "receipt", "file_id": shot["id"]}],
    }
    admin = await work.market.admin()
    await work.assert_refused(admin, "/admin", "evidence", fields, "invalid")


@pytest.mark.parametrize("path", [UPLOADS, "/v1/disputes/*"])
async def test_a_lost_answer_sends_no_file_twice(work, path):
    """Guard: the key of `upload`, which is that of the evidence with the field."""
    shot, other = await give_in_dispute(work, picture(), picture(size=(64, 40)))
    opened = await work.open_chargeback()
    await work.sandbox.fault(path=path, method="POST", drop=True, when="after")
    seen = await send(work, opened, receipt=shot, uncategorized_file=other)
    assert (seen["submissions"], seen["evidence"][0]["refusal"]) == (1, None)
    given = await evidence_at_stripe(work)
    uploaded = {file["id"] for file in await work.stripe_list("files")}
    assert uploaded == {given["receipt"], given["uncategorized_file"]}


async def test_a_file_that_stripe_refuses_is_told(work):
    """Guard: `upload` inside of `post_repeatable`; nothing is submitted without the file, and it
    can be sent again."""
    [shot] = await give_in_dispute(work, picture())
    opened = await work.open_chargeback()
    error = {"type": "invalid_request_error", "code": "file_invalid", "message": "Unreadable."}
    await work.sandbox.fault(path=UPLOADS, method="POST", status=400, error=error)
    seen = await send(work, opened, receipt=shot)
    assert seen["evidence"][0]["refusal"].startswith("Stripe, which moves the money")
    assert seen["submissions"] == 0
    alerts = await work._admin.call("/admin", "alerts", {"kind": "evidence_refused"})
    assert "file_invalid: Unreadable." in alerts["items"][0]["message"]
    seen = await send(work, opened, receipt=shot)
    assert (seen["submissions"], seen["evidence"][0]["refusal"]) == (1, None)


async def test_a_file_that_is_removed_meanwhile_is_told(work):
    """Guard: `REMOVED` in `upload`; a dead letter would tell no person."""
    [shot] = await give_in_dispute(work, picture())
    opened = await work.open_chargeback()
    await work.sandbox.fault(path=UPLOADS, method="POST", status=500, drop=True)
    uow = work.server.store.single()
    wanted = [{"field": "receipt", "file_id": shot["id"]}]
    await work.as_admin("evidence", chargeback_id=opened["id"], files=wanted)
    await uow.change(File, shot["id"], state=State.DROPPED)
    await work.market.settled(TIMEOUT)
    seen = await work.as_admin("chargeback", chargeback_id=opened["id"])
    assert seen["evidence"][0]["refusal"] == "A file was removed before it was sent."
    assert (seen["files"], seen["submissions"]) == ([], 0)
    events = await work.market.rows(WebhookEvent)
    assert not [event for event in events if event.status == "dead"]
