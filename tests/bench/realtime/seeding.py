"""The users, conversations and jobs of the benchmark, in records that both servers read."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from domain.accounts.user import User
from domain.chat.conversation import Conversation, LastMessage, Message
from domain.chat.search_backfill import END, VERSION, TermsPosition
from domain.chat.search_terms import message_terms
from domain.jobs.job import Job
from domain.kernel.actor import Role
from domain.kernel.money import Schedule
from domain.kernel.record import Record
from domain.kernel.settings import Rates
from domain.kernel.store import Store, new_id
from domain.ports.sessions import SessionEvent
from domain.registry import RECORDS
from server.adapters.field_cipher import field_codec
from server.adapters.jwt_tokens import AccessTokens
from server.adapters.redis_sessions import RedisSessions
from server.adapters.system_clock import SystemClock
from server.config import Settings

PAIRS = 100
MESSAGES = 50  # in each new conversation
CHUNK = 1000
AT_ONCE = 50  # sessions started at once: each takes a Redis connection


class Person(NamedTuple):
    id: str
    role: Role
    session_id: str


class Pair(NamedTuple):
    """Two people and their conversation."""

    customer: Person
    contractor: Person
    conversation_id: str


class World(msgspec.Struct):
    """All users of the benchmark. Tokens live 15 minutes and are signed when needed."""

    tokens: AccessTokens
    pairs: Sequence[Pair]
    crowd: Sequence[Person]
    owner: Person  # of the jobs
    watched_job: str
    lonely_job: str

    def sign(self, *people: Person) -> list[str]:
        return [self.tokens.sign(each.id, each.role, each.session_id)[0] for each in people]


async def seed(settings: Settings, crowd: int) -> World:
    """A fresh database: PAIRS conversations, two jobs of one owner, and a crowd of customers."""
    clock = SystemClock()
    rates = Rates(Schedule(1000, 2000), ("USD",))
    store = Store(settings.mongo_url, clock, rates, field_codec(settings))
    redis: Redis[Any] = Redis.from_url(settings.redis_url)
    tokens = AccessTokens(settings.jwt_keys, clock)
    sessions = RedisSessions(redis, store.name, tokens, clock, store.codec.cipher, _publish_nothing)
    await store.prepare(RECORDS)
    seeder = _Seeder(store, sessions)
    try:
        customers = await seeder.people(Role.CUSTOMER, PAIRS)
        contractors = await seeder.people(Role.CONTRACTOR, PAIRS)
        people = await seeder.people(Role.CUSTOMER, crowd)
        (owner,) = await seeder.people(Role.CUSTOMER, 1)
        pairs = await seeder.conversations(customers, contractors)
        watched, lonely = await seeder.jobs(owner, 2)
        return World(tokens, pairs, people, owner, watched, lonely)
    finally:
        await redis.aclose()
        store.close()


class _Seeder:
    def __init__(self, store: Store, sessions: RedisSessions) -> None:
        self.store = store
        self.sessions = sessions
        self.now = store.clock.now()

    def _new(self, kind: type[Record], **fields: Any) -> Any:
        stamps = {"created_at": self.now, "updated_at": self.now}
        return kind(**{"id": new_id(kind.PREFIX), **stamps, **fields})

    async def _add(self, records: Sequence[Record]) -> None:
        for start in range(0, len(records), CHUNK):
            await self.store.single().add_all(records[start : start + CHUNK])

    async def people(self, role: Role, count: int) -> list[Person]:
        ids = [new_id(User.PREFIX) for _ in range(count)]
        await self._add(
            [
                self._new(
                    User,
                    id=id,
                    email=f"{id}@people.test",
                    name=f"Bench {role}",
                    role=role,
                    password_hash="!",
                )
                for id in ids
            ]
        )
        people: list[Person] = []
        for start in range(0, count, AT_ONCE):
            part = ids[start : start + AT_ONCE]
            started = await asyncio.gather(
                *(self.sessions.start(id, role, "127.0.0.1") for id in part)
            )
            people += [
                Person(id, role, pair.refresh_token.partition(".")[0])
                for id, pair in zip(part, started, strict=True)
            ]
        return people

    async def conversations(
        self, customers: Sequence[Person], contractors: Sequence[Person]
    ) -> list[Pair]:
        conversations, messages, pairs = [], [], []
        for customer, contractor in zip(customers, contractors, strict=True):
            members = (customer.id, contractor.id)
            last = LastMessage(seq=MESSAGES, author_id=customer.id, text="Number 50", at=self.now)
            conversation = self._new(
                Conversation,
                job_id=new_id(Job.PREFIX),
                job_title="Paint the fence",
                customer_id=customer.id,
                contractor_id=contractor.id,
                members=members,
                names=dict.fromkeys(members, "Bench"),
                active_at=self.now,
                head=MESSAGES,
                last_message=last,
                read=dict.fromkeys(members, 0),
            )
            conversations.append(conversation)
            messages += [
                self._new(
                    Message,
                    conversation_id=conversation.id,
                    author_id=customer.id,
                    seq=seq,
                    text=f"Number {seq}",
                    terms=message_terms(f"Number {seq}"),
                )
                for seq in range(1, MESSAGES + 1)
            ]
            pairs.append(Pair(customer, contractor, conversation.id))
        # Nothing is left to fill in: that would read all messages while the rows are measured.
        done = self._new(TermsPosition, id=f"{TermsPosition.PREFIX}_{VERSION}", after=END)
        await self._add([done])
        await self._add(conversations)
        await self._add(messages)
        return pairs

    async def jobs(self, owner: Person, count: int) -> list[str]:
        details = {
            "title": "Paint the fence",
            "category": "painting",
            "skills": ("painting",),
            "description": "Twelve metres of wooden fence, two coats.",
            "currency": "USD",
            "budget_min_amount": 50_000,
            "budget_max_amount": 200_000,
            "location": None,
        }
        jobs = [
            self._new(Job, customer_id=owner.id, customer_name="Bench", **details)
            for _ in range(count)
        ]
        await self._add(jobs)
        return [job.id for job in jobs]


async def _publish_nothing(event: SessionEvent) -> None:
    """New sessions have no sockets on any process."""
