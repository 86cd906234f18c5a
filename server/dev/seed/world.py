"""The people of a history, and what they can do: call operations, upload pictures, wait."""

import random
import secrets
from datetime import datetime, timedelta
from typing import Any

from domain.accounts.user import User, create_user
from domain.files.file import Received, Upload
from domain.files.file import upload as store_upload
from domain.kernel.actor import Actor, Role
from domain.operations.command import Meta
from domain.operations.operation import execute, record_read
from server.app import Web
from server.dev.seed import pictures, texts
from server.dev.seed.sandbox import Json, Sandbox
from server.dev.seed.texts import TEXTS
from server.dev.seed.timeline import Timeline
from server.runtime.spool import Spool

DAY_BEGINS, DAY_ENDS = 7, 21  # hours at which people are awake
NETWORK = "192.0.2."


class Person:
    """A user who acts: by the operations, as a client would call them."""

    def __init__(self, world: "World", user: User, address: str) -> None:
        self.world = world
        self.id = user.id
        self.name = user.name
        self.role = user.role
        self.email = user.email
        self.pace = 1.0  # how slowly they answer
        self.onboarded = False
        self._meta = Meta(address=address)
        self._actor = Actor(user.id, user.role, f"ses_{secrets.token_hex(12)}")

    @property
    def first_name(self) -> str:
        return self.name.split()[0]

    async def call(self, operation: str, **fields: Any) -> Any:
        """Raises DomainError."""
        web = self.world.web
        op = web.operations[operation]
        web.figures.commands += 1
        return await execute(op, fields, self._actor, self._meta, web.ports)

    async def upload(self, picture: str, *, finished: bool = False) -> str:
        """Draw a picture and upload it. Returns the id of the file. Raises DomainError."""
        ports, name = self.world.web.ports, f"{picture}-{self.world.luck.randint(1000, 9999)}.jpg"
        op = self.world.web.operations["files.upload"]
        with Spool() as spool:
            await spool.write(pictures.draw(picture, self.world.luck, finished=finished))
            await spool.flush()
            kept = await store_upload(Upload(), self._actor, ports, Received(name, spool))
        entry = {"name": kept.name, "type": kept.type}
        await record_read(op, entry, self._actor, self._meta, ports, [kept.id])
        return kept.id


class World:
    """The stage of a history: its people, its luck and its time."""

    def __init__(self, web: Web, sandbox: Sandbox, timeline: Timeline, luck: random.Random) -> None:
        self.web = web
        self.sandbox = sandbox
        self.timeline = timeline
        self.luck = luck
        self.customers: list[Person] = []
        self.contractors: list[Person] = []
        self.admins: list[Person] = []
        self._names: set[str] = set()

    # -- time --------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.timeline.now

    async def pause(self, hours: float) -> None:
        """Wait about so long, and then until people are awake. Raises Over."""
        wanted = self.now + timedelta(hours=hours * self.luck.uniform(0.5, 1.5))
        if hours >= 1:
            wanted = self.awake(wanted)
        await self.timeline.until(wanted)

    async def moments(self, minutes: float = 4) -> None:
        """Wait a few minutes. Raises Over."""
        await self.timeline.until(self.now + timedelta(minutes=minutes * self.luck.uniform(0.3, 2)))

    def awake(self, moment: datetime) -> datetime:
        """This moment, or one in the next morning if it is at night."""
        if DAY_BEGINS <= moment.hour < DAY_ENDS:
            return moment
        morning = moment.replace(hour=DAY_BEGINS, minute=0) + timedelta(
            days=moment.hour >= DAY_ENDS, minutes=self.luck.uniform(0, 150)
        )
        return max(moment, morning)

    # -- people ------------------------------------------------------------------------------

    def person(self, user: User) -> Person:
        """Bring in a user who exists."""
        person = Person(self, user, f"{NETWORK}{self.luck.randint(1, 254)}")
        person.pace = self.luck.uniform(0.5, 1.6)
        group = {
            Role.CUSTOMER: self.customers,
            Role.CONTRACTOR: self.contractors,
            Role.ADMIN: self.admins,
        }
        group[user.role].append(person)
        self._names.add(user.name)
        return person

    async def join(self, role: Role) -> Person:
        """A new user with a random password."""
        name = self._new_name()
        address = name.lower().replace(" ", ".").replace("ø", "o")
        user = await create_user(
            self.web.ports,
            email=f"{address}@people.test",
            password=secrets.token_urlsafe(24),
            name=name,
            role=role,
            verified=True,
        )
        return self.person(user)

    def _new_name(self) -> str:
        while True:
            name = f"{self.luck.choice(texts.FIRST_NAMES)} {self.luck.choice(texts.LAST_NAMES)}"
            if len(self._names) > 2000:
                name += f" {len(self._names)}"
            if name not in self._names:
                return name

    async def introduce(self, contractor: Person) -> None:
        """A profile, and for most an account for payouts. Raises DomainError."""
        skills = self.luck.choice(TEXTS.ideas).skills
        headline = texts.line(TEXTS.headlines, self.luck, skill=skills[0]).capitalize()
        bio = texts.line(TEXTS.bios, self.luck)
        await contractor.call("account.update", headline=headline, bio=bio, skills=list(skills))

    async def onboard(self, contractor: Person) -> None:
        """Fill in Stripe's pages. Raises DomainError."""
        contractor.onboarded = True
        link = await contractor.call("account.onboard")
        if link["url"]:
            currencies = ",".join(sorted({town.currency for town in TEXTS.towns}))
            await self.sandbox.fill_in_onboarding(link["url"], contractor.name, currencies)

    async def record(self, kind: Any, id: str) -> Any:
        """A record as it is stored. Raises NotFound."""
        return await self.web.store.single().get(kind, id)


def place_of(town: texts.Town, luck: random.Random) -> Json:
    """A place in a town."""
    street = f"{luck.choice(TEXTS.streets)} {luck.randint(1, 90)}, {town.name}"
    return {
        "lon": round(town.lon + luck.gauss(0, 0.03), 5),
        "lat": round(town.lat + luck.gauss(0, 0.02), 5),
        "label": street,
    }
