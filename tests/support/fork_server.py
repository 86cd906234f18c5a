"""Starts `python -m server` as a fork of a process that has loaded the server already.

Loading takes most of the CPU time of a start. A fork is a process of its own, with its own
environment, output, session and exit code, and it runs the same `server/__main__.py` to the end.
Tests of the command line and of memory start an interpreter instead.

The fork server is single-threaded and runs no code of ours before a fork. It gets each request
with two descriptors: a channel, on which it answers with the process id and later the exit code,
and the log. Its end, even by SIGKILL, ends all forks.
"""

import asyncio
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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.dev.stores import ROOT, WATCHDOG
from server.runtime.loading import loading

LOADED = ("server.cli.main", "server.cli.serve", "server.app")
REQUEST_BYTES = 65_536
PR_SET_PDEATHSIG = 1


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
            answer = await asyncio.get_running_loop().sock_recv(self._channel, 16)
        return int(answer or -signal.SIGKILL)  # no answer: the fork server has ended


class ForkServer:
    """Started with the first fork, and closed at the end of the session."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def fork(self, words: Sequence[str], env: Mapping[str, str], log: Path) -> ForkedProcess:
        """Run `python -m server WORDS` with this environment and no other variables."""
        control = self._control or self._start()
        channel, its_end = socket.socketpair()
        channel.setblocking(False)
        request = json.dumps({"words": list(words), "env": dict(env)}).encode()
        with its_end, log.open("wb") as output:
            socket.send_fds(control, [request], [its_end.fileno(), output.fileno()])
        pid = int(await asyncio.get_running_loop().sock_recv(channel, 16))
        return ForkedProcess(pid, channel)

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
                request, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, 2)
                if not request:
                    return None
                channel, log = socket.socket(fileno=descriptors[0]), descriptors[1]
                parent, pid = os.getpid(), os.fork()
                if pid == 0:
                    channel.close()
                    for inherited in selector.get_map().values():
                        os.close(inherited.fd)
                        if inherited.data:
                            inherited.data[1].close()
                    return _become(json.loads(request), log, parent)
                os.close(log)
                channel.send(str(pid).encode())
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, channel))


def _report_end(pidfd: int, pid: int, channel: socket.socket) -> None:
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    with channel, suppress(BrokenPipeError):
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any], log: int, parent: int) -> list[str]:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["env"])
    return list(request["words"])


def main() -> None:
    with loading():
        for name in LOADED:
            importlib.import_module(name)
    gc.freeze()  # a collection in a fork would copy the memory of all that is loaded
    words = serve(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        sys.argv[1:] = words
        runpy.run_module("server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
