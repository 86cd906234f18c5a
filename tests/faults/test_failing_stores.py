"""The stores are killed, suspended and full under steady load: what was acknowledged is kept, the
answers are clear, and recovery needs no operator."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from server.runtime.exit_limit import UNFINISHED
from tests.faults.outcome import until
from tests.support.databases import needs
from tests.support.dev_process import DevServer
from tests.support.fork_server import ForkServer
from tests.support.processes import free_port
from tests.support.steady_load import IN_PROGRESS, SteadyLoad, steady_load

LOGIN = ("customer@demo.test", "demo-jobsphere")
PATIENCE = 90
LONGEST = 15  # seconds, of a command that gets no answer from a store; a probe is much faster
MONGO, REDIS = "server.dev.mongo", "valkey"


@needs("our launcher")
async def test_stores_suspended_and_killed_under_load(
    tmp_path: Path, started: list[DevServer], fork_server: ForkServer
) -> None:
    """Guard: the time limits of `mongo_client.connect` and `Threads`, `Breaker`,
    `Readiness`, and the supervision of `Embedded`. Guard: `exit_within`: a process that waits for
    its stores ends `END_SECONDS` after the time for draining, and logs what it leaves."""
    dev = await _dev(tmp_path / "data", tmp_path, started, fork_server)
    async with steady_load(dev.url, *LOGIN) as load:
        await load.until_served()
        for word in (MONGO, REDIS):
            os.kill(dev.child(word), signal.SIGSTOP)
            if word == MONGO:
                await load.until_ready_is(False)
                await asyncio.sleep(6)  # beyond the limits of connecting and of waiting
            else:
                await asyncio.sleep(2)
            os.kill(dev.child(word), signal.SIGCONT)
            await load.until_served(PATIENCE)
            await load.until_ready_is(True, PATIENCE)

            killed = dev.child(word)
            os.kill(killed, signal.SIGKILL)
            await until(partial(_started_again, dev, word, killed))
            await load.until_served(PATIENCE)
            await load.until_ready_is(True, PATIENCE)
        await _assert_clear_and_kept(load)
        for word in (MONGO, REDIS):
            os.kill(dev.child(word), signal.SIGSTOP)
        await load.until_ready_is(False)
    assert await asyncio.to_thread(dev.stop) == UNFINISHED
    assert "the process did not end in time and is ended" in dev.output
    assert "Relay._renew_loop" in dev.output


async def _started_again(dev: DevServer, word: str, killed: int) -> bool:
    try:
        return dev.child(word) != killed
    except (OSError, StopIteration):
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MiB; only root may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(command).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_under_load(
    small_disk: Path, tmp_path: Path, started: list[DevServer], fork_server: ForkServer
) -> None:
    """Guard: `DiskSpace` in `Web._limited` and `Web._check_disk`."""
    dev = await _dev(small_disk / "data", tmp_path, started, fork_server)
    async with steady_load(dev.url, *LOGIN) as load:
        await load.until_served()
        with (small_disk / "filler").open("wb") as filler:
            _fill(filler.fileno())
        probe = await load.until_not_ready_for("disk")
        assert probe.status == 503
        assert "0 MiB are free" in probe.body["reasons"]["disk"]
        for _ in range(20):
            refused = await load.create()
            assert refused.code == "unavailable"
        (small_disk / "filler").unlink()
        await load.until_served(PATIENCE)
        await load.until_ready_is(True, PATIENCE)
        await _assert_clear_and_kept(load)
    assert dev.stop() == 0


def _fill(file: int) -> None:
    for size in (2**20, 2**12):
        try:
            while True:
                os.write(file, b"x" * size)
        except OSError:
            continue


async def _dev(
    data: Path, tmp_path: Path, started: list[DevServer], fork_server: ForkServer
) -> DevServer:
    log = tmp_path / "dev.log"
    dev = DevServer(data, free_port(), log, fork_server, COMMANDS_PER_SECOND="1000")
    started.append(dev)
    await asyncio.to_thread(dev.wait_until_it_serves)
    return dev


async def _assert_clear_and_kept(load: SteadyLoad) -> None:
    commands = load.since(0, "create", "me", "sessions")
    allowed = {"", "unavailable", IN_PROGRESS}
    assert [each for each in commands if each.code not in allowed] == []
    assert load.slowest(0, "create", "me", "sessions") < LONGEST
    assert load.slowest(0, "readyz") < LONGEST / 2
    assert load.kept
    assert await load.lost() == []
