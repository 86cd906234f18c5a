"""What goes wrong with the money of a job: disputes, chargebacks, refunds by administrators."""

from server.dev.seed import texts
from server.dev.seed.deal import Deal
from server.dev.seed.plans import Ending
from server.dev.seed.texts import TEXTS

EVIDENCE = (
    "The work was agreed in writing, delivered and approved by the cardholder in our system. The "
    "conversation of both sides and the signed delivery note are attached as text."
)


async def dispute(story: Deal) -> None:
    """The customer disputes the last part. Raises Over, DomainError."""
    plan, luck, world = story.plan, story.luck, story.world
    customer, contractor = story.customer, story.contractor
    await world.pause(plan.hours)
    reason = luck.choice(list(TEXTS.complaints))
    opened = await customer.call(
        "payment.dispute_open",
        job_id=story.job["id"],
        reason=reason,
        text=TEXTS.complaints[reason],
        milestone=plan.parts,
    )
    place = {"dispute_id": opened["id"]}
    await world.moments(10)
    evidence = [await customer.upload(plan.idea.picture)]
    text = "This is how it looks today."
    await customer.call("payment.dispute_evidence", **place, text=text, file_ids=evidence)
    if plan.ending is Ending.DISPUTED:
        return
    await world.pause(min(60, plan.hours))
    text = texts.line(TEXTS.defences, luck)
    await contractor.call("payment.dispute_say", **place, text=text)
    await world.moments(20)
    part = story.rounded(opened["amount"] * luck.choice((15, 20, 25, 30)) // 100)
    part = min(part, opened["amount"])
    text = "I would give back this much, and we part as friends."
    await contractor.call("payment.dispute_propose", **place, refund_amount=part, text=text)
    if plan.ending is Ending.PROPOSED:
        return
    await world.pause(min(60, plan.hours))
    if plan.ending is Ending.AGREED:
        await customer.call("payment.dispute_agree", **place, refund_amount=part)
        return
    await customer.call("payment.dispute_escalate", **place)
    if plan.ending is Ending.ESCALATED:
        return
    await world.pause(30)
    refund = story.rounded(opened["amount"] * luck.choice((25, 40, 50, 60)) // 100)
    await luck.choice(world.admins).call(
        "admin.resolve",
        **place,
        refund_amount=min(refund, opened["amount"]),
        reason=texts.line(TEXTS.decisions, luck),
    )


async def refund_later(story: Deal) -> None:
    """An administrator refunds a part of completed work. Raises Over, DomainError."""
    await story.world.pause(60)
    await story.luck.choice(story.world.admins).call(
        "admin.refund",
        payment_id=story.offer["payment_id"],
        amount=story.rounded(story.offer["amount"] * story.luck.choice((10, 15, 20)) // 100),
        reason="Goodwill: a part had to be done again by somebody else.",
    )


async def charge_back(story: Deal) -> None:
    """The customer's bank takes the money back, and may decide. Raises Over, DomainError."""
    world, plan, luck = story.world, story.plan, story.luck
    await world.pause(50)
    payment = await story.payment()
    reason = luck.choice(("fraudulent", "product_not_received", "product_unacceptable"))
    stripe_id = await world.sandbox.charge_back(payment.charge_id, reason)
    if plan.ending is Ending.CHARGED_BACK:
        return
    await world.pause(30)
    admin = luck.choice(world.admins)
    listed = await admin.call("payment.chargebacks", status="open", limit=100)
    mine = [found for found in listed["items"] if found["payment_id"] == payment.id]
    for found in mine:
        await admin.call(
            "admin.evidence",
            chargeback_id=found["id"],
            product_description=story.job["title"],
            uncategorized_text=EVIDENCE,
            submit=True,
        )
    await world.pause(90)
    won = plan.ending is Ending.CHARGEBACK_WON
    await world.sandbox.decide_chargeback(stripe_id, won=won)
