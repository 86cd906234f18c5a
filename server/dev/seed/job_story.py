"""The story of one job, from its posting to the end that its plan names."""

from server.dev.seed import texts
from server.dev.seed.deal import Deal
from server.dev.seed.disputes import charge_back, dispute, refund_later
from server.dev.seed.plans import Ending
from server.dev.seed.sandbox import Json
from server.dev.seed.texts import TEXTS
from server.dev.seed.world import Person, place_of

PARTS = {2: (45, 55), 3: (30, 45, 25)}  # hundredths of an offer
WHOLE = 100


class JobStory(Deal):
    """Each step is what people do, and how long they take. `tell` raises Over and DomainError."""

    applicants: list[Person]
    rejected: list[Person]

    async def tell(self) -> None:
        plan = self.plan
        await self._post()
        await self._apply()
        if plan.ending in (Ending.IGNORED, Ending.OPEN):
            return
        if plan.ending is Ending.GIVEN_UP:
            await self.world.pause(plan.hours * 5)
            return await self._cancel()
        await self._shortlist()
        await self.say(self.customer, TEXTS.openings, name=self.contractor.first_name)
        await self.say(self.contractor, TEXTS.replies)
        await self._chat(self.luck.randint(1, 4))
        if plan.ending is Ending.TALKS:
            return await self._last_word()
        if not await self._agree():
            return
        if plan.ending in (Ending.CANCELLED, Ending.REFUND_FAILS):
            await self.world.pause(plan.hours)
            return await self._cancel()
        if plan.ending is Ending.ASSIGNED:
            return await self._last_word()
        await self._work()

    # -- posting and choosing ----------------------------------------------------------------

    async def _post(self) -> None:
        idea, luck = self.plan.idea, self.luck
        title, text = texts.job_texts(idea, luck)
        town = luck.choice(TEXTS.towns)
        least, most = idea.cost
        wished = luck.randint(least, most) // 10 * 10
        shown = idea.on_site and luck.random() < 0.4
        files = [await self.picture_of(self.customer, "before")] if shown else []
        self.job = await self.customer.call(
            "job.create",
            title=title[0].upper() + title[1:],
            description=text,
            category=idea.category,
            skills=list(idea.skills),
            budget_min_amount=self.minor(wished * 8 // 10, town.currency),
            budget_max_amount=self.minor(wished * 12 // 10, town.currency),
            currency=town.currency,
            location=place_of(town, luck) if idea.on_site else None,
            file_ids=files,
        )
        self.amount = self.minor(wished, town.currency)

    async def _apply(self) -> None:
        wanted, found = self.plan.applicants, list(self.world.contractors)
        self.luck.shuffle(found)
        if first := self.plan.contractor:
            found = [first, *(person for person in found if person is not first)]
        for contractor in found[:wanted]:
            await self.world.pause(self.plan.hours * 0.25 * contractor.pace)
            self.applications[contractor.id] = await contractor.call(
                "job-request.apply",
                job_id=self.job["id"],
                cover_letter=texts.line(TEXTS.letters, self.luck),
                proposed_amount=self.rounded(int(self.amount * self.luck.uniform(0.85, 1.2))),
                timeline_days=max(1, self.plan.idea.days + self.luck.randint(-1, 3)),
            )
        self.applicants = found[:wanted]

    async def _shortlist(self) -> None:
        self.contractor = self.plan.contractor or self.luck.choice(self.applicants)
        await self.world.pause(self.plan.hours * 0.5 * self.customer.pace)
        mine = self.applications[self.contractor.id]
        self.rejected = []
        self.amount = mine["proposed_amount"]
        await self.customer.call("job-request.accept", application_id=mine["id"])
        for other in self.applicants:
            if other is not self.contractor and self.luck.random() < 0.4:
                id = self.applications[other.id]["id"]
                await self.customer.call("job-request.reject", application_id=id)
                self.rejected.append(other)
        self.talk = await self.customer.call(
            "chat.open", job_id=self.job["id"], user_id=self.contractor.id
        )

    async def _cancel(self) -> None:
        await self.customer.call("job.cancel", job_id=self.job["id"])

    # -- talking -----------------------------------------------------------------------------

    async def _chat(self, rounds: int) -> None:
        for _ in range(rounds):
            await self.world.pause(self.plan.hours * 0.1)
            picture = "before" if self.luck.random() < 0.2 else ""
            lines = TEXTS.questions[:1] if picture else TEXTS.questions[1:]
            asked = await self.say(self.customer, lines, picture)
            if self.luck.random() < 0.3:
                await self.react(self.contractor, asked, "✅")
            await self.say(self.contractor, TEXTS.answers)
        if self.luck.random() < 0.02:
            place = {"conversation_id": self.talk["id"], "reason": "spam"}
            await self.customer.call("chat.report", **place, text="Asks to pay outside of here.")

    async def _last_word(self) -> None:
        """A message that stays unread."""
        author = self.contractor if self.luck.random() < 0.6 else self.customer
        text = texts.line(TEXTS.questions[1:], self.luck)
        await author.call("chat.send", conversation_id=self.talk["id"], text=text)

    # -- the offer ---------------------------------------------------------------------------

    async def _agree(self) -> bool:
        """Offers until one is accepted. False if the story stays before that."""
        plan = self.plan
        await self.world.pause(plan.hours * 0.4 * self.customer.pace)
        if not await self._pay():
            return False
        if plan.ending is Ending.OFFERED:
            return False
        if plan.ending is Ending.EXPIRED:
            await self.world.pause(100)
            return False
        if plan.countered or plan.ending is Ending.COUNTERED:
            await self.world.pause(plan.hours * 0.3)
            self.amount = self.rounded(int(self.amount * self.luck.uniform(1.06, 1.25)))
            note = texts.line(TEXTS.counters, self.luck)
            fields = {"offer_id": self.offer["id"], "amount": self.amount, "note": note}
            await self.contractor.call("bidding.counter", **fields)
            if plan.ending is Ending.COUNTERED:
                return False
            await self.world.pause(plan.hours * 0.3)
            await self._pay()
        elif plan.rejected:
            await self.world.pause(plan.hours * 0.3)
            await self.contractor.call("bidding.reject", offer_id=self.offer["id"])
            self.amount = self.rounded(int(self.amount * 1.1))
            await self.world.pause(plan.hours * 0.3)
            await self._pay()
        elif plan.withdrawn:
            await self.world.pause(plan.hours * 0.2)
            await self.customer.call("bidding.withdraw", offer_id=self.offer["id"])
            await self.world.moments(20)
            await self._pay()
        if plan.rival:
            await self._offer_to_rival()
        await self.world.pause(min(20, plan.hours * 0.4) * self.contractor.pace)
        await self.contractor.call("bidding.accept", offer_id=self.offer["id"])
        await self.world.moments(2)
        return True

    async def _pay(self) -> bool:
        """An offer whose money is held; False if its customer leaves the page."""
        for card in self.plan.declined:
            await self._offer(payment_method=card)
            await self.world.moments(3)
        if self.plan.ending is Ending.UNPAID:
            await self._offer()
            return False
        if self.luck.random() < 0.3:
            answer = await self._offer()
            page = await self.world.sandbox.pay(answer["payment"]["client_secret"], self.plan.card)
        else:
            answer = await self._offer(payment_method=self.plan.card)
            page = answer["payment"]["redirect_url"]
        if page:
            await self.world.moments(2)
            await self.world.sandbox.answer_challenge(page, passed=True)
        await self.world.moments(1)
        return True

    async def _offer_to_rival(self) -> None:
        """The first who accepts gets the job; the other offer is blocked."""
        rejected, offer = self.rejected, self.offer
        for rival in self.applicants:
            if rival is self.contractor or rival in rejected:
                continue
            id = self.applications[rival.id]["id"]
            await self.customer.call("job-request.accept", application_id=id)
            await self._offer(rival, payment_method="pm_card_visa")
            self.offer = offer
            return

    async def _offer(self, to: Person | None = None, **payment: str) -> Json:
        idea, amount = self.plan.idea, self.amount
        parts: list[Json] = []
        if self.plan.parts > 1:
            shares = [self.rounded(amount * part // WHOLE) for part in PARTS[self.plan.parts]]
            shares[-1] = amount - sum(shares[:-1])
            parts = [
                {"title": title, "amount": share}
                for title, share in zip(idea.parts, shares, strict=True)
            ]
        answer: Json = await self.customer.call(
            "bidding.create",
            job_id=self.job["id"],
            contractor_id=(to or self.contractor).id,
            amount=amount,
            currency=self.job["currency"],
            description=texts.line(TEXTS.descriptions, self.luck),
            timeline_days=max(1, idea.days),
            milestones=parts,
            **payment,
        )
        self.offer = answer["offer"]
        return answer

    # -- the work ----------------------------------------------------------------------------

    async def _work(self) -> None:
        plan, world = self.plan, self.world
        await world.pause(plan.hours * 0.5)
        await self.contractor.call("job.start", job_id=self.job["id"])
        await world.pause(plan.hours * 0.5)
        picture = "before" if self.plan.customer or self.luck.random() < 0.3 else ""
        await self.say(self.contractor, TEXTS.progress, picture)
        if plan.ending is Ending.WORKING:
            return await self._last_word()
        for number in range(1, plan.parts + 1):
            await world.pause(plan.hours * (0.8 if plan.parts > 1 else 1.5))
            await self._deliver(number)
            await self._show()
            if number < plan.parts:
                await self._approve(number)
        if plan.ending in (Ending.DELIVERED, Ending.SILENT):
            return
        await self._end()

    async def _deliver(self, number: int) -> None:
        shown = self.plan.contractor or self.luck.random() < 0.4
        files = [await self.picture_of(self.contractor, "after")] if shown else []
        await self.contractor.call(
            "job.deliver",
            job_id=self.job["id"],
            milestone=number,
            note=texts.line(TEXTS.notes, self.luck),
            file_ids=files,
        )

    async def _show(self) -> None:
        """They talk about what was delivered."""
        if self.plan.customer or self.luck.random() < 0.3:
            await self.world.moments(15)
            await self.say(self.contractor, TEXTS.shows, "after")
            shown = await self.say(self.customer, TEXTS.looks)
            await self.react(self.contractor, shown, "❤")
            await self.say(self.contractor, TEXTS.welcome)

    async def _approve(self, number: int) -> None:
        await self.world.pause(min(90, self.plan.hours) * self.customer.pace)
        await self.customer.call("job.complete", job_id=self.job["id"], milestone=number)

    async def _end(self) -> None:
        match self.plan.ending:
            case (
                Ending.DISPUTED
                | Ending.PROPOSED
                | Ending.AGREED
                | Ending.ESCALATED
                | Ending.DECIDED
            ):
                return await dispute(self)
        await self._approve(self.plan.parts)
        await self.say(self.customer, TEXTS.thanks)
        await self.say(self.contractor, TEXTS.welcome)
        match self.plan.ending:
            case Ending.REFUNDED:
                await refund_later(self)
            case Ending.CHARGED_BACK | Ending.CHARGEBACK_WON | Ending.CHARGEBACK_LOST:
                await charge_back(self)
