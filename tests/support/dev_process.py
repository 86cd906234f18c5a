"""`server dev` on a data folder, as a child process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from server.dev.stores import ROOT

if TYPE_CHECKING:
    from tests.support.fork_server import ForkServer

START_SECONDS = 40.0


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: `env`, and of this process what finds its programs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "MONGO_BIN") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "120", **env}


class DevServer:
    """A `server dev` process on a data folder: a fork, if need be with other module constants, or
    without `fork_server` a program of its own."""

    def __init__(
        self,
        folder: Path,
        port: int,
        log: Path,
        fork_server: "ForkServer | None" = None,
        constants: Mapping[str, Any] | None = None,
        **env: str,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        given = {"DATA_DIR": str(folder), "PORT": str(port), "SANDBOX": "plain", **env}
        cleaned = clean_environment(given)
        self.process: Any
        if fork_server:
            self.process = fork_server.start("dev", env=cleaned, log=log, constants=constants or {})
            return
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server", "dev"],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                env=cleaned,
                start_new_session=True,
            )

    def wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            assert self.process.poll() is None and time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return self.http("GET", "/readyz")[0] == 200
        except URLError:
            return False

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def http(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, method=method)
        if data:
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except HTTPError as refused:
            return refused.code, json.load(refused)

    def children(self) -> list[int]:
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(pid) for pid in listed.stdout.split()]

    def child(self, word: str) -> int:
        """The process id of the store whose command contains `word`."""
        return next(
            pid for pid in self.children() if word in Path(f"/proc/{pid}/cmdline").read_text()
        )

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(timeout=30)
