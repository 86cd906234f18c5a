"""The demo and the audit on a running dev server, with wrong books, and that it shows no secret."""

import json
import re
import secrets
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from domain import ledger
from domain.kernel.money import Schedule
from domain.kernel.outbox import Delivery
from domain.kernel.settings import Rates
from domain.kernel.store import Store
from domain.ledger.balances import Balance
from domain.ledger.transaction import Posting, Transaction
from server.adapters.system_clock import SystemClock
from server.dev import demo
from server.dev.run import create_demo_accounts
from server.dev_environment import FILE, beside_dev, published
from server.redaction import secrets_of_url
from tests.conftest import Server
from tests.support.dev_process import DevServer
from tests.support.field_codecs import CODEC
from tests.support.fork_server import ForkServer
from tests.support.password_cost import LEAST_COST
from tests.support.processes import free_port

AMOUNT = 100_000
NOWHERE = "127.0.0.1:1"


def figures(output: str) -> dict[str, tuple[int, int, int]]:
    """{row: (before, this run, now)} of the demo's last table."""
    rows = re.findall(r"│ ([a-z ]+?) +│ +(-?\d+) │ +([+-]\d+) │ +(-?\d+) │", output)
    return {name: (int(was), int(moved), int(now)) for name, was, moved, now in rows}


def balances(output: str) -> dict[str, int]:
    """{account: minor units} of the audit's first table."""
    return {name: int(sum) for name, sum in re.findall(r"│ (\S+) +│ USD +│ +(-?\d+) │", output)}


@pytest.mark.timeout(300)
async def test_demo_and_audit_beside_a_running_dev_server(
    tmp_path: Path, started: list[DevServer], fork_server: ForkServer
) -> None:
    """Fails without `dev_environment.published` in `run.run` (nothing is found), without `inc` of
    the balance in `booking._change_balance` or the fee in `processing.accept_offer` (the figures),
    without the `unlink` in `published` (the file stays), without the handler of SIGINT (the exit
    code), and, for the audits of spoilt books, without `books_audit._check_balances`.

    No secret is shown. Guard: `Settings.secrets` and `redacted` in `log_setup.configure`;
    `redis.conf` in `store_kinds._redis_command`; `Kind.environment`. Mails and files fail, with
    credentials that libraries put into their errors."""
    marks = {name: f"Mark{secrets.token_hex(8)}" for name in ("smtp", "aws", "admin")}
    data = tmp_path / "data"
    env = {"DATA_DIR": str(data)}
    talkative = {
        "LOG_LEVEL": "DEBUG",
        "SMTP_URL": f"smtp://user:{marks['smtp']}@{NOWHERE}",
        "S3_BUCKET": "bucket",
        "S3_ENDPOINT": f"http://{NOWHERE}",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": marks["aws"],
    }
    strict = {"SANDBOX": ""}  # the default
    dev = DevServer(data, free_port(), tmp_path / "dev.log", fork_server, **strict, **talkative)
    started.append(dev)
    dev.wait_until_it_serves()
    assert stat.S_IMODE((data / FILE).stat().st_mode) == 0o600
    shown = _command_lines(dev.process.pid)

    shown += _play_twice_and_audit(env, talkative, fork_server)
    await _spoil_and_audit(data, env, fork_server)

    words = ("admin", "create", "root@example.com", "Root")
    beside = env | talkative | {"ADMIN_PASSWORD": f"{marks['admin']} and more words"}
    created = fork_server.run(*words, env=beside)
    audited = fork_server.run("audit", env=env | talkative)
    for ran in (created, audited):
        assert ran.returncode == 0, ran.stderr
        shown += ran.stdout + ran.stderr
    hidden = [*marks.values(), *_secrets(data)]
    assert len(hidden) >= 10

    assert dev.stop(signal.SIGINT) == 0
    assert not (data / FILE).exists()
    shown += dev.output
    for log in (data / "logs").iterdir():
        shown += log.read_text(errors="replace")
    assert [secret for secret in hidden if secret in shown] == []
    alone = fork_server.run("audit", env=env)
    assert alone.returncode == 2
    assert "MONGO_URL is required" in alone.stderr


def _secrets(data: Path) -> list[str]:
    """What the dev server has generated, and what it publishes for a second terminal."""
    made: dict[str, Any] = json.loads((data / "secrets.json").read_text())
    found = [made.pop("webhook_secrets"), [value for value in made.values() if value]]
    running = json.loads((data / FILE).read_text())
    found += [[running["SANDBOX_CONTROL_KEY"]], secrets_of_url(running["REDIS_URL"])]
    return [secret for part in found for secret in part if not secret.startswith("pk_")]


def _command_lines(pid: int) -> str:
    """Of a process and all its descendants."""
    found = Path(f"/proc/{pid}/cmdline").read_text()
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    )
    return found + "".join(_command_lines(int(child)) for child in listed.stdout.split())


def _play_twice_and_audit(
    env: dict[str, str], talkative: dict[str, str], fork_server: ForkServer
) -> str:
    """Returns what the commands have shown."""
    first = fork_server.run("demo", env=env | talkative)
    assert first.returncode == 0, first.stderr
    assert figures(first.stdout) == {
        "contractor wallet": (0, 70000, 70000),
        "contractor pending": (0, 0, 0),
        "platform": (0, 30000 - 2930, 27070),  # 2.9 % + 30 are Stripe's
        "escrow": (0, 0, 0),
    }
    for seen in ("customer    ⇐ /bidding offer.accepted", "contractor2 ⇐ /bidding offer.blocked"):
        assert seen in first.stdout

    second = fork_server.run("demo", "--withdraw", "--amount", "20001", env=env)
    assert (second.returncode, second.stderr) == (0, "")
    assert figures(second.stdout)["contractor wallet"] == (70000, 0, 70000)
    assert figures(second.stdout)["platform"] == (27070, 6000 - 610, 32460)

    proof = fork_server.run("audit", env=env)
    assert (proof.returncode, proof.stderr) == (0, "")
    assert "No differences" in proof.stdout
    assert balances(proof.stdout) == {
        "escrow": 0,
        "platform": 32460,
        "stripe_fees": 3540,
        "wallet:available": 70000,
        "wallet:pending": 0,
        "wallet:in_transit": 0,
        "world:bank": 14001,
        "world:stripe": -120001,
    }
    return "".join(ran.stdout + ran.stderr for ran in (first, second, proof))


async def _spoil_and_audit(data: Path, env: dict[str, str], fork_server: ForkServer) -> None:
    """A balance that moved alone, then a journal row that was rewritten; both are mended."""
    url = json.loads((data / FILE).read_text())["MONGO_URL"]
    store = Store(url, SystemClock(), Rates(Schedule(1000, 2000), ("USD",)), CODEC)
    try:
        uow = store.single()
        wallet = await uow.find(Balance, {"kind": "wallet", "balance": 70000})
        assert wallet
        await uow.change(Balance, wallet.id, inc={"balance": 1})
        spoilt = fork_server.run("audit", env=env)
        assert spoilt.returncode == 1
        assert re.search(r"│ balance +│ wallet:usr_.* │ 70000 +│ 70001 +│", spoilt.stdout)
        assert "The books do not agree: 1 differences." in spoilt.stderr
        await uow.change(Balance, wallet.id, inc={"balance": -1})

        fact = await uow.find(Transaction, {"kind": "completed"})
        assert fact
        less = [Posting(p.source, p.destination, p.amount - 1) for p in fact.postings]
        await uow.change(Transaction, fact.id, postings=less)
        spoilt = fork_server.run("audit", env=env)
        assert spoilt.returncode == 1
        assert "platform by the holdings" in spoilt.stdout
        await uow.change(Transaction, fact.id, postings=fact.postings)
    finally:
        store.close()


@pytest.fixture
async def accounts(server: Server) -> None:
    """The demo accounts, with hashes of the least cost."""
    passwords: Any = server.ports.passwords
    passwords._hasher = PasswordHasher.from_parameters(LEAST_COST)
    await create_demo_accounts(server.ports)


@pytest.mark.usefixtures("accounts")
async def test_the_demo_fails_when_a_push_is_missing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the time-out in `Client.sees`, or its comparison of the fields."""
    push = server.web.relay._push

    async def lossy(delivery: Delivery, *rest: Any) -> None:
        if delivery.name != "job.updated" or delivery.data["status"] != "assigned":
            await push(delivery, *rest)

    monkeypatch.setattr(server.web.relay, "_push", lossy)
    monkeypatch.setattr(demo, "WAIT_SECONDS", 3.0)
    with pytest.raises(demo.StoryFailed, match=r"contractor got no /job job\.updated"):
        await demo.play(server.url, AMOUNT, withdraw=False)


@pytest.mark.usefixtures("accounts")
@pytest.mark.books_differ("the demo has to see it")
async def test_the_demo_fails_when_the_books_are_wrong(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the comparison with `expected` in `Story.check`."""
    book = ledger.book

    async def careless(uow: Any, fact: str, kind: str, *rest: Any, **more: Any) -> None:
        if kind != "accepted":
            await book(uow, fact, kind, *rest, **more)

    monkeypatch.setattr(ledger, "book", careless)
    wrong = "platform has changed by 20000 instead of 30000; escrow has changed by 10000"
    with pytest.raises(demo.StoryFailed, match=wrong):
        await demo.play(server.url, AMOUNT, withdraw=False)


async def test_the_demo_names_an_absent_server_and_an_unknown_account(server: Server) -> None:
    """Fails without the two StoryFailed of `HttpClient.json`."""
    with pytest.raises(demo.StoryFailed, match="make run"):
        await demo.play(f"http://127.0.0.1:{free_port()}", AMOUNT, withdraw=False)
    with pytest.raises(demo.StoryFailed, match="login was refused"):
        await demo.play(server.url, AMOUNT, withdraw=False)


def test_the_environment_of_a_killed_dev_server_is_ignored(tmp_path: Path) -> None:
    """Fails without the lock that `dev_environment._read` looks for."""
    env = {"DATA_DIR": str(tmp_path)}
    with published(tmp_path, {"MONGO_URL": "mongodb://here"}):
        assert beside_dev(env) == {**env, "MONGO_URL": "mongodb://here"}
        left = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(left)
    assert beside_dev(env) == env


def test_another_store_in_the_environment_keeps_the_dev_servers_out(tmp_path: Path) -> None:
    """Fails without the comparison of STORES: otherwise an own database is used with the sandbox's
    payments."""
    env = {"DATA_DIR": str(tmp_path), "LOG_LEVEL": "DEBUG"}
    with published(tmp_path, {"MONGO_URL": "mongodb://here", "STRIPE_SECRET_KEY": "sk_test_here"}):
        assert beside_dev(env)["STRIPE_SECRET_KEY"] == "sk_test_here"
        same = {**env, "MONGO_URL": "mongodb://here"}
        assert beside_dev(same)["STRIPE_SECRET_KEY"] == "sk_test_here"
        other = {**env, "MONGO_URL": "mongodb://there"}
        assert beside_dev(other) == other
