"""The check of the books at the end of a test of money finds what it is for."""

import pytest

from tests.support.clean_books import check_books


@pytest.mark.books_differ("the check is tried on a difference")
async def test_a_test_that_leaves_a_difference_fails(work):
    """Guard: `clean_books.check_books`: clean books pass, and a difference that stays fails."""
    await work.market.settled()
    await check_books(work.server)
    payments = work.server.store.database["payments"]
    await payments.update_one({}, {"$set": {"refunded_amount": 1}})
    with pytest.raises(AssertionError, match="the books differ"):
        await check_books(work.server)
