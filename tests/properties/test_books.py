"""Random sequences of deals leave books that agree with the rules and with Stripe."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.property_sizes import examples, size
from tests.support.random_deals import DealSimulation

STORY = (
    ("offer", "rival", "declined"),
    ("accept", "both_accept", "accept_or_take_back", "accept_or_cancel", "take_back", "reject"),
    ("start", "cancel"),
    ("complete", "complete_twice"),
    ("payout", "failing_payout"),
)
MOVES = tuple(move for chapter in STORY for move in chapter)
EXAMPLES = size(7, deep=34)


@st.composite
def scripts(draw):
    """A story up to a random point, in one of many orders, with random other steps in between."""
    chapters = STORY[: draw(st.sampled_from((5, 4, 3, 2, 1)))]
    moves = ["offer", *(draw(st.sampled_from(chapter)) for chapter in chapters)]
    extras = st.tuples(st.integers(0, 6), st.sampled_from(MOVES))
    for place, move in draw(st.lists(extras, max_size=2)):
        moves.insert(place, move)
    return [(move, draw(st.integers(1, 1000))) for move in moves]


deal = st.tuples(st.sampled_from(["USD", "JPY", "KWD"]), st.integers(0, 9999), scripts())
deals = st.sampled_from((1,) * 12 + (2, 2, 3, 4)).flatmap(
    lambda count: st.lists(deal, min_size=count, max_size=count)
)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_any_sequence_leaves_books_that_agree(monkeypatch, market, server):
    """Guards: `processing.accept_offer` books the fee, `refunds._settle_made` the difference of the
    holdings, `fulfillment.work.complete` runs once (`only_if={"completed_amount": 0}` and the job's
    state), `processing.close_offer` releases the payment, `allocation.allocate` transfers multiples
    of the step, `settle_withdrawal` books once. Without any of them the balances at Stripe differ
    from the journal.

    Hypothesis runs in a thread and passes each example to the event loop of the server.
    """
    # Each example appends to the same books.
    monkeypatch.setattr("server.adapters.stripe_gateway.WINDOW", 10)
    world = await DealSimulation(market, server).prepare()
    loop = asyncio.get_running_loop()
    seen = Counter()

    @examples(EXAMPLES, deep=EXAMPLES)
    @given(deals)
    def example(plan):
        for deal in asyncio.run_coroutine_threadsafe(world.play(plan), loop).result():
            seen.update(move for move, _ in deal.script)
            seen.update(deal.codes)
            seen["examples"] += 1 / len(plan)

    await asyncio.to_thread(example)
    assert round(seen["examples"]) >= EXAMPLES
