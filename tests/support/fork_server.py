"""Starts `python -m server` as a fork of a process that has loaded the server already.

Loading takes most of the CPU time of a start. A fork is a process of its own, with its own
environment, input, output, session and exit code, and it runs the same `server/__main__.py` to the
end. It hashes passwords at the least cost. Tests of the command line itself and of memory start an
interpreter instead.

The fork server is single-threaded and runs no code of ours before a fork. It gets each request
with four descriptors: a channel, on which it answers with the process id and later the exit code,
then input, output and errors. Its end, even by SIGKILL, ends all forks.
"""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from typer.main import get_command

from server.adapters import argon2_passwords
from server.dev.stores import ROOT, WATCHDOG
from server.runtime.loading import loading
from tests.support.dev_process import clean_environment
from tests.support.password_cost import LEAST_COST

LOADED = ("server.cli.main", "server.app", "server.dev.run", "server.dev.demo", "server.cli.audit")
MOST_BYTES = 65_536
COMMAND_SECONDS = 60
PR_SET_PDEATHSIG = 1
NONE: Mapping[str, Any] = {}


class ForkedProcess:
    """The part of `asyncio.subprocess.Process` that `RunningProcess` uses."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self._channel = channel
        self._ending = asyncio.create_task(self._end())

    @property
    def returncode(self) -> int | None:
        return self._ending.result() if self._ending.done() else None

    def send_signal(self, sign: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, sign)

    async def wait(self) -> int:
        return await asyncio.shield(self._ending)

    async def _end(self) -> int:
        with self._channel:
            answer = await asyncio.get_running_loop().sock_recv(self._channel, MOST_BYTES)
        return int(answer or -signal.SIGKILL)  # no answer: the fork server has ended


class ForkedCommand:
    """The part of `subprocess.Popen` that `DevServer` uses."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._channel = channel

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.001)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Raises TimeoutExpired."""
        if self.returncode is None:
            self._channel.settimeout(timeout)
            try:
                answer = self._channel.recv(MOST_BYTES)
            except TimeoutError as late:
                raise subprocess.TimeoutExpired("python -m server", timeout) from late
            self._channel.close()
            self.returncode = int(answer or -signal.SIGKILL)
        return self.returncode

    def send_signal(self, sign: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, sign)


class ForkServer:
    """Started with the first fork, and closed at the end of the session."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def fork(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        constants: Mapping[str, Any] = NONE,
    ) -> ForkedProcess:
        """Start `python -m server WORDS` with this environment and no other variables. `constants`
        are given new values there, as `monkeypatch.setattr` does it here."""
        channel = self._log_to(log, words, env, constants)
        pid = int(await asyncio.get_running_loop().sock_recv(channel, MOST_BYTES))
        return ForkedProcess(pid, channel)

    def start(
        self,
        *words: str,
        env: Mapping[str, str],
        log: Path,
        constants: Mapping[str, Any] = NONE,
    ) -> ForkedCommand:
        """Like `fork`, for tests without an event loop."""
        channel = self._log_to(log, words, env, constants)
        channel.setblocking(True)
        return ForkedCommand(int(channel.recv(MOST_BYTES)), channel)

    def _log_to(
        self, log: Path, words: Sequence[str], env: Mapping[str, str], constants: Mapping[str, Any]
    ) -> socket.socket:
        with Path(os.devnull).open("rb") as nothing, log.open("wb") as output:
            channel = self._request(words, env, [nothing, output, output], constants)
        channel.setblocking(False)
        return channel

    def run(
        self,
        *words: str,
        env: Mapping[str, str],
        stdin: str = "",
        constants: Mapping[str, Any] = NONE,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, for tests without an event loop; `constants` as for `fork`."""
        with contextlib.ExitStack() as stack:
            given, output, errors = (
                stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3)
            )
            given.write(stdin)
            given.seek(0)
            files = [given, output, errors]
            channel = self._request(words, clean_environment(env), files, constants)
            with channel:
                channel.settimeout(COMMAND_SECONDS)
                channel.recv(MOST_BYTES)
                code = int(channel.recv(MOST_BYTES))
            for written in (output, errors):
                written.seek(0)
            return subprocess.CompletedProcess(words, code, output.read(), errors.read())

    def _request(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        files: Sequence[IO[Any]],
        constants: Mapping[str, Any] = NONE,
    ) -> socket.socket:
        control = self._control or self._start()
        channel, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wanted = {"words": list(words), "env": dict(env), "constants": dict(constants)}
        request = json.dumps(wanted).encode()
        with its_end:
            socket.send_fds(control, [request], [each.fileno() for each in (its_end, *files)])
        return channel

    def _start(self) -> socket.socket:
        self._control, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            self._process = subprocess.Popen(
                # Under the watchdog, which ends it when the tests themselves are killed.
                [
                    *(sys.executable, "-I", "-S", str(WATCHDOG)),
                    *(sys.executable, "-m", __name__, str(its_end.fileno())),
                ],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                start_new_session=True,
                pass_fds=[its_end.fileno()],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self._control

    def close(self) -> None:
        if self._process and self._control and self._process.stdin:
            self._control.close()
            self._process.wait(timeout=30)
            self._process.stdin.close()


# -- in the fork server ----------------------------------------------------------------------


def serve(control: socket.socket) -> list[str] | None:
    """Fork until the tests close the control socket. In a fork, returns the words to run."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data:
                    selector.unregister(key.fileobj)
                    _report_end(key.fd, *key.data)
                    continue
                request, descriptors, _, _ = socket.recv_fds(control, MOST_BYTES, 4)
                if not request:
                    return None
                channel, streams = socket.socket(fileno=descriptors[0]), descriptors[1:]
                parent, pid = os.getpid(), os.fork()
                if pid == 0:
                    channel.close()
                    for inherited in selector.get_map().values():
                        os.close(inherited.fd)
                        if inherited.data:
                            inherited.data[1].close()
                    return _become(json.loads(request), streams, parent)
                for stream in streams:
                    os.close(stream)
                channel.send(str(pid).encode())
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, channel))


def _report_end(pidfd: int, pid: int, channel: socket.socket) -> None:
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    with channel, contextlib.suppress(BrokenPipeError):
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any], streams: list[int], parent: int) -> list[str]:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["env"])
    for name, value in request["constants"].items():
        module, _, constant = name.rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, constant), name
        setattr(found, constant, value)
    return list(request["words"])


def read_a_command_line() -> None:
    """Typer imports pydantic when it reads its first one."""
    from server.cli.main import app

    get_command(app).make_context("server", ["worker"])


def main() -> None:
    with loading():
        for name in LOADED:
            importlib.import_module(name)
        read_a_command_line()
    argon2_passwords.COST = LEAST_COST
    gc.freeze()  # a collection in a fork would copy the memory of all that is loaded
    words = serve(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        sys.argv[1:] = words
        runpy.run_module("server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
