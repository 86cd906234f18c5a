"""Users are notified of what happens to their own money, and of no other's."""

import re
from datetime import timedelta

from domain.accounts.user import User
from domain.fulfillment import auto_completion
from domain.payouts import account_state
from domain.ports.payment_gateway import ConnectAccount
from tests.domain.notifications.reading import FENCE, listed, titles
from tests.support.databases import needs
from tests.support.job_in_progress import TIMEOUT, JobInProgress

THREE = [
    {"title": title, "amount": amount}
    for title, amount in (("Sand", 50_000), ("Prime", 30_000), ("Paint", 20_000))
]


# -- a deal ------------------------------------------------------------------------------------


async def test_a_deal_notifies_both_sides(market, smtp):
    """Guard: `notices.queue_notifications` before each commit; without it no notice is sent.

    Guard: `own` in the templates; without it users get mails about their own actions."""
    contractor = await market.contractor()
    await market.onboard(contractor)
    deal = await market.accepted_job(contractor=contractor)
    await market.start(deal.contractor, deal.job)
    await market.deliver(deal.contractor, deal.job)
    await market.complete(deal.customer, deal.job)
    await market.settled(TIMEOUT)
    await market.withdraw(deal.contractor, 70_000)
    await deal.contractor.push(
        "/account", "notification", lambda notice: notice["kind"] == "withdrawal_paid", TIMEOUT
    )
    assert await titles(market, deal.customer) == [
        f"Your offer for {FENCE} was sent",
        f"Your offer for {FENCE} was accepted",
        f"The work on {FENCE} was delivered",
        f"{FENCE} is completed",
    ]
    assert smtp.subjects(deal.customer) == [
        f"Your offer for {FENCE} was accepted",
        f"The work on {FENCE} was delivered",
    ]
    assert await titles(market, deal.contractor) == [
        "Payouts are set up",
        f"You have an offer of 1,000.00 USD for {FENCE}",
        f"{FENCE} is yours: you can start",
        f"You delivered the work on {FENCE}",
        f"{FENCE} is completed",
        "700.00 USD arrived at your bank",
    ]
    assert smtp.subjects(deal.contractor) == [
        "Payouts are set up",
        f"You have an offer of 1,000.00 USD for {FENCE}",
        f"{FENCE} is yours: you can start",
        f"{FENCE} is completed",
        "700.00 USD arrived at your bank",
    ]
    [letter] = [each for each in smtp.mails_to(deal.customer) if "delivered" in each.subject]
    assert "Hello Carla Customer," in letter.text
    assert re.search(
        r"Without an objection it is completed on \d+ \w+ \d{4}, \d\d:\d\d UTC", letter.text
    )
    assert f"{market.settings.public_url}/jobs/{deal.job['id']}" in letter.text
    assert {letter.to for letter in smtp.mails} == {deal.customer.email, deal.contractor.email}


async def test_a_notice_is_pushed_with_a_number_of_the_feed(negotiation):
    """Guard: `uow.publish(NOTIFICATION, ..., to=[user])`; with a room it could be missed."""
    offer = await negotiation.pending_offer()
    pushed = await negotiation.contractor.pushed("/account", "notification")
    assert isinstance(pushed.seq, int)
    assert pushed.data == {
        "kind": "offer_created",
        "title": f"You have an offer of 1,000.00 USD for {FENCE}",
        "text": pushed.data["text"],
        "subject_id": offer["id"],
        "own": False,
        "path": f"/jobs/{negotiation.job['id']}",
        "at": pushed.data["at"],
    }
    own = await negotiation.customer.push("/account", "notification")
    assert (own["own"], own["title"]) == (True, f"Your offer for {FENCE} was sent")


async def test_a_rival_gets_no_notice_of_the_deal(market, smtp):
    """Guard: `for user in event.to` in `notices._render`; with a room or a wider audience the
    rival would get the winner's notices."""
    customer, winner, rival = (
        await market.customer(),
        await market.contractor(),
        await market.contractor("Rita Rival"),
    )
    job = await market.job(customer)
    for contractor in (winner, rival):
        await market.application(contractor, job)
    await market.offer(customer, rival, job, 90_000)
    await market.accept(winner, await market.offer(customer, winner, job))
    await market.settled(TIMEOUT)
    assert smtp.subjects(rival) == [
        f"You have an offer of 900.00 USD for {FENCE}",
        f"The offer for {FENCE} is closed",
    ]
    assert not [each for each in smtp.mails_to(rival) if "1,000.00" in each.text + each.subject]
    assert not [each for each in smtp.mails_to(winner) if "900.00" in each.text + each.subject]


ANSWERS = [
    # (who, event, fields, mailed, listed_only)
    (
        "contractor",
        "reject",
        {},
        f"Your offer for {FENCE} was declined",
        f"You declined the offer for {FENCE}",
    ),
    (
        "customer",
        "withdraw",
        {},
        f"The offer for {FENCE} was withdrawn",
        f"You withdrew the offer for {FENCE}",
    ),
    (
        "contractor",
        "counter",
        {"amount": 120_000},
        f"A counter-offer of 1,200.00 USD for {FENCE}",
        f"Your counter-offer of 1,200.00 USD for {FENCE} was sent",
    ),
]


@needs("freed keys")
async def test_the_other_side_gets_the_mail(negotiation, smtp):
    """Guard: `side_of` and `own`; mixed up, the wrong one gets the mail."""
    for who, event, fields, mailed, listed_only in ANSWERS:
        offer = await negotiation.pending_offer()
        people = {"customer": negotiation.customer, "contractor": negotiation.contractor}
        actor = people.pop(who)
        [other] = people.values()
        await actor.call("/bidding", event, {"offer_id": offer["id"], **fields})
        assert (await titles(negotiation.market, actor))[-1] == listed_only
        assert (await titles(negotiation.market, other))[-1] == mailed
        assert smtp.subjects(other)[-1] == mailed
        assert listed_only not in smtp.subjects(actor)


# -- payments that fail ------------------------------------------------------------------------


async def test_only_the_customer_learns_why_a_card_was_declined(negotiation, smtp):
    """Guard: `side is not Side.CUSTOMER` in `payment_updated`; and the rank of its notice, else
    the notice of `offer.failed` would replace the reason."""
    await negotiation.create_offer("pm_card_chargeDeclinedInsufficientFunds")
    [notice] = await listed(negotiation.market, negotiation.customer)
    assert notice["title"] == f"The payment for {FENCE} did not go through"
    assert notice["text"].splitlines() == [
        "There is not enough money on the card.",
        "The offer of 1,000.00 USD has ended, and nothing was taken.",
        "Make the offer again, if necessary with another card.",
    ]
    assert smtp.subjects(negotiation.customer) == [notice["title"]]
    assert await listed(negotiation.market, negotiation.contractor) == []


async def test_a_failed_capture_notifies_both_and_gives_one_the_reason(negotiation, smtp):
    """Guard: `offer_failed` for the contractor, which has no reason; with the payment's own text
    the contractor would read the customer's decline code."""
    offer = await negotiation.pending_offer()
    await negotiation.sandbox.fault(path="/v1/payment_intents/*/capture", status=402)
    await negotiation.accept(offer)
    await negotiation.wait_for_push(negotiation.contractor, "offer.failed", offer)
    [customers] = await listed(negotiation.market, negotiation.customer, "payment_failed")
    [contractors] = await listed(negotiation.market, negotiation.contractor, "offer_failed")
    assert customers["text"].startswith("Your bank declined the card.")
    assert "please do not begin the work" in contractors["text"]
    assert "bank" not in contractors["text"] and "card" not in contractors["text"]
    assert contractors["title"] in smtp.subjects(negotiation.contractor)


async def test_an_unfinished_payment_is_listed_once_and_not_mailed(negotiation, smtp):
    """Guard: `fact` of `payment_unfinished`; each read from Stripe publishes the payment again."""
    answer = await negotiation.create_offer("pm_card_authenticationRequired")
    for _ in range(2):
        fields = {"payment_id": answer["payment"]["id"]}
        await negotiation.customer.call("/payment", "confirm", fields)
    assert await titles(negotiation.market, negotiation.customer) == [
        f"Finish the payment for {FENCE}"
    ]
    assert smtp.mails == []


# -- the work, refunds, disputes, chargebacks --------------------------------------------------


async def test_parts_of_the_work_are_named(market, server, smtp):
    """Guard: `_part`, and `happened_now` in `offer_updated`; without that every later change of the
    offer would notify of the first milestone again."""
    work = await JobInProgress(market, server).start(milestones=THREE)
    await market.settled(TIMEOUT)
    smtp.mails.clear()
    await work.deliver(milestone=2)
    await work.complete(milestone=2)
    await work.deliver()
    await work.complete()
    await market.settled(TIMEOUT)
    part = f"“Prime” of {FENCE}"
    assert smtp.subjects(work.customer) == [
        f"The work on {part} was delivered",
        f"The work on “Sand”, “Paint” of {FENCE} was delivered",
    ]
    assert smtp.subjects(work.contractor) == [f"{part} is completed", f"{FENCE} is completed"]
    assert "It was agreed at 300.00 USD" in smtp.mails_to(work.contractor)[0].text


async def test_automatic_completion_sends_its_own_notice_only(work, smtp):
    """Guard: `_direct_mark` in `Notify._marks`: a direct notice replaces the template's notice."""
    await work.deliver()
    for days in (6, 1):
        await work.market.settled()
        await work.pass_time(timedelta(days=days))
        await auto_completion.announce_due(work.server.ports)
    await work.market.settled()
    await auto_completion.complete_due(work.server.ports)
    kinds = [notice["kind"] for notice in await listed(work.market, work.customer)]
    assert kinds[-3:] == ["delivered", "completes_soon", "completed_by_itself"]
    assert "Paint the fence: completed" in smtp.subjects(work.customer)
    assert f"{FENCE} is completed" in smtp.subjects(work.contractor)


async def test_each_refund_sends_its_own_notice(work, smtp):
    """Guard: the `fact` of `_refund_notice` has its id and state; with the offer's id alone the
    second refund would send none, and without a fact the first would send two."""
    for amount in (30_000, 20_000):
        await work.refund(amount)
        await work.market.settled(TIMEOUT)
    await work.complete()
    notices = await listed(work.market, work.customer, "refund_made")
    assert [notice["title"] for notice in notices] == [
        f"300.00 USD for {FENCE} is on its way back to you",
        f"200.00 USD for {FENCE} is on its way back to you",
    ]
    notices = await listed(work.market, work.contractor, "refund_made")
    assert [notice["title"] for notice in notices] == [
        f"300.00 USD for {FENCE} went back to the customer",
        f"200.00 USD for {FENCE} went back to the customer",
    ]


async def test_each_step_of_a_dispute_sends_a_notice(work, smtp):
    """Guard: `happened_now(data, proposal["at"])`; without it each step after a proposal is taken
    for the proposal, and the escalation sends no notice; and `own` by `opened_by` and
    `proposal.by`."""
    dispute = await work.open_dispute()
    id = {"dispute_id": dispute["id"]}
    smtp.mails.clear()
    await work.contractor.call("/payment", "dispute_say", {**id, "text": "It rained."})
    proposal = {**id, "refund_amount": 40_000}
    await work.customer.call("/payment", "dispute_propose", proposal)
    await work.contractor.call("/payment", "dispute_say", {**id, "text": "Hm."})
    await work.contractor.call("/payment", "dispute_escalate", id)
    await work.contractor.call("/payment", "dispute_agree", proposal)
    kinds = ("dispute_opened", "dispute_proposed", "dispute_escalated", "dispute_resolved")
    for person in (work.customer, work.contractor):
        notices = await listed(work.market, person, *kinds)
        assert [notice["kind"] for notice in notices] == list(kinds)
        assert [notice["own"] for notice in notices] == [
            person is work.customer,
            person is work.customer,
            person is work.contractor,
            False,
        ]
        assert notices[3]["text"] == (
            "400.00 USD goes back to the customer, 600.00 USD counts as completed work."
        )


async def test_a_chargeback_notifies_the_users_it_concerns(work, smtp):
    """Guard: `chargeback_updated`; and `always` with an own topic in `alert`."""
    admin = await work.market.admin()
    work._admin = admin
    chargeback = await work.open_chargeback()
    await work.decide_chargeback(chargeback, won=False)
    notices = await listed(work.market, work.contractor, "chargeback_open", "chargeback_lost")
    assert [notice["kind"] for notice in notices] == ["chargeback_open", "chargeback_lost"]
    kinds = [notice["kind"] for notice in await listed(work.market, work.customer)]
    assert "chargeback_open" in kinds and "chargeback_lost" not in kinds
    assert smtp.subjects(admin) == ["Alert: Chargeback open", "Alert: Chargeback lost"]
    assert not [each for each in smtp.mails_to(work.customer) if "disputes" in each.subject]


async def test_payouts_that_are_lost_and_come_back(market, server, smtp):
    """Guard: `payouts_changed_at` in `store_account_state`; without it another change of the
    profile would notify again, and the second loss would not."""
    contractor = await market.contractor()
    await market.onboard(contractor)
    user = await server.store.single().get(User, contractor.id)
    account = ConnectAccount(user.connect_id, True, True, user.payout_currencies)
    for enabled in (False, True, False):
        there = ConnectAccount(account.id, True, enabled, account.currencies)
        await server.store.transact(
            lambda uow, there=there: account_state.store_account_state(uow, there)
        )
        await contractor.call("/account", "update", {"headline": f"Fences {enabled}"})
    possible, lost = "Payouts are set up", "Payouts have stopped"
    assert await titles(market, contractor) == [possible, lost, possible, lost]
    assert sorted(smtp.subjects(contractor)) == sorted([possible, lost, possible, lost])
