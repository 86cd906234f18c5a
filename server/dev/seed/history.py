"""A whole history: who joins when, what is posted, withdrawn and moderated, and what the demo
accounts have to show."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.money import CURRENCIES
from server.dev.seed import plans, texts
from server.dev.seed.job_story import JobStory
from server.dev.seed.plans import Ending, Plan
from server.dev.seed.texts import TEXTS
from server.dev.seed.world import Person, World

NEW_CUSTOMER = 0.3  # the chance that a job is posted by somebody who has just joined
JOBS_FOR_EACH_CONTRACTOR = 8
FEWEST_CONTRACTORS = 6
GROWTH = 0.8  # below 1: more is posted towards the end
LEAST_WITHDRAWN = 20  # whole units
WEEK = 7 * 24
ALERTS_WAIT = timedelta(hours=20)


class History:
    """Starts all stories; they are played by the timeline."""

    def __init__(self, world: World, jobs: int, on_job: Callable[[], None] = lambda: None) -> None:
        self.world = world
        self.luck = world.luck
        self.jobs = jobs
        self._on_job = on_job

    async def begin(self, demo: Sequence[User]) -> None:
        """The first people, and the stories of all jobs. Raises DomainError."""
        for user in demo:
            self.world.person(user)
        await self.world.join(Role.ADMIN)
        for person in list(self.world.contractors):
            await self.world.introduce(person)
            await self.world.onboard(person)
            self.world.timeline.tell("withdraws", self._withdraws(person))
            filters = {"q": "garden", "category": "Gardening"}
            await person.call("job.search_save", name="Gardens", **filters)
        for person in self.world.customers:
            await self._saves_card(person)
        for person in (*self.world.customers, *self.world.contractors):
            self.world.timeline.tell("looks", self._looks(person))
        some = max(FEWEST_CONTRACTORS, self.jobs // JOBS_FOR_EACH_CONTRACTOR)
        for number in range(some):
            if number < FEWEST_CONTRACTORS:
                await self._contractor_joins(number > 0)  # the first wants no account yet
            else:
                self._at(self._moment(), self._contractor_joins)
        for _ in range(3):
            await self.world.join(Role.CUSTOMER)
        self._post_jobs()
        self.world.timeline.tell("tends", self._tends())
        self._at(self._moment(), self._adjusts)
        self._at(self._moment(), self._bans)
        self._at(self.world.timeline.end - timedelta(hours=40), self._freezes)

    def _post_jobs(self) -> None:
        featured = demo_plans(self.world)[: self.jobs]
        span = self.world.timeline.end - self.world.timeline.begin
        for days, plan in featured:
            least = span * 0.03 * self.luck.uniform(1, 2)
            self._at(
                self.world.timeline.end - min(timedelta(days=days), span - least), self._job, plan
            )
        for _ in range(self.jobs - len(featured)):
            self._at(self._moment(), self._job, plans.by_chance(self.luck))

    def _moment(self) -> datetime:
        """Some moment at which people are awake; more of them towards the end, and on weekdays."""
        begin, end = self.world.timeline.begin, self.world.timeline.end
        moment = begin + (end - begin) * self.luck.random() ** GROWTH
        if moment.weekday() > 4 and self.luck.random() < 0.5:
            moment -= timedelta(days=self.luck.randint(1, 2))
        early = begin + timedelta(minutes=self.luck.randint(5, 90))
        return self.world.awake(max(moment, early))

    def _at(self, moment: datetime, story: Callable[..., Any], *given: Any) -> None:
        async def later() -> None:
            await self.world.timeline.until(moment)
            await story(*given)

        self.world.timeline.tell(story.__name__.strip("_"), later())

    async def _job(self, plan: Plan) -> None:
        try:
            if plan.customer is None and self.luck.random() < NEW_CUSTOMER:
                plan.customer = await self.world.join(Role.CUSTOMER)
            await JobStory(self.world, plan).tell()
        finally:
            self._on_job()

    # -- contractors and administrators ------------------------------------------------------

    async def _contractor_joins(self, sets_up: bool = True) -> None:
        contractor = await self.world.join(Role.CONTRACTOR)
        await self.world.introduce(contractor)
        if sets_up:
            self.world.timeline.tell("sets_up", self._sets_up(contractor))

    async def _sets_up(self, contractor: Person) -> None:
        """Most open an account for payouts soon, some late, few never."""
        luck = self.luck.random()
        if luck < 0.06:
            return
        await self.world.pause(10 if luck < 0.85 else WEEK)
        await self.world.onboard(contractor)
        await self._withdraws(contractor)

    async def _withdraws(self, contractor: Person) -> None:
        """About once a week, everything or a round sum. Raises Over."""
        unlucky = self.luck.random() < 0.08
        while True:
            await self.world.pause(self.luck.uniform(0.5, 1.3) * WEEK)
            user = await self.world.record(User, contractor.id)
            if not user.payouts_enabled or user.frozen_at:
                continue
            wallet = await contractor.call("wallet.balance")
            for part in (wallet, *wallet["others"]):
                unit = 10 ** CURRENCIES[part["currency"]].exponent
                amount = part["available"]
                if amount < LEAST_WITHDRAWN * unit:
                    continue
                if self.luck.random() < 0.4:
                    amount = amount * 2 // 3 // (10 * unit) * 10 * unit or amount
                if unlucky:
                    await self.world.sandbox.fail_next_payout(str(user.connect_id))
                    unlucky = False
                await contractor.call("wallet.withdraw", amount=amount, currency=part["currency"])

    async def _saves_card(self, customer: Person) -> None:
        setup = await customer.call("payment.setup")
        if setup["client_secret"]:
            await self.world.sandbox.pay(setup["client_secret"], "pm_card_visa")

    async def _looks(self, person: Person) -> None:
        """Every morning at what is new. Raises Over."""
        seen = 0
        while True:
            await self.world.pause(20)
            seen = (await person.call("account.sync", since=seen, limit=1))["head"]
            await person.call("account.seen", seq=seen)

    async def _tends(self) -> None:
        """Administrators look after alerts within a day. Raises Over."""
        while True:
            await self.world.pause(12)
            admin = self.luck.choice(self.world.admins)
            listed = await admin.call("admin.alerts", open=True, limit=100)
            for alert in listed["items"]:
                if self.world.now - datetime.fromisoformat(alert["created_at"]) > ALERTS_WAIT:
                    reason = self.luck.choice(TEXTS.closed)
                    await admin.call("admin.alert_close", alert_id=alert["id"], reason=reason)

    async def _adjusts(self) -> None:
        contractor = self.luck.choice(self.world.contractors)
        await self.luck.choice(self.world.admins).call(
            "admin.adjust",
            user_id=contractor.id,
            amount=1_500,
            currency="USD",
            account="losses",
            reason="Parking fee that our wrong address has caused.",
        )

    async def _bans(self) -> None:
        """Somebody who is here for something else."""
        stranger = await self.world.join(Role.CUSTOMER)
        self.world.customers.remove(stranger)
        job = await stranger.call(
            "job.create",
            title="Earn 5000 a week from home!!!",
            description="No work needed. Write to my private address for the details.",
            category="Other",
            budget_min_amount=1_000,
            budget_max_amount=500_000,
            currency="USD",
        )
        await self.world.pause(3)
        await stranger.call("job.cancel", job_id=job["id"])
        reason = "Advertises a pyramid scheme."
        await self.luck.choice(self.world.admins).call(
            "admin.ban", user_id=stranger.id, reason=reason
        )

    async def _freezes(self) -> None:
        """The wallet of one contractor is looked at."""
        others = [
            person for person in self.world.contractors if not person.email.endswith("@demo.test")
        ]
        await self.luck.choice(self.world.admins).call(
            "admin.freeze",
            user_id=self.luck.choice(others).id,
            reason="Two customers with the same card: to be checked.",
        )


def demo_plans(world: World) -> list[tuple[float, Plan]]:
    """Jobs of the demo accounts, in every state, each with the days before the end when it is
    posted. Those that show most come first."""
    customers = [person for person in world.customers if person.email == "customer@demo.test"]
    first, second = (
        next(person for person in world.contractors if person.email == f"{name}@demo.test")
        for name in ("contractor", "contractor2")
    )
    carla = customers[0]
    ideas = {idea.title: idea for idea in TEXTS.ideas}
    roof, garden, web, bath, shelf, logo, fence, room, lights, photos, bikes, hedge = (
        ideas[title]
        for title in (
            "Repair the roof above the {room}",
            "Redesign a back garden of {n} m²",
            "Website for a {shop} with {n} pages",
            "Tile a bathroom, {n} m²",
            "Build a bookshelf along a wall of {n} dm",
            "Logo and colours for a small {shop}",
            "Paint {n} metres of wooden fence",
            "Paint a {room} of {n} m²",
            "Install {n} ceiling lights and a dimmer",
            "Pictures of {n} dishes for our menu",
            "Service {n} bicycles",
            "Cut the hedge and two apple trees",
        )
    )

    def mine(idea: texts.Idea, ending: Ending, contractor: Person, **more: Any) -> Plan:
        return Plan(
            idea=idea, ending=ending, customer=carla, contractor=contractor, hours=9.0, **more
        )

    def theirs(idea: texts.Idea, ending: Ending, **more: Any) -> Plan:
        return Plan(idea=idea, ending=ending, contractor=first, hours=9.0, **more)

    return [
        (9, mine(garden, Ending.DELIVERED, first, parts=3)),
        (2.4, mine(fence, Ending.OFFERED, first)),
        (9, mine(bath, Ending.PROPOSED, second, parts=3)),
        (24, mine(room, Ending.COMPLETED, first)),
        (2, mine(hedge, Ending.OPEN, second, applicants=5)),
        (2.6, mine(photos, Ending.COUNTERED, second)),
        (6, mine(web, Ending.WORKING, second, parts=3, card=plans.SECURE_CARD)),
        (2.2, theirs(lights, Ending.OFFERED)),
        (10, mine(roof, Ending.ESCALATED, first, parts=3)),
        (5, theirs(shelf, Ending.ASSIGNED)),
        (27, mine(logo, Ending.AGREED, second, parts=2)),
        (19, mine(bikes, Ending.COMPLETED, first, declined=plans.BAD_CARDS[:1])),
        (15, mine(lights, Ending.CANCELLED, second)),
        (2, mine(shelf, Ending.TALKS, first)),
        (21, theirs(garden, Ending.COMPLETED, parts=3)),
        (22, theirs(bath, Ending.CHARGEBACK_WON)),
        (12, theirs(fence, Ending.CHARGED_BACK)),
        (25, mine(web, Ending.DECIDED, first, parts=3, countered=True)),
        (2, mine(bikes, Ending.UNPAID, second)),
        (1.2, mine(room, Ending.OPEN, first, applicants=3)),
        (11, theirs(photos, Ending.SILENT)),
        (17, mine(hedge, Ending.REFUND_FAILS, second, card=plans.FAILING_REFUND_CARD)),
        (20, mine(fence, Ending.REFUNDED, second)),
        (13, mine(lights, Ending.EXPIRED, first)),
        (7, theirs(hedge, Ending.DISPUTED)),
        (23, mine(roof, Ending.CHARGEBACK_LOST, second)),
    ]
