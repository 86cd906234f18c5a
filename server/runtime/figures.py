"""The figures of this process: counts since its start, rates of the last minute, Stripe's speed."""

import os
import resource
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from domain.kernel.process_figures import (
    MAX_MINUTES,
    ProcessCounts,
    ProcessFigures,
    ProcessMinute,
    ProcessRates,
)
from server.runtime.loop_monitor import LoopMonitor

WINDOW_SECONDS = 60.0  # of the rates
RECENT = 200  # requests to Stripe, of which percentiles are made


class Figures:
    """Callers count by adding to its attributes: that costs nothing where much happens."""

    def __init__(self, kind: str, now: Callable[[], datetime]) -> None:
        self.kind = kind
        self._now = now
        self.commands = self.refused = self.messages = self.deliveries = 0
        self._stripe_calls = self._stripe_errors = 0
        self._stripe_seconds = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._window: deque[tuple[float, ProcessCounts]] = deque()
        self._minutes: deque[ProcessMinute] = deque(maxlen=MAX_MINUTES - 1)
        self._minute = self._this_minute()
        self._before = ProcessCounts()  # at its beginning

    def note_stripe_call(self, seconds: float, failed: bool) -> None:
        self._stripe_calls += 1
        self._stripe_errors += failed
        self._stripe_seconds += seconds
        self._recent.append(seconds)

    @property
    def counts(self) -> ProcessCounts:
        loop = LoopMonitor.running
        return ProcessCounts(
            commands=self.commands,
            refused=self.refused,
            messages=self.messages,
            deliveries=self.deliveries,
            stripe_calls=self._stripe_calls,
            stripe_errors=self._stripe_errors,
            stripe_seconds=round(self._stripe_seconds, 3),
            loop_stalls=loop.stalls if loop else 0,
            stalled_seconds=round(loop.stalled_seconds, 3) if loop else 0.0,
        )

    def told(self, **state: Any) -> ProcessFigures:
        """All figures now, with the given ones of others. The rates are since about a minute
        before, or since the first call."""
        counts, now = self.counts, time.monotonic()
        self._window.append((now, counts))
        while len(self._window) > 2 and self._window[1][0] <= now - WINDOW_SECONDS:
            self._window.popleft()
        return ProcessFigures(
            kind=self.kind,
            host=socket.gethostname(),
            pid=os.getpid(),
            memory=memory_used(),
            stripe_p50=_percentile(self._recent, 0.5),
            stripe_p95=_percentile(self._recent, 0.95),
            rates=_rates(*self._window[0], now, counts),
            counts=counts,
            minutes=self._by_minute(counts),
            **state,
        )

    def _this_minute(self) -> datetime:
        return self._now().replace(second=0, microsecond=0)

    def _by_minute(self, counts: ProcessCounts) -> tuple[ProcessMinute, ...]:
        """What was done in the last minutes. One that has ended does not change any more."""
        present = self._this_minute()
        if present != self._minute:
            self._minutes.append(ProcessMinute(self._minute, counts.since(self._before)))
            self._minute, self._before = present, counts
        return (*self._minutes, ProcessMinute(self._minute, counts.since(self._before)))


def _rates(since: float, before: ProcessCounts, now: float, counts: ProcessCounts) -> ProcessRates:
    seconds = max(now - since, 1.0)
    return ProcessRates(
        commands=round((counts.commands - before.commands) / seconds, 2),
        messages=round((counts.messages - before.messages) / seconds, 2),
        deliveries=round((counts.deliveries - before.deliveries) / seconds, 2),
    )


def _percentile(values: deque[float], share: float) -> float | None:
    if not values:
        return None
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 3)


def memory_used() -> int:
    """The resident memory of this process in bytes; where the system tells only that, its peak."""
    try:
        with open("/proc/self/statm") as numbers:
            return int(numbers.read().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
