"""Files of the dispute as evidence in a chargeback: the bank gets each file, and gets it once."""

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


async def test_only_files_of_the_dispute_are_evidence(work, monkeypatch):
    """Guard: `check_files` in `chargebacks.evidence`: files of the dispute only, of types and up to
    a size that Stripe takes, one for each field; nothing is stored or sent otherwise. And
    `evidence_files.upload` in `SubmitEvidence._post`: Stripe gets the file itself, without the name
    that a person gave it."""
    shot, words = await give_in_dispute(work, picture(), b"It is bare.")
    opened = await work.open_chargeback()
    admin = work._admin = await work.market.admin()
    loose = await upload(work.customer, picture())

    async def refused(code, *files):
        wanted = [{"field": field, "file_id": id} for field, id in files]
        fields = {"chargeback_id": opened["id"], "files": wanted}
        await work.assert_refused(admin, "/admin", "evidence", fields, code)

    for id in (words["id"], loose["id"], "file_none"):
        await refused("not_found", ("receipt", id))
    for names in (["secret"], ["receipt", "receipt"]):
        await refused("invalid", *((name, shot["id"]) for name in names))
    with monkeypatch.context() as patched:
        patched.setattr("domain.disputes.evidence_files.MAX_BYTES", 100)
        await refused("invalid", ("receipt", shot["id"]))
    seen = await admin.call("/admin", "chargeback", {"chargeback_id": opened["id"]})
    assert seen["evidence"] == []
    assert await work.stripe_list("files") == []

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


async def test_each_file_is_sent_once_or_its_refusal_is_told(work):
    """Guard: `upload` inside of `post_repeatable`; nothing is submitted without the file, and it
    can be sent again. The key of `upload`, which is that of the evidence with the field. And
    `REMOVED` in `upload`; a dead letter would tell no person."""
    shot, other = await give_in_dispute(work, picture(), picture(size=(64, 40)))
    opened = await work.open_chargeback()
    # Stripe refuses the file.
    error = {"type": "invalid_request_error", "code": "file_invalid", "message": "Unreadable."}
    await work.sandbox.fault(path=UPLOADS, method="POST", status=400, error=error)
    seen = await send(work, opened, receipt=shot)
    assert seen["evidence"][0]["refusal"].startswith("Stripe, which moves the money")
    assert seen["submissions"] == 0
    alerts = await work._admin.call("/admin", "alerts", {"kind": "evidence_refused"})
    assert "file_invalid: Unreadable." in alerts["items"][0]["message"]
    # It is sent again, and each of the answers is lost once.
    known = set()
    for path, submit in ((UPLOADS, False), ("/v1/disputes/*", True)):
        await work.sandbox.fault(path=path, method="POST", drop=True, when="after")
        seen = await send(work, opened, submit, receipt=shot, uncategorized_file=other)
        assert (seen["submissions"], seen["evidence"][0]["refusal"]) == (submit, None)
        given = await evidence_at_stripe(work)
        uploaded = {file["id"] for file in await work.stripe_list("files")}
        assert uploaded - known == {given["receipt"], given["uncategorized_file"]}, path
        known = uploaded
    # The file is removed while Stripe is asked again.
    await work.sandbox.fault(path=UPLOADS, method="POST", status=500, drop=True)
    uow = work.server.store.single()
    wanted = [{"field": "receipt", "file_id": shot["id"]}]
    await work.as_admin("evidence", chargeback_id=opened["id"], files=wanted)
    await uow.change(File, shot["id"], state=State.DROPPED)
    await work.market.settled(TIMEOUT)
    seen = await work.as_admin("chargeback", chargeback_id=opened["id"])
    assert seen["evidence"][0]["refusal"] == "A file was removed before it was sent."
    assert ([file["id"] for file in seen["files"]], seen["submissions"]) == ([other["id"]], 1)
    events = await work.market.rows(WebhookEvent)
    assert not [event for event in events if event.status == "dead"]
