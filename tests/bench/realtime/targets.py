"""The measured servers: real processes on their own core, with CPU and memory from /proc."""

import asyncio
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from server.dev.stores import ROOT, WATCHDOG
from tests.support.processes import free_port

PEER = Path(__file__).parents[1] / "peer"
BUN = PEER / "node_modules/bun/bin/bun.exe"  # called so on every system
START_SECONDS = 40.0
STOP_SECONDS = 10.0
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = {CORES[0]}
OTHER_CORES = set(CORES[1:] or CORES)


class Target:
    """A server that is started as a new process for each row."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        tidy_up: signal.Signals | None = None,
    ) -> None:
        self.name = name
        self.tidy_up = tidy_up  # the signal that makes it collect garbage
        self.port = 0
        self._command = command
        self._env = env
        self._log = folder / f"{name}.log"
        self._process: Process | None = None

    async def __aenter__(self) -> "Target":
        self.port = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(WATCHDOG),
                *self._command,
                cwd=ROOT,
                stdin=PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**kept, "PYTHONUNBUFFERED": "1", **self._env, "PORT": str(self.port)},
                preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORE),
            )
        deadline = time.monotonic() + START_SECONDS
        while not await self._answers():
            if self._process.returncode is not None or time.monotonic() > deadline:
                await self.__aexit__()
                raise CannotStart(f"{self.name} did not start:\n{self.tail()}")
            await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, TimeoutError):
                if self._process.returncode is None:
                    self._process.send_signal(sign)
                    await asyncio.wait_for(self._process.wait(), STOP_SECONDS)

    async def _answers(self) -> bool:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            line = await reader.readline()
            writer.close()
            return b" 200 " in line
        return False

    def tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def cpu(self) -> float:
        """CPU seconds of all its threads. Source: proc(5), schedstat."""
        return cpu_of(self.pid)

    async def memory(self) -> float:
        """Proportional memory in KiB after 2 s of idling. Source: proc(5), smaps_rollup."""
        if self.tidy_up:
            os.kill(self.pid, self.tidy_up)
        await asyncio.sleep(2)
        return pss_of(self.pid)


class CannotStart(Exception):
    """A server did not start. The message has the end of its log."""


def cpu_of(pid: int) -> float:
    used = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            used += int((thread / "schedstat").read_text().split()[0])
    return used / 1e9


def cpu_of_all() -> float:
    """CPU seconds of all descendants: the server and the stores."""
    return sum(cpu_of(pid) for pid in _started_by(os.getpid()))


def _started_by(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_started_by(int(child))]
    return found


def pss_of(pid: int) -> float:
    (line,) = re.findall(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    return float(line)


def ours(env: Mapping[str, str], folder: Path, name: str = "ours", **more: str) -> Target:
    # The limits of users are above what one core can do.
    unlimited = {"COMMANDS_PER_SECOND": "1000000", "SOCKETS_PER_USER": "1000000"}
    env = {**env, **unlimited, "LOG_LEVEL": "WARNING", **more}
    return Target(name, [sys.executable, "-m", "server", "web"], env, folder)


def peer(env: Mapping[str, str], folder: Path) -> Target:
    command = ["node", "--expose-gc", str(PEER / "peer.mjs")]
    env = {**env, "NODE_ENV": "production"}
    return Target("peer", command, env, folder, tidy_up=signal.SIGUSR2)


def bun(env: Mapping[str, str], folder: Path) -> Target:
    """The same peer on Bun, whose websockets are written in C++."""
    command = [str(BUN), str(PEER / "bun.mjs")]
    env = {**env, "NODE_ENV": "production"}
    return Target("bun", command, env, folder, tidy_up=signal.SIGUSR2)


def echo(folder: Path) -> Target:
    return Target("echo", [sys.executable, "-m", "tests.bench.realtime.echo"], {}, folder)
