"""One deployment of a test: its environment, its corner of the Stripe sandbox, its server."""

import asyncio
import base64
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web, web_app
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany, InsertOne, MongoClient
from pymongo.read_concern import ReadConcern
from redis import Redis

from domain.kernel.settings import Clock
from domain.kernel.store import Store
from domain.ports.ports import Ports
from domain.registry import RECORDS
from server.app import Web
from server.config import Settings, load
from server.dev.stores import Addresses
from server.http.protocol import HttpRunner
from server.workers.scheduler import Job
from tests.support import stripe_oracle
from tests.support.fork_server import ForkServer
from tests.support.market import Market
from tests.support.password_cost import LEAST_COST
from tests.support.processes import Processes, free_port
from tests.support.sandbox_client import Sandbox
from tests.support.smtp_server import SmtpServer

MOST_TO_END = 30  # seconds
COLLECTIONS = {kind.COLLECTION for kind in RECORDS}
RAW = CodecOptions(RawBSONDocument)
SNAPSHOT = ReadConcern("snapshot")
# The same for all installations of a test process: see `worlds.py`.
KEYS = {
    name: f"test:{base64.b64encode(os.urandom(32)).decode()}"
    for name in ("JWT_KEYS", "AUDIT_KEY", "FIELD_KEYS")
}
OLD_ACCOUNTS = ("POST", "/v1/accounts")
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 1024**3  # that must be free for the stores of all workers


def memory() -> Path | None:
    """A folder in memory, if possible: stores sync every commit to their disk."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free > MEMORY_BYTES else None


class Database:
    """An empty database of one test after the other.

    It is emptied between two tests and keeps its indexes, which take longer to build than many a
    test.
    """

    def __init__(self, stores: Addresses, mongo: MongoClient[Any]) -> None:
        assert stores.redis_url
        self.name = f"test_{secrets.token_hex(6)}"
        self.has_indexes = False
        self._mongo = mongo
        self._redis = Redis.from_url(stores.redis_url)

    def empty(self, *, keep: Collection[str] = ()) -> None:
        """Delete what a test left, here (but for the collections `keep`) and in Redis."""
        database = self._mongo[self.name]
        names = set(database.list_collection_names())
        for collection in names - COLLECTIONS:
            database.drop_collection(collection)
        if ours := (names & COLLECTIONS) - {*keep}:
            spaces = (f"{self.name}.{collection}" for collection in ours)
            self._mongo.bulk_write([DeleteMany({}, namespace=space) for space in spaces])
        if keys := list(self._redis.scan_iter(f"{self.name}:*", count=1000)):
            self._redis.delete(*keys)

    def documents(self) -> dict[str, list[RawBSONDocument]]:
        """All documents by collection, as of one moment."""
        database = self._mongo.get_database(self.name, codec_options=RAW)
        with self._mongo.start_session() as session, session.start_transaction(SNAPSHOT):
            found = {name: list(database[name].find(session=session)) for name in COLLECTIONS}
        return {name: rows for name, rows in found.items() if rows}

    def fill(self, documents: dict[str, list[RawBSONDocument]]) -> None:
        """Insert documents."""
        self._mongo.bulk_write(
            [
                InsertOne(row, namespace=f"{self.name}.{name}")
                for name, rows in documents.items()
                for row in rows
            ]
        )

    def drop(self) -> None:
        """Delete the database, as MongoDB scans all of them for expired rows. First end all
        transactions: a killed process may have left rows locked."""
        self._mongo.admin.command("killAllSessions", [])
        self._mongo.drop_database(self.name)

    def close(self) -> None:
        self._redis.close()


class Installation(msgspec.Struct):
    """The environment of one deployment, and its corner of the Stripe sandbox."""

    env: dict[str, str]
    settings: Settings
    sandbox: Sandbox
    database: Database
    smtp: SmtpServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def configure(self, **variables: str) -> None:
        """Change settings, before a server reads them."""
        self.env |= variables
        self.settings = load(self.env)


class Server(msgspec.Struct):
    """A web server inside the test's own event loop."""

    url: str
    web: Web
    sandbox: Sandbox

    @property
    def store(self) -> Store:
        return self.web.store

    @property
    def ports(self) -> Ports:
        return self.web.ports


@asynccontextmanager
async def new_installation(
    stores: Addresses, database: Database, realtime: str, port: int | None = None
) -> AsyncIterator[Installation]:
    """A new installation, on a free port unless one is given; at the end, all requests to Stripe
    and all events are checked against Stripe's API description."""
    suffix, port = secrets.token_hex(16), port or free_port()
    assert stores.mongo_url and stores.redis_url and stores.stripe_api_base
    sandbox = Sandbox(stores.stripe_api_base, f"sk_test_{suffix}", stores.control_key)
    hooks = await sandbox.register(f"http://127.0.0.1:{port}/webhooks/stripe")
    data = tempfile.mkdtemp(prefix="jobsphere-test-", dir=memory())
    env = {
        "DATA_DIR": data,
        "PORT": str(port),
        "MONGO_URL": stores.database(database.name),
        "REDIS_URL": stores.redis_url,
        "STRIPE_SECRET_KEY": sandbox.key,
        "STRIPE_PUBLISHABLE_KEY": sandbox.publishable_key,
        "STRIPE_API_BASE": stores.stripe_api_base,
        "STRIPE_WEBHOOK_SECRETS": ",".join(hooks),
        **KEYS,
        "CURRENCY": "USD,JPY,KWD,EUR,ISK",
        "SPECIAL_CURRENCIES": "ISK",
        "CROSS_BORDER_PAYOUTS": "on",
        "PAYMENT_METHODS": "card,link,crypto,us_bank_account",
        "DRAIN_SECONDS": "1",
        "REQUIRE_VERIFICATION": "off",
        "REALTIME": realtime,
        # Tests send more commands than people.
        "COMMANDS_PER_SECOND": "1000",
        "SIGN_INS_PER_MINUTE": "10000",
        "REQUIRE_SECOND_FACTOR": "off",
        "ADMIN_APPROVAL_AMOUNT": "0",
        "CARD_ATTEMPTS": "1000",
        "CAUSED_REFUNDS": "1000",
        "MINIMUM_WITHDRAWAL": "0",
    }
    installation = Installation(env, load(env), sandbox, database)
    yield installation
    try:
        log, deliveries = await sandbox.end()
        stripe_oracle.check_log(log)
        if installation.settings.stripe_accounts == "v2":
            old = [each for each in log if (each["method"], each["path"]) == OLD_ACCOUNTS]
            assert old == [], "an account was made by v1"
        for delivery in deliveries:
            stripe_oracle.check_event(delivery["body"])
    finally:
        await sandbox.close()
        shutil.rmtree(data, ignore_errors=True)


@asynccontextmanager
async def running_server(
    installation: Installation, clock: Clock | None = None, jobs: Sequence[Job] | None = None
) -> AsyncIterator[Server]:
    """A server in this event loop; with another clock and other periodic jobs, if given."""
    with pytest.MonkeyPatch.context() as patched:
        # A hash of a password takes 0.1 s of CPU time otherwise.
        patched.setattr("server.adapters.argon2_passwords.COST", LEAST_COST)
        if installation.database.has_indexes:
            patched.setattr("server.container.RECORDS", ())
        served = Web(installation.settings, clock, jobs)
        runner = HttpRunner(served.application(), shutdown_timeout=1)
        await runner.setup()
    installation.database.has_indexes = True
    try:
        await served.listen(runner)
        yield Server(installation.url, served, installation.sandbox)
    finally:
        await _stop(runner)
        web_app._cached_build_middleware.cache_clear()  # it keeps 1,024 servers in memory


async def _stop(runner: web.AppRunner) -> None:
    """Stop the server; if it does not end, print what its tasks wait for."""
    ending = asyncio.create_task(runner.cleanup())
    if not (await asyncio.wait({ending}, timeout=MOST_TO_END))[0]:
        for task in asyncio.all_tasks():
            task.print_stack()
        pytest.fail("the server does not end")
    await ending


@asynccontextmanager
async def new_market(server: Server, installation: Installation) -> AsyncIterator[Market]:
    """Users of a server, who disconnect at the end."""
    market = Market(installation.settings, server.url, installation.sandbox, server.store)
    yield market
    await market.close()


@asynccontextmanager
async def new_processes(
    installation: Installation, folder: Path, fork_server: ForkServer
) -> AsyncIterator[Processes]:
    """Processes of an installation and its users, which end together."""
    market = Market(installation.settings, installation.url, installation.sandbox)
    started = Processes(installation.env, market, folder, fork_server)
    yield started
    await market.close()
    await started.close()


@asynccontextmanager
async def new_mail_server(installation: Installation) -> AsyncIterator[SmtpServer]:
    """A mail server for the mails of the installation."""
    smtp = await SmtpServer().start()
    installation.configure(SMTP_URL=smtp.url)
    installation.smtp = smtp
    yield smtp
    await smtp.stop()
