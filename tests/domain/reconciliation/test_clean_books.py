"""The check of the books at the end of a test of money finds what it is for."""

from datetime import timedelta

import pytest

from domain.kernel.outbox import Lane, OutboxRow
from tests.support.clean_books import check_books


@pytest.mark.books_differ("the check is tried on a difference")
async def test_a_test_that_leaves_a_difference_fails(work):
    """Guard: `clean_books.check_books`: clean books pass, and a difference that stays fails, unless
    a task that waits names its subject."""
    await work.market.settled()
    await check_books(work.server)
    payments = work.server.store.database["payments"]
    await payments.update_one({}, {"$set": {"refunded_amount": 1}})
    with pytest.raises(AssertionError, match="the books differ"):
        await check_books(work.server)
    payment, uow = await work.stored_payment(), work.server.store.single()
    later = uow.now + timedelta(hours=1)
    task = {"lane": Lane.STRIPE, "body": {"type": "send_refund", "offer_id": payment.offer_id}}
    row = uow.new(OutboxRow, owner="", lease_until=later, subject="ofr_other", **task)
    await uow.add(row)
    with pytest.raises(AssertionError, match="the books differ"):
        await check_books(work.server)
    await uow.change(OutboxRow, row.id, subject=payment.id)
    await check_books(work.server)
    await uow.remove(OutboxRow, {"_id": row.id})
