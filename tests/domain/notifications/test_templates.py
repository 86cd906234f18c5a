"""All templates: every event, state and side, also with fields missing."""

import pytest

from domain.notifications.templates.alerts import capture_failure
from domain.notifications.templates.catalog import TEMPLATES
from domain.notifications.templates.payments import DECLINES
from domain.notifications.text import Side, one_line

AT = "2026-03-05T14:00:00Z"
EVIL = "Fence\r\nBcc: eve@evil.test\u202e\x00" + "x" * 200
COMPLETE = {
    "id": "x_1",
    "version": 3,
    "updated_at": AT,
    "job_id": "job_1",
    "job_title": EVIL,
    "title": EVIL,
    "customer_id": "usr_c",
    "contractor_id": "usr_w",
    "offer_id": "ofr_1",
    "amount": 100_000,
    "currency": "USD",
    "failure": "stolen_card",
    "accepted_at": AT,
    "milestones": [
        {"title": EVIL, "amount": 1, "status": "delivered", "delivered_at": AT},
        {"title": "Other", "amount": 2, "status": "pending"},
    ],
    "refunds": [{"id": "rfd_1", "amount": 5, "status": "made", "completed_amount": 2}],
    "proposal": {"by": "usr_c", "at": AT, "refund_amount": 7},
    "opened_by": "usr_w",
    "counter": {"amount": 9, "note": EVIL},
    "answer_by": AT,
    "expires_at": AT,
    "reason": EVIL,
    "delivered_at": AT,
    "frozen_at": AT,
    "kind": EVIL,
    "subject": "x",
    "message": "Look.",
}
STATES = (
    "open",
    "proposed",
    "escalated",
    "resolved",
    "won",
    "lost",
    "inquiry",
    "failed",
    "paid",
    "requires_payment",
    "in_progress",
    "captured",
)


@pytest.mark.parametrize("event", TEMPLATES)
def test_texts_are_short_printable_and_reveal_no_private_reason(event):
    """Guard: `one_line`; without it a job's title could break a header, or fill a page. Guard:
    `DECLINES.get`; with Stripe's own code the text would accuse the customer."""
    for status in STATES:
        for side in Side:
            found = TEMPLATES[event](COMPLETE | {"status": status}, side) or ()
            for notice in found if isinstance(found, (list, tuple)) else [found]:
                assert notice.title.isprintable() and len(notice.title) <= 220, notice.title
                assert 1 <= len(notice.text.splitlines()) <= 4
                if event.startswith("/payment"):
                    assert "stolen" not in notice.title + notice.text
                assert notice.subject_id and notice.path.startswith("/")
                if side is Side.CONTRACTOR and event != "/wallet withdrawal.updated":
                    assert "card" not in notice.text, (event, notice.text)


@pytest.mark.parametrize("event", TEMPLATES)
def test_templates_render_with_missing_fields(event):
    """Guard: `.get`: a field added by a later version is missing in events of an earlier one."""
    names = "id job_id customer_id contractor_id amount currency updated_at kind"
    least = {name: COMPLETE[name] for name in names.split()}
    for status in STATES:
        for side in Side:
            TEMPLATES[event](least | {"status": status}, side)


def test_every_decline_is_a_sentence():
    """Guard: the table has sentences, not codes."""
    assert all(text.endswith(".") and "_" not in text for text in DECLINES.values())
    message = capture_failure("A\nB", 100_000, "USD", "expired_card")
    assert message.startswith("1,000.00 USD for “A B” could not be captured")
    assert one_line("a\r\n b\x00" + "c" * 90, 10) == "a b ccccc…"
