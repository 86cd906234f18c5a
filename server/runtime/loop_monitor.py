"""Notices a blocked event loop: logs where it is blocked, counts the stalls and their seconds.

A thread looks whether the loop still runs its timer. That costs two wake-ups in each interval.
"""

import asyncio
import sys
import threading
import time
import traceback
from types import FrameType
from typing import ClassVar

import structlog

log = structlog.get_logger()

INTERVAL_SECONDS = 0.25
STALL_SECONDS = 1.0
FRAMES = 8  # of the stack, the innermost


class LoopMonitor:
    """Watches the loop that it is started on; a context manager. `running` is that of this process,
    if there is one."""

    running: "ClassVar[LoopMonitor | None]" = None

    def __init__(self) -> None:
        self.stalls = 0
        self.stalled_seconds = 0.0
        self._beat_at = time.monotonic()
        self._ended = threading.Event()
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="loop-monitor", daemon=True)

    def __enter__(self) -> "LoopMonitor":
        self._loop = asyncio.get_running_loop()
        self._beat()
        self._thread.start()
        LoopMonitor.running = self
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        LoopMonitor.running = None

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        if not self._ended.is_set():
            self._loop.call_later(INTERVAL_SECONDS, self._beat)

    def _watch(self) -> None:
        blocked_since: float | None = None
        looked_at = time.monotonic()
        while not self._ended.wait(INTERVAL_SECONDS):
            now, beat_at = time.monotonic(), self._beat_at
            suspended = now - looked_at > STALL_SECONDS  # the whole process stood still
            looked_at = now
            if blocked_since is not None and beat_at > blocked_since:
                self._count(beat_at - blocked_since)
                blocked_since = None
            elif blocked_since is None and now - beat_at > STALL_SECONDS and not suspended:
                blocked_since = beat_at
                log.warning("event loop blocked", blocked_at=_stack(self._loop_thread))

    def _count(self, seconds: float) -> None:
        self.stalls += 1
        self.stalled_seconds += seconds
        log.warning("event loop runs again", blocked_seconds=round(seconds, 1), stalls=self.stalls)


def _stack(thread: int) -> list[str]:
    frame: FrameType | None = sys._current_frames().get(thread)
    found = traceback.extract_stack(frame)[-FRAMES:]
    return [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in found]
