"""Early fraud warnings, reviews, canceled refunds, and files for disputes."""

from __future__ import annotations

import io
from typing import Any

import pytest

from .conftest import Shop
from .test_payments import refusal


def named(name: str, content: bytes = b"%PDF-1.7") -> io.BytesIO:
    """A file as the SDK sends it."""
    file = io.BytesIO(content)
    file.name = name
    return file


async def upload(shop: Shop, name: str = "receipt.pdf", **more: Any) -> Any:
    """Upload a file for a dispute."""
    files = shop.v1.files
    return await files.create_async({"purpose": "dispute_evidence", "file": named(name)}, more)


async def test_a_warning_is_actionable_while_the_money_is_there(sandbox_shop: Shop) -> None:
    """Fails without `actionable` and the event in `fraud.warn`."""
    paid, refunded = await sandbox_shop.pay(), await sandbox_shop.pay()
    await sandbox_shop.control("POST", "settings", {"refunds_wait": 0})
    await sandbox_shop.v1.refunds.create_async({"payment_intent": refunded.id})
    made = await sandbox_shop.control("POST", "warnings", {"charge": paid.latest_charge})
    late = await sandbox_shop.control(
        "POST", "warnings", {"charge": refunded.latest_charge, "fraud_type": "misc"}
    )
    warnings = sandbox_shop.v1.radar.early_fraud_warnings
    found = await warnings.retrieve_async(made["id"])
    assert (found.charge, found.payment_intent) == (paid.latest_charge, paid.id)
    assert (found.actionable, found.fraud_type) == (True, "made_with_stolen_card")
    assert not (await warnings.retrieve_async(late["id"])).actionable
    listed = await warnings.list_async({"payment_intent": paid.id})
    assert [warning.id for warning in listed.data] == [made["id"]]
    assert (await sandbox_shop.events()).count("radar.early_fraud_warning.created") == 2


@pytest.mark.parametrize("reason", ["approved", "refunded_as_fraud"])
async def test_a_review_opens_and_closes_once(sandbox_shop: Shop, reason: str) -> None:
    """Fails without `refused` in `fraud.close_review`, and without `review` of the charge."""
    paid = await sandbox_shop.pay()
    opened = await sandbox_shop.control("POST", "reviews", {"charge": paid.latest_charge})
    charge = await sandbox_shop.v1.charges.retrieve_async(paid.latest_charge)
    assert charge.review == opened["id"]
    reviews = sandbox_shop.v1.reviews
    assert (await reviews.retrieve_async(opened["id"])).open
    assert [review.id for review in (await reviews.list_async({})).data] == [opened["id"]]
    if reason == "approved":
        await reviews.approve_async(opened["id"])
    else:
        await sandbox_shop.control("POST", "reviews", {"review": opened["id"], "reason": reason})
    closed = await reviews.retrieve_async(opened["id"])
    assert (closed.open, closed.closed_reason) == (False, reason)
    assert (await reviews.list_async({})).data == []
    charge = await sandbox_shop.v1.charges.retrieve_async(paid.latest_charge)
    assert charge.review is None
    assert (await refusal(reviews.approve_async(opened["id"]))).http_status == 400
    events = [event for event in await sandbox_shop.events() if event.startswith("review")]
    assert events == ["review.opened", "review.closed"]


async def test_only_a_refund_that_waits_for_the_customer_is_canceled(sandbox_shop: Shop) -> None:
    """Fails without the state in `refunds.cancel`, and without `_return_money` there."""
    paid, refunds = await sandbox_shop.pay(), sandbox_shop.v1.refunds
    await sandbox_shop.fault(refund="usd", requires_action=True)
    waiting = await refunds.create_async({"payment_intent": paid.id, "amount": 4_000})
    assert waiting.status == "requires_action"
    assert (await refunds.cancel_async(waiting.id)).status == "canceled"
    charge = await sandbox_shop.v1.charges.retrieve_async(paid.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert await sandbox_shop.available() == 9_680
    done = await refunds.create_async({"payment_intent": paid.id})
    for id in (waiting.id, done.id):
        error = await refusal(refunds.cancel_async(id))
        assert "requires_action" in str(error.user_message)


async def test_files_are_evidence_in_a_dispute(sandbox_shop: Shop) -> None:
    """Fails without `FILE_EVIDENCE` in `disputes.UPDATE`: a field takes the id of an upload."""
    paid = await sandbox_shop.pay()
    made = await sandbox_shop.control("POST", "disputes", {"charge": paid.latest_charge})
    id, disputes = made["dispute"]["id"], sandbox_shop.v1.disputes
    file = await upload(sandbox_shop)
    assert (file.filename, file.type, file.size) == ("receipt.pdf", "pdf", 8)
    listed = await sandbox_shop.v1.files.list_async({"purpose": "dispute_evidence"})
    assert [each.id for each in listed.data] == [file.id]
    assert (await sandbox_shop.v1.files.retrieve_async(file.id)).purpose == "dispute_evidence"
    unknown = disputes.update_async(id, {"evidence": {"receipt": "file_none"}})
    assert (await refusal(unknown)).code == "resource_missing"
    given: Any = {"evidence": {"receipt": file.id}, "submit": False}
    changed = await disputes.update_async(id, given)
    assert changed.evidence.receipt == file.id
    assert changed.evidence_details.submission_count == 0


async def test_uploads_have_a_type_a_size_and_a_key(sandbox_shop: Shop) -> None:
    """Fails without the checks of `files.create`, and without the digest in the fingerprint of the
    request."""
    assert (await refusal(upload(sandbox_shop, "words.txt"))).param == "file"
    plain = await sandbox_shop.send(
        "POST", "/v1/files", {"purpose": "dispute_evidence", "file": "words"}
    )
    assert plain["error"]["param"] == "file"
    first = await upload(sandbox_shop, idempotency_key="once")
    assert (await upload(sandbox_shop, idempotency_key="once")).id == first.id
    other = await refusal(upload(sandbox_shop, "other.pdf", idempotency_key="once"))
    assert other.http_status == 400
