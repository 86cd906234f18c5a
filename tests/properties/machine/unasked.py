"""Steps that were not requested here: Stripe, banks and the owners of accounts move money by
themselves, suspect fraud, close accounts and change where money can go."""

import asyncio

from domain import ledger
from domain.accounts.user import User
from domain.deals.payment import MAX_SIGNALS, Payment
from domain.ledger.balances import Balance
from tests.properties.machine.outside import Outside
from tests.properties.machine.people import ROUTES
from tests.support.property_sizes import SEED

# Accounts that Stripe closes are played in the deep run only.
UNASKED = (
    *("sweep", "payout", "payout", "line", "line", "banks", "country"),
    *("warning", "review", "review_end", "decision"),
    *(("close", "reopen") if SEED else ()),
)
LINES = (-1, -1, 1)  # a bank takes more, or gives a part back
REVIEW_ENDS = ("approved", "approved", "refunded_as_fraud", "disputed")
UNREACHABLE = ("KP", "IR", "CU")
EVERY_BANK = ("usd", "jpy", "kwd")
BANKS = (EVERY_BANK, ("usd",), ("usd", "kwd"), ("jpy",))


class Unasked(Outside):
    """The steps of people, banks and network, plus those that only Stripe and strangers take."""

    async def unasked(self, n, pick, share):
        event = UNASKED[pick % len(UNASKED)]
        self.seen[f"unasked {event}"] += 1
        await getattr(self, f"_{event}")(n, pick, share)

    async def _sweep(self, n, pick, share):
        """Stripe pays out all that an account has available, by schedule or limit."""
        await self._may("sweeps", {"account": self.accounts[self.contractors[n % 2].id]})

    async def _payout(self, n, pick, share):
        """The owner of an account pays out a part of it in the dashboard."""
        account = self.accounts[self.contractors[n % 2].id]
        for part in (await self._ask("GET", "balance", account)).get("available", []):
            amount = self.rounded(part["amount"], share, part["currency"].upper())
            if 0 < amount <= part["amount"]:
                await self._ask(
                    "POST", "payouts", account, amount=amount, currency=part["currency"]
                )

    async def _line(self, n, pick, share):
        """A bank moves more money for a dispute, in any status."""
        ours = await self._intents()
        for dispute in await self._list("disputes", limit=3):
            if dispute["payment_intent"] in ours and dispute["balance_transactions"]:
                amount = self.rounded(dispute["amount"], share // 4, dispute["currency"].upper())
                body = {"dispute": dispute["id"], "amount": LINES[pick % len(LINES)] * amount}
                return await self._may("dispute_lines", body)

    async def _banks(self, n, pick, share):
        """The owner of an account gives other bank accounts; some currencies have none."""
        await self._give_banks(self.contractors[n % 2], BANKS[share % len(BANKS)])

    async def _give_banks(self, side, currencies):
        await self._may("banks", {"account": self.accounts[side.id], "currencies": currencies})

    async def bring_banks_back(self):
        for side in self.contractors:
            await self._give_banks(side, EVERY_BANK)

    async def _country(self, n, pick, share):
        """A newcomer lives where the platform cannot pay: refused at once, and nothing is left."""
        newcomer = await self.market.contractor("Newcomer", connect=False)
        route = ROUTES["/account", "onboard"]
        country = {"country": UNREACHABLE[share % len(UNREACHABLE)]}
        status, answer = await newcomer.http(route.method, route.path, country)
        assert (status, answer["code"]) == (422, "invalid"), answer

    async def _warning(self, n, pick, share):
        """A card network warns of fraud."""
        await self._signal("warnings", n)

    async def _review(self, n, pick, share):
        """A rule puts a payment under review."""
        await self._signal("reviews", n)

    async def _signal(self, name, n):
        for payment in await self.found(Payment, job_id=self.pick(n)[0]):
            if payment.charge_id and len(payment.fraud_signals) < MAX_SIGNALS // 2:
                await self._may(name, {"charge": payment.charge_id})

    async def _review_end(self, n, pick, share):
        """A review ends in Stripe's dashboard, or because its payment was refunded or disputed."""
        ours = await self._intents()
        for review in await self._list("reviews", limit=3):
            if review["payment_intent"] in ours:
                reason = REVIEW_ENDS[share % len(REVIEW_ENDS)]
                await self._may("reviews", {"review": review["id"], "reason": reason})

    async def _decision(self, n, pick, share):
        """An administrator decides that payments are good."""
        await self.clear_fraud(job_id=self.pick(n)[0])

    async def clear_fraud(self, **where):
        for payment in await self.found(Payment, **where):
            if payment.release_held_at:
                fields = {"payment_id": payment.id, "reason": "They are known"}
                await self.try_command(self.admin, "/admin", "fraud_clear", **fields)

    async def _close(self, n, pick, share):
        """Stripe closes an account, once in a run."""
        if not self.former:
            side = self.contractors[n % 2]
            self.former[side.id] = self.accounts[side.id]
            await self._may("accounts", {"account": self.accounts[side.id], "state": "closed"})

    async def settle_stranded(self):
        """An administrator looks up what left a closed account unseen, and books it: payouts whose
        events came when the account could not be read any more."""
        for user, account in self.former.items():
            there = await self.sandbox.money_of(account)
            for row in await self.found(Balance, account=ledger.stranded(user)):
                left = row.balance - there.get(row.currency, 0)
                if left > 0:
                    fields = {"user_id": user, "amount": left, "currency": row.currency}
                    how = {"outcome": "paid_out", "reason": "The dashboard says so"}
                    await self.try_command(self.admin, "/admin", "stranded_settle", **fields, **how)

    async def _reopen(self, n, pick, share):
        """A contractor whose account was closed opens another one."""
        for side in self.contractors:
            closed = self.former.get(side.id)
            [user] = await self.found(User, _id=side.id)
            if closed and self.accounts[side.id] == closed and user.connect_id != closed:
                await self._open_another(side)

    async def _open_another(self, side):
        async with asyncio.timeout(20):
            while not (url := await self._link(side)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await self.sandbox.fill_in_onboarding(url, side.name, "usd,jpy,kwd")
        async with asyncio.timeout(20):
            while not await self.found(User, _id=side.id, payouts_enabled=True):
                await asyncio.sleep(0.05)
                # As their page does: the event may be held back. Stripe may not answer.
                await side.http("POST", "/api/account/payout_state", {})
        self.accounts[side.id] = (await self.found(User, _id=side.id))[0].connect_id

    async def _link(self, side):
        link = await self.try_command(side, "/account", "onboard")
        return link["url"] if link else None
