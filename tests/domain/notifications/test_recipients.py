"""Each booking in the journal notifies the users it concerns."""

import ast
import re
from datetime import timedelta
from pathlib import Path

import pytest

import domain
from domain.accounts.user import User
from domain.notifications.templates.catalog import TEMPLATES
from domain.notifications.text import Notice, Side
from domain.payouts.transfer import Transfer
from tests.domain.notifications.reading import FENCE, listed
from tests.domain.notifications.test_templates import AT, COMPLETE
from tests.support.job_in_progress import TIMEOUT, JobInProgress

CUSTOMER, CONTRACTOR, SELF = Side.CUSTOMER, Side.CONTRACTOR, Side.SELF
OFFER, CHARGEBACK, WITHDRAWAL = (
    "/bidding offer.updated",
    "/payment chargeback.updated",
    "/wallet withdrawal.updated",
)


def both(kind):
    return {CUSTOMER: kind, CONTRACTOR: kind}


def refund(status):
    return {"milestones": [], "refunds": [{"id": "rfd_1", "amount": 5, "status": status}]}


# A booking's kind: the event published with it, fields of the event, the notice for each side.
BY_EVENT = {
    "captured": ("/bidding offer.created", {}, both("offer_created")),
    "accepted": ("/bidding offer.accepted", {}, both("offer_accepted")),
    "completed": ("/job job.updated", {"completed_at": AT}, both("completed")),
    "resolved": ("/payment dispute.updated", {"status": "resolved"}, both("dispute_resolved")),
    "refunded": (OFFER, refund("made"), both("refund_made")),
    "refund_failed": (OFFER, refund("failed"), both("refund_failed")),
    "refund_released": (OFFER, refund("failed"), both("refund_failed")),
    "chargeback_opened": (CHARGEBACK, {"status": "open"}, both("chargeback_open")),
    "chargeback_won": (CHARGEBACK, {"status": "won"}, {CONTRACTOR: "chargeback_won"}),
    "chargeback_undone": (CHARGEBACK, {"status": "won"}, {CONTRACTOR: "chargeback_won"}),
    "chargeback_freed": (CHARGEBACK, {"status": "lost"}, {CONTRACTOR: "chargeback_lost"}),
    "chargeback_lost": (CHARGEBACK, {"status": "lost"}, {CONTRACTOR: "chargeback_lost"}),
    "withdrawn": (WITHDRAWAL, {"status": "requested"}, {}),  # they did it themselves
    "paid_out": (WITHDRAWAL, {"status": "paid"}, {SELF: "withdrawal_paid"}),
    "payout_failed": (WITHDRAWAL, {"status": "failed"}, {SELF: "withdrawal_failed"}),
}
# No event carries these: their owner is notified directly, see below.
DIRECTLY = {
    "adjusted",
    "chargeback_held",
    "corrected",
    "debt_repaid",
    "refund_reserved",
    "refund_paid_otherwise",
    "refund_undone",
    "stranded",
    "stranded_returned",
    "transfer_returned",
    "transfer_settled",
}
OF_THE_PLATFORM = {
    "stripe_fee",
    "stripe_other_fee",
    "chargeback_fee",
    "platform_withdrew",
    "converted",
    "line_assigned",
}
OF_NOBODY_ANY_MORE = {"remainder_given_up", "written_off"}  # of accounts that have ended
# Of a second charge: the customer is notified when it is found.
OF_DUPLICATES = {"duplicate_charged", "duplicate_refunded", "duplicate_returned"}


def test_every_booking_has_a_recipient():
    """Guard: these tables; a kind of booking that notifies no user is in none of them."""
    booking = re.compile(r"_?(re)?book(_\w+)?|_release_hold")
    calls = [
        node
        for path in Path(domain.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and booking.fullmatch(getattr(node.func, "attr", getattr(node.func, "id", "")))
    ]
    kinds = {
        argument.value
        for call in calls
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    assert (
        kinds == BY_EVENT.keys() | DIRECTLY | OF_THE_PLATFORM | OF_NOBODY_ANY_MORE | OF_DUPLICATES
    )


@pytest.mark.parametrize("booking", BY_EVENT)
def test_a_booking_notifies_the_sides_it_concerns(booking):
    """Guard: the entries of `TEMPLATES`; a side without an entry is not notified about its
    money."""
    event, fields, expected = BY_EVENT[booking]
    sides = (SELF,) if event == WITHDRAWAL else (CUSTOMER, CONTRACTOR)
    data = {**COMPLETE, "delivered_at": None, **fields}
    rendered = {side: TEMPLATES[event](data, side) for side in sides}
    kinds = {
        side: (found if isinstance(found, Notice) else found[0]).kind
        for side, found in rendered.items()
        if found
    }
    assert kinds == expected


def test_an_inquiry_of_a_bank_and_its_end_send_notices():
    """Guard: `inquiry` and `closed` in `chargeback_updated`; a user who was notified that money
    is frozen would never learn that it is released."""
    for status in ("inquiry", "closed"):
        notice = TEMPLATES[CHARGEBACK](COMPLETE | {"status": status}, CONTRACTOR)
        assert notice.kind == f"chargeback_{status}"
        assert TEMPLATES[CHARGEBACK](COMPLETE | {"status": status}, CUSTOMER) is None


# -- notified directly -----------------------------------------------------------------------------


async def texts(work, *kinds):
    notices = await listed(work.market, work.contractor, *kinds)
    return [(notice["kind"], notice["title"], notice["path"]) for notice in notices]


async def test_the_owner_is_notified_of_debts_repayments_and_adjustments(completed_work, smtp):
    """Guard: `notices.notify` in `wallet_actions.adjust`, `allocation.claw_back`,
    `allocation.allocate` and `reversals.collect_debt`; without it money comes and goes without a
    word."""
    user = {"user_id": completed_work.contractor.id, "currency": "USD", "reason": "Counted twice"}
    await completed_work.as_admin("adjust", **user, amount=-20_000)
    await completed_work.withdraw(50_000)
    await completed_work.as_admin("adjust", **user, amount=-10_000)
    await completed_work.as_admin("adjust", **user, amount=15_000)
    assert await texts(completed_work, "wallet_adjusted", "debt_due", "debt_repaid") == [
        ("wallet_adjusted", "200.00 USD was taken from your wallet", "/wallet"),
        ("debt_due", "You owe 100.00 USD", "/wallet"),
        ("wallet_adjusted", "100.00 USD was taken from your wallet", "/wallet"),
        ("debt_repaid", "100.00 USD of your money paid what you owed", "/wallet"),
        ("wallet_adjusted", "150.00 USD was added to your wallet", "/wallet"),
    ]
    assert "You owe 100.00 USD" in smtp.subjects(completed_work.contractor)
    assert not [letter for letter in smtp.mails if "Counted twice" in letter.text]


async def test_the_owner_is_notified_of_reversals_made_at_stripe(completed_work):
    """Guard: `notices.notify` in `external_reversals.settle_external_reversal`,
    `wallet_actions.release` and `transfer_tasks._unlink_closed_account`, and `payouts_changed_at`
    there."""
    await completed_work.as_admin("overview")
    (made,) = await completed_work.stripe_list("transfers")
    await completed_work.sandbox.api("POST", f"transfers/{made['id']}/reversals", amount=30_000)
    await completed_work._admin.push(
        "/admin", "alert", lambda a: a["kind"] == "transfer_reversed", TIMEOUT
    )
    (parked,) = await completed_work.market.rows(Transfer, status="parked")
    await completed_work.as_admin("release", transfer_id=parked.id, reason="Clarified")
    await completed_work.market.settled(TIMEOUT)
    user = await completed_work.server.store.single().get(User, completed_work.contractor.id)
    await completed_work.sandbox.close_account(user.connect_id)
    await completed_work._admin.push(
        "/admin", "alert", lambda a: a["kind"] == "account_closed", TIMEOUT
    )
    assert await texts(
        completed_work, "transfer_reversed", "transfer_released", "account_closed"
    ) == [
        ("transfer_reversed", "300.00 USD of your wallet is held back", "/wallet"),
        ("transfer_released", "300.00 USD is on its way to your wallet again", "/wallet"),
        ("account_closed", "Your account at Stripe was closed", "/wallet"),
    ]
    assert await texts(completed_work, "payouts_lost") == []
    after = await completed_work.server.store.single().get(User, completed_work.contractor.id)
    assert after.payouts_changed_at > user.payouts_changed_at


async def test_delayed_money_sends_a_notice_when_it_arrives(market, server):
    """Guard: `NOTIFY_AFTER` in `transfer_tasks.make_available`; what arrives with the completion is
    not notified of twice, but this completion was long ago."""
    work = await JobInProgress(market, server).start(onboarded=False)
    await work.complete()
    await market.settled(TIMEOUT)
    (transfer,) = await market.rows(Transfer)
    yesterday = transfer.created_at - timedelta(days=1)
    await server.store.single().change(Transfer, transfer.id, created_at=yesterday)
    await market.onboard(work.contractor)
    notice = await work.contractor.push(
        "/account", "notification", lambda n: n["kind"] == "money_arrived", TIMEOUT
    )
    assert notice["title"] == "700.00 USD is in your wallet now"
    later = await JobInProgress(market, server).start_and_complete(
        customer=work.customer, contractor=work.contractor
    )
    assert await later.wallet("available") == (140_000,)
    assert len(await texts(later, "money_arrived")) == 1


# -- administrators, where a payment failed ------------------------------------------------------


async def test_a_failed_payout_alerts_administrators(completed_work, smtp):
    """Guard: the alert in `withdrawals.settle_withdrawal`; the contractor is notified too."""
    await completed_work.as_admin("overview")
    await completed_work.sandbox.fault(payout="usd", failure_code="account_closed")
    await completed_work.market.withdraw(completed_work.contractor, 70_000)
    alert = await completed_work._admin.push("/admin", "alert", lambda a: True, TIMEOUT)
    assert (alert["kind"], alert["urgent"]) == ("payout_failed", True)
    assert "700.00 USD" in alert["message"] and "account closed" in alert["message"]
    assert await texts(completed_work, "withdrawal_failed")
    assert smtp.subjects(completed_work._admin) == ["Alert: A withdrawal came back"]


async def test_a_declined_card_is_listed_for_administrators_and_not_mailed(negotiation, smtp):
    """Guard: `urgent=False` in `processing.settle_decline`; banks decline cards every day, and
    mails about them would hide those about what a user has to do."""
    admin = await negotiation.market.admin()
    answer = await negotiation.create_offer("pm_card_chargeDeclinedInsufficientFunds")
    alert = await admin.push("/admin", "alert", lambda a: True, TIMEOUT)
    assert alert == {
        "id": alert["id"],
        "kind": "payment_failed",
        "subject": answer["offer"]["id"],
        "urgent": False,
        "message": alert["message"],
    }
    assert "1,000.00 USD" in alert["message"] and "insufficient funds" in alert["message"]
    (notice,) = await listed(negotiation.market, admin)
    assert (notice["title"], notice["own"]) == ("A payment failed", True)
    assert FENCE in notice["text"] and smtp.mails_to(admin) == []
