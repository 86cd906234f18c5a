"""Fixtures: real embedded stores once per session, a fresh installation for every test.

An installation is everything that one deployment owns: a database, a Stripe key with webhook
endpoints, signing keys. `server` runs it inside the test, `processes` as real processes.
"""

import asyncio
import gc
import re
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import uvloop
from pymongo import MongoClient

from domain.reconciliation.books_audit import Report, audit
from server.config import load
from server.container import Container
from server.dev.stores import ROOT, Addresses, Embedded
from server.log_setup import configure
from server.workers import scheduler
from tests.support import clean_books, documented
from tests.support.dev_process import DevServer
from tests.support.fork_server import ForkServer
from tests.support.installations import (
    Database,
    Installation,
    Server,
    memory,
    new_installation,
    new_mail_server,
    new_market,
    new_processes,
    running_server,
)
from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market
from tests.support.negotiation import Negotiation
from tests.support.one_server import ServersOfFile, Shared, check_unchanged, has_one_server
from tests.support.processes import Processes, free_port
from tests.support.property_sizes import SEED
from tests.support.smtp_server import SmtpServer
from tests.support.worlds import World, prepare_world

# As a server does: structlog's default renders all local variables of a traceback, for seconds.
configure("INFO")
MOST_TO_TEAR_DOWN = 90  # seconds
both_paths = pytest.mark.parametrize("realtime", ["fast", "stock"])
LONGEST = {
    "test_machine.py",
    "test_pages.py",
    "test_views.py",
    "test_story.py",
    "test_admin_views.py",
    "test_failing_stores.py",
    "test_docs.py",
    "test_commands.py",
    "test_docs_examples.py",
    "test_admin_pages.py",
    "test_delayed_frames.py",
    "test_secrets.py",
    "test_seed.py",
    "test_cli.py",
    "test_demo.py",
    "test_wallets.py",
    "test_embedded.py",
    "test_account_by_mail.py",
    "test_soak.py",
    "test_random_requests.py",
}
# These look at all source files, which one process parses once for all of them.
OF_SOURCES = re.compile(
    r"tests/architecture/test_(asvs|dangerous_calls|errors|guards|layers|sizes)\.py"
)
SLOW_FIXTURES = {"processes", "isolated_processes", "started", "client", "browser"}
OF_OWN_DATABASE = {"processes", "isolated_processes", "started", "own_database"}
QUICK_SERVERS = 1  # tests of a file that use `server` and belong to `quick`
UNDECLARED = re.compile(f"undeclared error|{documented.MARK}")


def pytest_configure() -> None:
    gc.disable()  # until all tests are collected


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that servers run on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests (see `markers` in pyproject.toml). Workers start with the longest files, so
    that none is left alone at the end with one of them."""
    servers = Counter[Path]()
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("hypothesis") or item.path.parent.name == "properties":
            item.add_marker("property")
        if used & SLOW_FIXTURES:
            item.add_marker("slow")
        if item.get_closest_marker("slow"):
            continue
        if "server" in used:
            servers[item.path] += 1
        if servers[item.path] <= QUICK_SERVERS or "server" not in used:
            item.add_marker("quick")
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    """Where a test's file stands in the order: few tests of `stories` are short."""
    return 0 if item.path.name in LONGEST else 1 if "stories" in item.path.parts else 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker gets all tests of a file, and the files of OF_SOURCES."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return OF_SOURCES.pattern if OF_SOURCES.fullmatch(file) else file

    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Freeze the objects loaded by now: they stay, so the garbage collector skips them. It does
    not run before, because collecting them once takes long, too."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Limit the time of teardown: the test's own timeout does not cover it after a failure."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("teardown does not end"))
    signal.setitimer(signal.ITIMER_REAL, MOST_TO_TEAR_DOWN, MOST_TO_TEAR_DOWN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in which an operation answered with a code that it does not declare, or in which
    a client received what the documents do not describe."""
    report = yield
    if report.when == "call":
        item.stash[clean_books.HAS_PASSED] = report.passed
    if item.get_closest_marker("made_up"):
        return report
    if report.passed and UNDECLARED.search(report.capstderr):
        report.outcome = "failed"
        lines = report.capstderr.splitlines()
        report.longrepr = "\n".join(line for line in lines if UNDECLARED.search(line))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed of the property tests, and what tests recorded about themselves."""
    if SEED:
        terminalreporter.write_line(f"property tests: TEST_SEED={SEED}")
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def stores_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jobsphere-", dir=memory()) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def stores(stores_folder: Path) -> Iterator[Addresses]:
    with Embedded(stores_folder, {"mongo", "redis", "stripe"}, test_commands=True) as addresses:
        yield addresses


@pytest.fixture(scope="session")
def mongo(stores: Addresses) -> Iterator[MongoClient[Any]]:
    """A client of the tests, for operations outside of any installation."""
    with MongoClient(stores.mongo_url) as client:
        yield client


@pytest.fixture(scope="session")
def client() -> None:
    """Install the official JavaScript client, in the version of package-lock.json."""
    if not (ROOT / "node_modules" / "socket.io-client").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=ROOT, check=True, timeout=100)


@pytest.fixture
def realtime() -> str:
    """The implementation that serves websockets; `both_paths` runs a test with each."""
    return "fast"


@pytest.fixture(scope="session")
def shared_database(stores: Addresses, mongo: MongoClient[Any]) -> Iterator[Database]:
    database = Database(stores, mongo)
    yield database
    database.close()


@pytest.fixture
def own_database(stores: Addresses, mongo: MongoClient[Any]) -> Iterator[Database]:
    """A database that no other test gets: for processes, which may be killed while they write, and
    for a test that changes indexes."""
    database = Database(stores, mongo)
    yield database
    database.drop()
    database.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, shared_database: Database) -> Database:
    """Empty, for one test."""
    if OF_OWN_DATABASE.intersection(request.fixturenames):
        return request.getfixturevalue("own_database")
    shared_database.empty()
    return shared_database


@pytest.fixture(scope="session")
def databases_of_files(
    stores: Addresses, mongo: MongoClient[Any]
) -> Iterator[Callable[[int], Database]]:
    """The databases of servers that tests share, by number; each file uses the first ones."""
    made: dict[int, Database] = {}

    def database(number: int) -> Database:
        if number not in made:
            made[number] = Database(stores, mongo)
        return made[number]

    yield database
    for each in made.values():
        each.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers_of_file(
    stores: Addresses, databases_of_files: Callable[[int], Database]
) -> AsyncIterator[ServersOfFile]:
    servers = ServersOfFile(stores, databases_of_files)
    yield servers
    await servers.close()


@pytest_asyncio.fixture(loop_scope="module")
async def shared(
    servers_of_file: ServersOfFile, realtime: str, request: pytest.FixtureRequest
) -> Shared:
    """What a test shares with others, see `one_server.py`."""
    return await servers_of_file.prepare(realtime, request.fixturenames)


@pytest.fixture
def installation(realtime: str, request: pytest.FixtureRequest) -> Installation:
    """A new installation, or the shared one; at the end, all requests to Stripe and all events are
    checked against Stripe's API description."""
    if has_one_server(request.node):
        return request.getfixturevalue("shared").installation
    return request.getfixturevalue("own_installation")


@pytest.fixture
async def own_installation(
    stores: Addresses, database: Database, realtime: str
) -> AsyncIterator[Installation]:
    async with new_installation(stores, database, realtime) as installation:
        yield installation


@pytest.fixture(autouse=True)
def short_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close write intents of messages early: `market.settled` waits for them, too."""
    monkeypatch.setattr("server.workers.message_writer.INTENT_SECONDS", 0.02)


@pytest.fixture
def server(installation: Installation, request: pytest.FixtureRequest) -> Server:
    """A server inside the test; at its end the books are checked, see `clean_books.py`."""
    if has_one_server(request.node):
        return request.getfixturevalue("shared").server
    return request.getfixturevalue("started_server")


@pytest.fixture
async def started_server(
    installation: Installation, request: pytest.FixtureRequest
) -> AsyncIterator[Server]:
    await prepare_world(installation, request)
    async with running_server(installation) as server:
        yield server
        if clean_books.is_checked(request.node):
            await clean_books.check_books(server)


@pytest.fixture
def market(server: Server, request: pytest.FixtureRequest) -> Market:
    """Users of the server inside the test."""
    shared = has_one_server(request.node)
    return request.getfixturevalue("market_on_shared_server" if shared else "own_market")


@pytest_asyncio.fixture(loop_scope="module")
async def market_on_shared_server(shared: Shared) -> AsyncIterator[Market]:
    async with new_market(shared.server, shared.installation) as market:
        yield market
    await check_unchanged(shared.server)


@pytest.fixture
async def own_market(server: Server, installation: Installation) -> AsyncIterator[Market]:
    async with new_market(server, installation) as market:
        yield market


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    forks = ForkServer()
    yield forks
    forks.close()


@pytest.fixture
async def processes(
    installation: Installation,
    tmp_path: Path,
    fork_server: ForkServer,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Processes]:
    """Real processes on one database; `processes.market` has the users. At the end of a test the
    books are checked, see `clean_books.py`."""
    async with new_processes(installation, tmp_path, fork_server) as processes:
        yield processes
        if clean_books.is_checked(request.node):
            await clean_books.check_books_of_processes(installation, processes)


@pytest.fixture
async def isolated_processes(
    installation: Installation, tmp_path: Path, fork_server: ForkServer
) -> AsyncIterator[Processes]:
    """Real processes with a Redis of their own, which `processes.redis` starts."""
    env = {**installation.env, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    market = Market(load(env), installation.url, installation.sandbox)
    started = Processes(env, market, tmp_path, fork_server)
    yield started
    await market.close()
    await started.close()


@pytest.fixture
async def books(installation: Installation) -> AsyncIterator[Callable[[], Awaitable[Report]]]:
    """The audit of the books, outside of every server: balances, journal and sandbox agree."""
    container = Container(installation.settings)
    yield lambda: audit(container.ports)
    await container.close()


@pytest.fixture
def smtp(installation: Installation, request: pytest.FixtureRequest) -> SmtpServer:
    """A mail server for the mails of the installation. Request it before `market` or `server`."""
    if has_one_server(request.node):
        return request.getfixturevalue("shared").smtp
    return request.getfixturevalue("own_smtp")


@pytest.fixture
async def own_smtp(installation: Installation) -> AsyncIterator[SmtpServer]:
    async with new_mail_server(installation) as smtp:
        yield smtp


@pytest.fixture
def verification_required(installation: Installation, request: pytest.FixtureRequest) -> None:
    """New accounts must verify their address. Request it before `market` or `server`."""
    if not has_one_server(request.node):
        installation.configure(REQUIRE_VERIFICATION="on")


@pytest.fixture(scope="session")
def world_of_negotiation() -> World:
    return World(Negotiation, Negotiation.prepare)


@pytest.fixture(scope="session")
def world_of_offer() -> World:
    return World(Negotiation, Negotiation.prepare_offer)


@pytest.fixture(scope="session")
def world_of_work() -> World:
    return World(JobInProgress, JobInProgress.start)


@pytest.fixture(scope="session")
def world_of_completed_work() -> World:
    return World(JobInProgress, JobInProgress.start_and_complete)


@pytest.fixture
async def negotiation(world_of_negotiation: World, market: Market, server: Server) -> Negotiation:
    """A customer, an applicant and an open job, ready for an offer."""
    return await world_of_negotiation.enter(market, server)


@pytest.fixture
async def offered(world_of_offer: World, market: Market, server: Server) -> Negotiation:
    """A negotiation with a pending offer, `offered.offer`, whose money is held."""
    return await world_of_offer.enter(market, server)


@pytest.fixture
async def work(world_of_work: World, market: Market, server: Server) -> JobInProgress:
    """A job in progress whose payment is captured."""
    return await world_of_work.enter(market, server)


@pytest.fixture
async def completed_work(
    world_of_completed_work: World, market: Market, server: Server
) -> JobInProgress:
    """A completed job whose share is paid to the contractor's wallet."""
    return await world_of_completed_work.enter(market, server)


@pytest.fixture
def started() -> Iterator[list[DevServer]]:
    """Add the servers that a test starts; they are ended, and their output is shown if it fails."""
    servers: list[DevServer] = []
    yield servers
    for dev in servers:
        dev.stop(signal.SIGKILL)
        print(dev.output)


@pytest.fixture
def prompt_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are tried again within 0.3 s. Request this fixture before `market`."""
    monkeypatch.setattr("server.workers.outbox_relay.POLL_SECONDS", 0.1)
    monkeypatch.setattr("server.workers.outbox_relay.LEAST_DELAY", 0.05)
    monkeypatch.setattr("server.workers.outbox_relay.FIRST_DELAY", 0.1)


@pytest.fixture
def prompt_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs that run every few seconds run five times a second. Request this fixture before
    `market` or `server`."""
    jobs = [
        msgspec.structs.replace(job, seconds=0.2) if job.seconds <= 3 else job
        for job in scheduler.JOBS
    ]
    monkeypatch.setattr(scheduler, "JOBS", jobs)


@pytest.fixture
def prompt_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's driver looks for a server again at once: it does that with its next heartbeat.
    Request this fixture before `installation`, `market` or `server`."""
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.05)
    monkeypatch.setattr("domain.kernel.mongo_client.HEARTBEAT_SECONDS", 0.05)


@pytest.fixture
def impatient_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway waits one second for Stripe. Request this fixture before `market`."""
    monkeypatch.setattr("server.adapters.stripe_connections.TIMEOUT_SECONDS", 1)
