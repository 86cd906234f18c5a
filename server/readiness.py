"""Whether this process should get traffic, and why not; answers in time when a store hangs.

Each check runs at most once at a time, however many probes ask; a check that hangs is reported
after ANSWER_SECONDS, and is not started again before it ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog

log = structlog.get_logger()

ANSWER_SECONDS = 1.5


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong. The process can serve unless it is `fatal`. The reason names no secret."""

    reason: str
    fatal: bool = True


Check = Callable[[], Awaitable[Trouble | None]]


class Report(msgspec.Struct, frozen=True):
    """The trouble by the name of the check."""

    found: dict[str, Trouble]

    @property
    def ready(self) -> bool:
        return not any(trouble.fatal for trouble in self.found.values())

    @property
    def reasons(self) -> dict[str, str]:
        return {name: trouble.reason for name, trouble in self.found.items()}


class Readiness:
    """Runs the checks; logs when the result changes."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._running: dict[str, tuple[asyncio.Task[Trouble | None], float]] = {}
        self._unready_since: float | None = None
        self.last = Report({})

    async def report(self) -> Report:
        now = time.monotonic()
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = (asyncio.create_task(_guarded(check)), now)
        asked = dict(self._running)
        young = {task for task, began in asked.values() if now - began < ANSWER_SECONDS}
        if young:
            await asyncio.wait(young, timeout=ANSWER_SECONDS)
        found = {}
        for name, (task, began) in asked.items():
            if trouble := self._result(name, task, began):
                found[name] = trouble
        self.last = report = Report(found)
        self._log(report)
        return report

    def stop(self) -> None:
        for task, _ in self._running.values():
            task.cancel()

    def _result(
        self, name: str, task: asyncio.Task[Trouble | None], began: float
    ) -> Trouble | None:
        if not task.done():
            return Trouble(f"no answer for {time.monotonic() - began:.0f} s")
        if self._running.get(name, (None,))[0] is task:
            del self._running[name]
        return Trouble("the check was cancelled") if task.cancelled() else task.result()

    def _log(self, report: Report) -> None:
        now = time.monotonic()
        if report.ready and self._unready_since is not None:
            log.warning("ready again", seconds=round(now - self._unready_since, 1))
            self._unready_since = None
        elif not report.ready and self._unready_since is None:
            log.warning("not ready", **report.reasons)
            self._unready_since = now


async def _guarded(check: Check) -> Trouble | None:
    try:
        return await check()
    except Exception as failed:
        return Trouble(f"fails: {type(failed).__name__}")
