"""The command line: real processes, their output, exit codes and files."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from domain.accounts.user import User
from server.dev.stores import ROOT
from tests.conftest import Installation
from tests.support.dev_process import DevServer
from tests.support.fork_server import ForkServer
from tests.support.market import Market
from tests.support.parties import PASSWORD
from tests.support.processes import Processes, free_port

pytestmark = pytest.mark.slow

DEMO_LOGINS = (
    ("customer@demo.test", "customer"),
    ("contractor@demo.test", "contractor"),
    ("contractor2@demo.test", "contractor"),
    ("admin@demo.test", "admin"),
)


def reached(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def gone(pids: list[int]) -> bool:
    return reached(lambda: not any(running(pid) for pid in pids))


def running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def test_dev_starts_from_nothing_and_finds_its_data_again(
    tmp_path: Path, started: list[DevServer], fork_server: ForkServer
) -> None:
    """Guard: `embedded(...)`, `create_demo_accounts` and `_welcome`; the lock that `embedded` takes
    on DATA_DIR; the watchdog around the stores. After the kill: `secrets.load` (else the old token
    is refused), no new endpoint in `_register_webhooks`, and `keep_private`; `Supervisor` in
    `Embedded._supervise` for a store that dies, and `first_death` in `_serve` when a new start does
    not help."""
    data = tmp_path / "data"
    first = DevServer(data, free_port(), tmp_path / "first.log")
    started.append(first)
    first.wait_until_it_serves()
    for email, role in DEMO_LOGINS:  # from the first moment on
        login = {"email": email, "password": "demo-jobsphere"}
        status, signed_in = first.http("POST", "/api/account/login", login)
        assert (status, signed_in["user"]["role"]) == (200, role)
    assert all(email in first.output for email, _ in DEMO_LOGINS)
    token = signed_in["access_token"]
    children = first.children()
    assert len(children) == 3
    hooks = json.loads((data / "secrets.json").read_text())["webhook_secrets"]
    assert len(hooks) == 3
    assert _open_to_others(data) == []

    refused = fork_server.run("dev", env={"DATA_DIR": str(data), "PORT": str(free_port())})
    assert refused.returncode == 1
    said = f"in use by another JobSphere server (process {first.process.pid})"
    assert said in refused.stderr

    first.stop(signal.SIGKILL)
    assert gone(children)

    (data / "redis").chmod(0o755)
    (data / "secrets.json").chmod(0o644)
    prompt = {"server.dev.supervision.LOOK_SECONDS": 0.1}
    second = DevServer(data, free_port(), tmp_path / "second.log", fork_server, prompt)
    started.append(second)
    second.wait_until_it_serves()
    status, me = second.http("GET", "/api/account/me", token=token)
    assert (status, me["id"]) == (200, signed_in["user"]["id"])
    assert json.loads((data / "secrets.json").read_text())["webhook_secrets"] == hooks
    assert _endpoints(data) == [f"{second.url}/webhooks/stripe"] * 2
    assert _open_to_others(data) == []

    _kill_redis_until_dev_ends(second, data, signed_in["refresh_token"])


def _kill_redis_until_dev_ends(dev: DevServer, data: Path, refresh_token: str) -> None:
    children = dev.children()
    os.kill(dev.child("valkey"), signal.SIGKILL)
    assert reached(lambda: "embedded store answers again" in dev.output), dev.output
    refresh = ("POST", "/api/account/refresh", {"refresh_token": refresh_token})
    assert reached(lambda: dev.http(*refresh)[0] == 200)  # Redis is not asked for a second

    (manifest,) = (data / "redis").rglob("appendonly.aof.manifest")
    manifest.write_text("this is no manifest\n")
    os.kill(dev.child("valkey"), signal.SIGKILL)
    assert dev.process.wait(timeout=60) == 1
    assert "Redis (Valkey) ended unexpectedly (exit code 1)" in dev.output
    assert "Traceback" not in dev.output
    assert gone(children)


def _open_to_others(data: Path) -> list[Path]:
    """What others than the owner may read or write."""
    return [path for path in (data, *data.rglob("*")) if path.stat().st_mode & 0o077]


def _endpoints(data: Path) -> list[str]:
    """The addresses that the sandbox delivers to, from its own file."""
    with sqlite3.connect(f"file:{data}/stripe/sandbox.db?mode=ro", uri=True) as db:
        rows = db.execute("SELECT body FROM objects WHERE kind = 'webhook_endpoint'").fetchall()
    return [json.loads(body)["url"] for (body,) in rows]


def test_a_taken_port_is_said_in_a_sentence(
    installation: Installation, fork_server: ForkServer
) -> None:
    """Fails without the OSError mapping in `app.listening`."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", installation.settings.port))
        taken.listen()
        refused = fork_server.run("web", env=installation.env)
    assert refused.returncode == 1
    assert f"Port {installation.settings.port} is in use" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("word", ["web", "worker", "dev"])
def test_all_problems_of_the_configuration_are_told_at_once(
    word: str, tmp_path: Path, fork_server: ForkServer
) -> None:
    """Fails without the ConfigError branches of the commands; `dev` also when the stores are
    started before the check."""
    env = {"PORT": "none", "LOG_LEVEL": "LOUD", "DATA_DIR": str(tmp_path / "data")}
    refused = fork_server.run(word, env=env)
    assert refused.returncode == 2
    assert "PORT must be a whole number" in refused.stderr
    assert "LOG_LEVEL must be one of" in refused.stderr
    assert ("MONGO_URL is required" in refused.stderr) == (word != "dev")
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("word", ["web", "worker"])
async def test_a_database_with_demo_accounts_is_refused(
    word: str, installation: Installation, processes: Processes, fork_server: ForkServer
) -> None:
    """Fails without `container.refuse_demo_accounts` in `app.listening` and `serve.worker`."""
    await _add_user(processes.market, "contractor2@demo.test")
    refused = await asyncio.to_thread(fork_server.run, word, env=installation.env)
    assert refused.returncode == 1
    assert "This database has demo accounts" in refused.stderr


async def _add_user(market: Market, email: str) -> None:
    party = await market.customer(connect=False)
    await market.store.single().change(User, party.id, email=email)


async def test_an_administrator_is_created_and_signs_in(
    installation: Installation, processes: Processes, fork_server: ForkServer
) -> None:
    """Fails without `role=Role.ADMIN` in `create_admin`, its `.lower()` of the address, or its
    row in the audit trail."""
    words = ("admin", "create", "Root@Example.com", "Root", "--password-stdin")
    create = partial(fork_server.run, *words, env=installation.env, stdin=PASSWORD + "\n")
    made = await asyncio.to_thread(create)
    assert made.returncode == 0, made.stderr
    again = await asyncio.to_thread(create)
    assert again.returncode == 1
    assert "already has an account" in again.stderr
    [row] = await processes.market.trail()
    [admin] = await processes.market.rows(User)
    assert (row.operation, row.subjects) == ("cli.create_admin", (admin.id,))

    server = await processes.web()
    status, answer = await processes.market.anonymous_client(server.url).http(
        "POST", "/api/account/login", {"email": "root@example.com", "password": PASSWORD}
    )
    assert (status, answer["user"]["role"]) == (200, "admin")


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("root@example.com", "too-short", "password"),
        ("root@example.com", "demo-jobsphere", "public one of the demo accounts"),
        ("not an address", PASSWORD, "email"),
    ],
)
async def test_a_weak_administrator_is_refused(
    email: str,
    password: str,
    said: str,
    installation: Installation,
    processes: Processes,
    fork_server: ForkServer,
) -> None:
    """Fails without `REGISTER.parse` in create_admin, or the check for the demo password."""
    words = ("admin", "create", email, "Root", "--password-stdin")
    refused = await asyncio.to_thread(
        fork_server.run, *words, env=installation.env, stdin=password + "\n"
    )
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert await processes.market.rows(User) == []


async def test_web_and_worker_end_gracefully(processes: Processes) -> None:
    """Fails without the SIGTERM handler of `serve.run`: the exit code would be -15. Others fork
    these processes; here they start with an interpreter."""
    processes.fork_server = None
    started = await asyncio.gather(processes.web(), processes.worker())
    assert await asyncio.gather(*(each.stop() for each in started)) == [0, 0]


def test_help_does_not_load_the_server() -> None:
    """Fails when a command's imports move to the top of server/cli.py."""
    code = (
        "import sys, server.cli; print(sorted({'motor', 'aiohttp', 'stripe'} & set(sys.modules)))"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert listed.stdout.strip() == "[]"
