"""The sandbox answers as Stripe's test mode was recorded to answer."""

from __future__ import annotations

import pytest

from .conftest import Shop
from .recordings import cards, disputes, errors, intents, refunds, saved_cards, transfers
from .recordings.replay import Recording, replay

RECORDINGS: tuple[Recording, ...] = (
    *cards.TABLE,
    *intents.TABLE,
    *saved_cards.TABLE,
    *refunds.TABLE,
    *disputes.TABLE,
    *transfers.TABLE,
    *errors.TABLE,
)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
async def test_the_sandbox_answers_as_recorded(sandbox_shop: Shop, recording: Recording) -> None:
    """Guard: server.dev.stripe_sandbox. Each row has the cassette that it comes from."""
    await replay(recording, sandbox_shop)


def test_the_recordings_cover_every_kind_of_money() -> None:
    """At least 100 exchanges, over intents, captures, refunds, disputes, payouts, transfers and
    reversals."""
    assert sum(recording.rows for recording in RECORDINGS) >= 100
    names = [recording.name for recording in RECORDINGS]
    assert len(set(names)) == len(names)
    paths = {step.path for recording in RECORDINGS for step in recording.steps if step.facts}
    for part in ("/capture", "/refunds", "/disputes", "/payouts", "/transfers", "/reversals"):
        assert any(part in path for path in paths), part
