"""Real web and worker processes, for tests of races, crashes and restarts."""

import asyncio
import itertools
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from server.dev.store_kinds import KINDS, Start
from server.dev.stores import ROOT, WATCHDOG
from tests.support.fork_server import ForkedProcess, ForkServer
from tests.support.market import Market

START_SECONDS = 30.0
STOP_SECONDS = 15.0
TAIL = 60
PROMPT = {  # constants of the relay: tasks are tried again within a second
    "server.workers.outbox_relay.POLL_SECONDS": 0.3,
    "server.workers.outbox_relay.LEAST_DELAY": 0.1,
    "server.workers.outbox_relay.FIRST_DELAY": 0.2,
    "server.workers.message_writer.INTENT_SECONDS": 0.02,
}
PORTS = itertools.cycle([11_000 + (os.getpid() * 499 + n) % 20_000 for n in range(20_000)])


class RunningProcess:
    """A started process. A worker has no `url`."""

    def __init__(
        self, name: str, process: Process | ForkedProcess, log: Path, url: str | None
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.address = url

    @property
    def url(self) -> str:
        assert self.address, "a worker has no address"
        return self.address

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        await self.end(signal.SIGKILL)

    async def stop(self) -> int:
        """Send SIGTERM and wait for the end. Returns the exit code."""
        return await self.end(signal.SIGTERM)

    def pause(self) -> None:
        """Suspend the process until `resume`."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def end(self, sign: signal.Signals) -> int:
        if self.alive:
            with suppress(ProcessLookupError):
                self.process.send_signal(sign)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])


class Processes:
    """Starts processes on one installation and ends them all. `market.join(..., url=second.url)`
    connects a party to one of them; without `url` it is the first web process.

    Servers are forks of `fork_server`. A test that measures memory sets it to None: a fork shares
    pages until it writes to them. `constants` are module constants with other values in the forks
    that are started from then on."""

    def __init__(
        self, env: Mapping[str, str], market: Market, folder: Path, fork_server: ForkServer
    ) -> None:
        self.env = dict(env)
        self.market = market
        self.folder = folder
        self.fork_server: ForkServer | None = fork_server
        self.constants: dict[str, Any] = dict(PROMPT)
        self.started: list[RunningProcess] = []
        self._numbers = itertools.count(1)

    async def web(self, **env: str) -> RunningProcess:
        """Start a web process and wait until it is ready. The first takes the installation's port,
        which gets Stripe's webhooks; so does one started after the first has ended."""
        taken = [each for each in self.started if each.address == self.market.url and each.alive]
        return await self._web(free_port() if taken else int(self.env["PORT"]), env)

    async def restart(self, ended: RunningProcess) -> RunningProcess:
        """Start a new web process at the address of an ended one."""
        return await self._web(int(ended.url.rpartition(":")[2]), {})

    async def _web(self, port: int, env: Mapping[str, str]) -> RunningProcess:
        url = f"http://127.0.0.1:{port}"
        running = await self._serve("web", {**env, "PORT": str(port)}, url)
        async with ClientSession(timeout=ClientTimeout(total=5)) as session:
            await self._wait(running, lambda: _answers(session, f"{running.url}/readyz"))
        return running

    async def worker(self, **env: str) -> RunningProcess:
        """Start a worker process and wait until it is ready."""
        running = await self._serve("worker", env, None)

        async def has_logged_ready() -> bool:
            return "worker ready" in running.log.read_text(errors="replace")

        await self._wait(running, has_logged_ready)
        return running

    async def redis(self) -> RunningProcess:
        """Start the Redis at REDIS_URL, for processes with their own Redis. It can be stopped and
        started again at the same address."""
        port = int(urlsplit(self.env["REDIS_URL"]).port or 0)
        kind = KINDS["redis"]
        start = Start(data=self.folder, port=port)
        running = await self._start("redis", kind.command(start), {}, None)

        async def answers() -> bool:
            with suppress(OSError):
                kind.ask(start)
                return True
            return False

        await self._wait(running, answers)
        return running

    async def close(self) -> None:
        """End all processes. Their logs are printed, and shown if the test fails."""
        for running in self.started:
            if running.alive:
                await running.kill()
            print(f"--- {running.name} (exit {running.process.returncode}) ---\n{running.tail()}")

    async def _serve(self, kind: str, env: Mapping[str, str], url: str | None) -> RunningProcess:
        if not self.fork_server:
            return await self._start(kind, [sys.executable, "-m", "server", kind], env, url)
        name, log = self._next(kind)
        process = await self.fork_server.fork([kind], self._environment(env), log, self.constants)
        return self._add(RunningProcess(name, process, log, url))

    async def _start(
        self, kind: str, command: Sequence[str], env: Mapping[str, str], url: str | None
    ) -> RunningProcess:
        name, log = self._next(kind)
        with log.open("wb") as output:
            # Under the watchdog, which ends the process when the tests themselves are killed.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(WATCHDOG),
                *command,
                cwd=ROOT,
                stdin=PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=self._environment(env),
            )
        return self._add(RunningProcess(name, process, log, url))

    def _next(self, kind: str) -> tuple[str, Path]:
        name = f"{kind}-{next(self._numbers)}"
        return name, self.folder / f"{name}.log"

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "PYTHONUNBUFFERED": "1", **self.env, **env}

    def _add(self, running: RunningProcess) -> RunningProcess:
        self.started.append(running)
        return running

    async def _wait(self, running: RunningProcess, ready: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await ready():
            if not running.alive or time.monotonic() > deadline:
                raise AssertionError(f"{running.name} did not start:\n{running.tail()}")
            await asyncio.sleep(0.05)


async def _answers(session: ClientSession, url: str) -> bool:
    with suppress(ClientError, OSError, TimeoutError):
        async with session.get(url) as response:
            return response.status == 200
    return False


def suspend(pid: int) -> None:
    """Suspend a child process until SIGCONT. Its threads stop one after the other, so some may
    go on for a while after the signal."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)


def free_port() -> int:
    """A port below the system's ephemeral range, from this test process's own series."""
    for port in PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: PORTS is infinite")
