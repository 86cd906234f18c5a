"""A job with its two sides, and what its story and its disputes have in common."""

from typing import Any

from domain.deals.payment import Payment
from domain.kernel.money import CURRENCIES
from server.dev.seed import texts
from server.dev.seed.plans import Plan
from server.dev.seed.sandbox import Json
from server.dev.seed.world import Person, World


class Deal:
    """One job. `amount` is what its work costs by now, `talk` the conversation."""

    contractor: Person
    amount: int
    job: Json
    offer: Json
    talk: Json

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.luck = world.luck
        self.plan = plan
        self.customer = plan.customer or world.luck.choice(world.customers)
        self.applications: dict[str, Json] = {}

    def minor(self, units: int, currency: str) -> int:
        return units * int(10 ** CURRENCIES[currency].exponent)

    def rounded(self, amount: int) -> int:
        """To whole units of the currency."""
        unit = self.minor(1, self.job["currency"])
        return int(max(1, round(amount / unit)) * unit)

    def other(self, person: Person) -> Person:
        return self.contractor if person is self.customer else self.customer

    async def say(
        self, author: Person, lines: tuple[str, ...], picture: str = "", **slots: str
    ) -> Json:
        """A message, which the other side reads after some minutes. `picture`: before or after."""
        files = [await self.picture_of(author, picture)] if picture else []
        message: Json = await author.call(
            "chat.send",
            conversation_id=self.talk["id"],
            text=texts.line(lines, self.luck, **slots),
            file_ids=files,
        )
        await self.world.moments()
        await self.read(self.other(author), message)
        return message

    async def read(self, reader: Person, message: Json) -> None:
        await reader.call("chat.read", conversation_id=self.talk["id"], seq=message["seq"])

    async def react(self, reader: Person, message: Json, emoji: str) -> None:
        place = {"conversation_id": self.talk["id"], "message_id": message["id"]}
        await reader.call("chat.react", **place, emoji=emoji)

    async def picture_of(self, author: Person, when: str) -> str:
        """Upload a picture of the work, before or after. Returns the id of the file."""
        return await author.upload(self.plan.idea.picture, finished=when == "after")

    async def payment(self) -> Any:
        """The payment of the offer, as it is stored."""
        return await self.world.record(Payment, self.offer["payment_id"])
