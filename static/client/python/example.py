"""The whole story of a job, from posting to payout, against the sandbox of `make run`.

python example.py [http://127.0.0.1:8080]
"""

import asyncio
import sys
from uuid import uuid4

from aiohttp import ClientSession
from jobsphere import Client

PASSWORD = "a long walk along the river"
CARLA, COLIN = (f"{uuid4()}@example.com" for _ in range(2))
AMOUNT = 100_000  # cents


async def story(url: str) -> None:
    async with Client(url) as carla, Client(url) as colin:
        await carla.register(email=CARLA, password=PASSWORD, name="Carla", role="customer")
        await colin.register(email=COLIN, password=PASSWORD, name="Colin", role="contractor")
        offers = colin.bidding.pushes("offer.created", "offer.accepted")
        wallet = colin.wallet.pushes("wallet.updated")
        payouts = colin.wallet.pushes("withdrawal.updated")
        await onboard(colin)

        job = await carla.job.create(
            title="Paint the fence",
            description="Twelve metres of wood, two coats.",
            category="painting",
            budget_min_amount=AMOUNT // 2,
            budget_max_amount=AMOUNT,
            currency="USD",
        )
        application = await colin.job_request.apply(
            job_id=job["id"], cover_letter="I can.", proposed_amount=AMOUNT, timeline_days=5
        )
        await carla.job_request.accept(application_id=application["id"])

        talk = await carla.chat.open(job_id=job["id"], user_id=colin.id)
        messages = colin.chat.pushes("message")
        await carla.chat.send(conversation_id=talk["id"], text="Can you come on Monday?")
        print("Colin reads:", (await messages.first(lambda m: m["author_id"] == carla.id))["text"])

        made = await carla.bidding.create(
            job_id=job["id"],
            contractor_id=colin.id,
            amount=AMOUNT,
            currency="USD",
            description="As discussed.",
            timeline_days=5,
            payment_method="pm_card_visa",
        )
        offer = await offers.first(lambda o: o["id"] == made["offer"]["id"])
        await colin.bidding.accept(offer_id=offer["id"])
        await offers.first(lambda o: o["status"] == "accepted")  # now the money is captured
        await colin.job.start(job_id=job["id"])
        await colin.job.deliver(job_id=job["id"], note="Two coats, and the gate as well.")
        done = await carla.job.complete(job_id=job["id"])
        print("The split:", done["split"])
        share = done["split"]["contractor_amount"]
        await wallet.first(lambda wallet: wallet["available"] == share)
        await colin.wallet.withdraw(amount=share, currency="USD")
        paid = await payouts.first(lambda payout: payout["status"] == "paid")
        print("Paid out:", paid["amount"], paid["currency"])


async def onboard(contractor: Client) -> None:
    """Fill in the sandbox's page of Stripe's onboarding, as a person would."""
    ready = contractor.account.pushes("account.updated")
    link = await contractor.account.onboard()
    form = {"name": "Colin", "bank_account": "000123456789", "currencies": "usd"}
    page = link["url"] or "Stripe did not answer in time"
    async with ClientSession() as web, web.post(page, data=form, allow_redirects=False):
        await ready.first(lambda user: user["payouts_enabled"] and user["transfers_active"])


if __name__ == "__main__":
    asyncio.run(story(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"))
