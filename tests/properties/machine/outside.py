"""Steps outside of our control: Stripe's dashboard, banks, and the network between Stripe and
us."""

import asyncio
from datetime import timedelta

from aiohttp import ClientError

from domain.deals.payment import Payment
from domain.payouts.transfer import Transfer
from tests.domain.stripe_events.test_webhooks import Post
from tests.properties.machine.people import People

PATHS = (
    "/v1/payment_intents",
    "/v1/payment_intents/*/capture",
    "/v1/payment_intents/*/cancel",
    "/v1/refunds",
    "/v1/transfers",
    "/v1/transfers/*/reversals",
    "/v1/payouts",
    "/v1/disputes/*",
)
REFUSAL = {"type": "invalid_request_error", "code": "refused_by_order", "message": "No."}
API_FAULTS = (
    {"status": 500},
    {"status": 500, "when": "after"},
    {"status": 409},
    {"drop": True},
    {"drop": True, "when": "after"},
    {"delay": 0.3},
    {"status": 429},
    {"status": 400, "error": REFUSAL},
    {"status": 402},
)
WEBHOOK_FAULTS = ({"drop": True}, {"duplicate": 3}, {"hold": True}, {"delay": 0.3})
BANK = ("dispute", "decide", "decide", "fail_refund", "settle_refund", "return", "short")
VERDICTS = ("won", "lost", "under_review", "needs_response")
MINUTE, HOUR, DAY = 60, 3600, 86_400
TIMES = (20, 20, 20, 11 * MINUTE, 11 * MINUTE, HOUR, 25 * HOUR, 3 * DAY + MINUTE, 8 * DAY)
MOST = 11 * DAY  # in one run: after that the relay counts attempts of unanswered tasks


class Outside(People):
    """The people's steps, plus those of Stripe, banks, network and processes."""

    def __init__(self, market, workers):
        super().__init__(market, workers)
        self.server = workers.server
        self.post = Post(self)
        self.passed = self.crashes = 0

    # -- Stripe's dashboard, and banks -----------------------------------------------------------

    async def dashboard(self, n, pick, share):
        """An administrator acts in Stripe's dashboard; Stripe refuses what is impossible."""
        event = ("capture", "cancel", "refund", "refund", "reverse", "reverse")[pick % 6]
        self.seen[f"dashboard {event}"] += 1
        ask = self._ask
        for payment in await self.found(Payment, job_id=self.pick(n)[0]):
            if intent := payment.intent_id:
                part = self.rounded(payment.amount, share, payment.currency)
                path = f"payment_intents/{intent}"
                if event == "capture":
                    await ask("POST", f"{path}/capture", amount_to_capture=part)
                elif event == "cancel":
                    await ask("POST", f"{path}/cancel")
                elif event == "refund":
                    await ask("POST", "refunds", payment_intent=intent, amount=part)
        if event == "reverse":
            await self._reverse(share)

    async def _reverse(self, share):
        made = await self.found(Transfer, stripe_id={"$gt": ""})
        for transfer in made[-1 - share % 2 :][:1]:
            part = self.rounded(transfer.amount, share, transfer.currency)
            await self._ask("POST", f"transfers/{transfer.stripe_id}/reversals", amount=part)

    async def bank(self, n, pick, share):
        """Cardholders dispute; banks decide, reverse decisions, and return money."""
        event = BANK[pick % len(BANK)]
        self.seen[f"bank {event}"] += 1
        if event == "decide":
            for dispute in await self._list("disputes", limit=1 + n % 2):
                if dispute["payment_intent"] in await self._intents():
                    closes = dispute["status"].startswith("warning") and pick % 2
                    verdict = "warning_closed" if closes else VERDICTS[share % 4]
                    await self.sandbox.move_dispute(dispute["id"], verdict)
        elif event == "short":
            ends = {"failure_code": "lost_or_stolen_card"} if share % 3 == 0 else {}
            await self.sandbox.fault(
                refund=self.pick(n)[2].lower(),
                pending_reason="insufficient_funds",
                delay=share * HOUR,
                times=1 + pick % 2,
                **ends,
            )
        elif event == "return":
            account = self.accounts[self.contractors[n % 2].id]
            for payout in await self._list("payouts", account, limit=2):
                if payout["status"] not in ("failed", "canceled"):
                    await self.sandbox.fail_payout(payout["id"])
        else:
            for payment in await self.found(Payment, job_id=self.pick(n)[0]):
                if payment.intent_id and payment.charge_id:
                    await self._by_the_bank(event, payment, share)

    async def _by_the_bank(self, event, payment, share):
        if event == "dispute":
            amount = self.rounded(payment.amount, share, payment.currency)
            body = {
                "charge": payment.charge_id,
                "inquiry": share % 7 == 0,
                **({"amount": amount} if share % 3 else {}),
            }
            await self._may("disputes", body)
            return
        for refund in await self._list("refunds", payment_intent=payment.intent_id, limit=1):
            status = "failed" if event == "fail_refund" else "succeeded"
            if refund["status"] in ("pending", "succeeded"):
                await self._may("refunds", {"refund": refund["id"], "status": status})

    async def _ask(self, method, path, account=None, **params):
        """The response of the sandbox; an injected fault may hit this call instead of ours."""
        try:
            return (await self.sandbox.attempt(method, path, account, **params))[1]
        except ClientError:
            return {}

    async def _list(self, path, account=None, **params):
        return (await self._ask("GET", path, account, **params)).get("data", [])

    async def _may(self, name, body):
        url = f"{self.sandbox.base}/_sandbox/{name}"
        headers = self.sandbox.control_headers
        async with self.sandbox._web.post(url, json=body, headers=headers) as response:
            assert response.status < 500, await response.text()

    async def _intents(self):
        return {payment.intent_id for payment in await self.found(Payment)}

    # -- faults ----------------------------------------------------------------------------------

    async def api_fault(self, n, pick, share):
        """The next calls of one kind fail, before or after their effect."""
        path, how = PATHS[n % len(PATHS)], API_FAULTS[pick % len(API_FAULTS)]
        if how.get("status") == 402 and not path.startswith("/v1/payment_intents"):
            how = API_FAULTS[0]
        method = "GET" if share % 5 == 0 and how.get("status", 500) not in (400, 402) else "POST"
        await self.sandbox.fault(
            path=path if method == "POST" else "/v1/*", method=method, times=1 + share % 2, **how
        )

    async def webhook_fault(self, n, pick, share):
        how = WEBHOOK_FAULTS[pick % len(WEBHOOK_FAULTS)]
        await self.sandbox.fault(webhook="*", times=1 + share % 8, **how)

    async def late_webhooks(self, n, pick, share):
        """Deliver the webhook events that were held back, in random order, some of them twice."""
        await self.sandbox.release_events(newest_first=pick % 2 == 1)
        for event in await self._list("events", limit=1 + n % 3):
            await self.post.send(event)

    async def crash(self, n, pick, share):
        """Crash one process, mostly during work; it may die together with its commit."""
        if (
            self.crashes < 8
        ):  # a row that kills its worker too often becomes a dead letter, as designed
            self.crashes += 1
            if pick % 3 == 0:
                self.workers.deafen()
                await self.deal(n, pick, share)
            await asyncio.sleep(share % 10 / 200)
            await self.workers.crash(n % 2)

    async def time(self, n, pick, share):
        if pick % 7 == 0:
            return await self.workers.set_clock(timedelta(seconds=(n + 1) % 2 * HOUR))
        seconds = TIMES[pick % len(TIMES)]
        if self.passed + seconds < MOST:
            self.passed += seconds
            await self.workers.pass_time(seconds)

    async def scheduled(self, n, pick, share):
        await self.workers.scheduled()

    async def wait_until_idle(self, n, pick, share):
        """Wait until nothing is in progress, as far as possible."""
        await self.workers.idle()
