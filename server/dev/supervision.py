"""Supervision of the embedded stores: those that end, hang or stop are started again.

A thread asks each store in turn to read something, because a process that lives may be suspended,
deadlocked, or have an engine that has given up (as WiredTiger does when its disk is full). The
stores keep what they have acknowledged, so a new process finds it again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from server.dev.store_kinds import EngineStopped

log = structlog.get_logger()

LOOK_SECONDS = 2.0
HANG_SECONDS = 30.0  # without an answer, until a store is ended
GRACE_SECONDS = 30.0  # more for a store that starts and may have to recover
STOPPED_ANSWERS = 2  # that report a stopped engine, until a store is ended
RESTARTS, WINDOW_SECONDS = 5, 120.0  # more of them give up, unless the disk is full
FULL_SECONDS = 5.0  # between two starts while the disk is full


class Supervised(Protocol):
    """A running or ended store."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def has_ended(self) -> bool: ...

    def ask(self) -> None:
        """Raises OSError without an answer, and EngineStopped."""


class Health(msgspec.Struct):
    """What is known of one store; times are on the monotonic clock."""

    answered_at: float
    stopped_answers: int = 0
    not_before: float = 0.0  # the next start
    down_since: float | None = None
    restarts: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=RESTARTS))


class Supervisor:
    """`restart(name)` ends what is left of a store and starts it again; `give_up(name)` is called
    when that does not help."""

    def __init__(
        self,
        stores: Callable[[], Sequence[Supervised]],
        restart: Callable[[str], None],
        give_up: Callable[[str], None],
        disk_is_low: Callable[[], bool],
        stopping: threading.Event,
    ) -> None:
        self._stores = stores
        self._restart = restart
        self._give_up = give_up
        self._disk_is_low = disk_is_low
        self._stopping = stopping
        self._health: dict[str, Health] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name="store-supervisor", daemon=True).start()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            for store in self._stores():
                try:
                    self._look(store)
                except Exception:
                    log.exception("store not supervised", store=store.name)

    def _look(self, store: Supervised) -> None:
        now = time.monotonic()
        health = self._health.setdefault(store.name, Health(now))
        reason = self._ailment(store, health, now)
        if reason and health.down_since is None:
            health.down_since = now
            log.error("embedded store fails", store=store.title, reason=reason)
        if not reason or now < health.not_before or self._stopping.is_set():
            return
        full = self._disk_is_low()
        crashed = [at for at in health.restarts if now - at < WINDOW_SECONDS]
        if len(crashed) >= RESTARTS and not full:
            self._give_up(store.name)
            return
        log.warning("embedded store is started again", store=store.title, disk_is_full=full)
        health.restarts.append(now)
        health.not_before = now + (FULL_SECONDS if full else 0)
        health.answered_at, health.stopped_answers = now + GRACE_SECONDS, 0
        self._restart(store.name)

    def _ailment(self, store: Supervised, health: Health, now: float) -> str | None:
        """Why the store must be started again."""
        if store.has_ended:
            return "its process has ended"
        try:
            store.ask()
        except EngineStopped as stopped:
            health.stopped_answers += 1
            return str(stopped) if health.stopped_answers >= STOPPED_ANSWERS else None
        except OSError:
            silent = now - health.answered_at
            return f"no answer for {silent:.0f} s" if silent > HANG_SECONDS else None
        if health.down_since is not None:
            seconds = round(time.monotonic() - health.down_since, 1)
            log.warning("embedded store answers again", store=store.title, seconds=seconds)
        health.answered_at, health.stopped_answers, health.down_since = time.monotonic(), 0, None
        return None
