"""A blocked event loop is noticed while it is blocked."""

import time

import pytest
from structlog.testing import capture_logs

from server.runtime import loop_monitor
from server.runtime.loop_monitor import LoopMonitor
from tests.faults.outcome import until


async def test_a_stall_is_counted_and_its_place_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard: `LoopMonitor._watch` and `_stack`."""
    monkeypatch.setattr(loop_monitor, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(loop_monitor, "STALL_SECONDS", 0.2)
    with LoopMonitor() as monitor, capture_logs() as logged:

        async def has_counted() -> bool:
            return monitor.stalls > 0

        _block()
        await until(has_counted)
        assert monitor.stalled_seconds > 0.2
    assert logged[0]["event"] == "event loop blocked"
    assert logged[0]["blocked_at"][-1].endswith(" _block")
    assert "event loop runs again" in {entry["event"] for entry in logged}


def _block() -> None:
    time.sleep(0.8)
