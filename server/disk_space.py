"""Free space where the embedded stores write.

A database whose disk is full stops in the middle of its work, so commands are refused before that,
and background work may finish.
"""

import os
import time
from pathlib import Path

FLOOR_BYTES = 100 * 1024**2
FLOOR_SHARE = 0.02  # of a small file system
LOOK_SECONDS = 1.0


class DiskSpace:
    """Looks at most once in LOOK_SECONDS."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._looked_at = 0.0
        self._free, self._floor = 0, 0

    def free(self) -> int:
        """In bytes."""
        self._look()
        return self._free

    @property
    def low(self) -> bool:
        self._look()
        return self._free < self._floor

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        found = os.statvfs(self._folder)
        self._looked_at = now
        self._free = found.f_bavail * found.f_frsize
        self._floor = int(min(FLOOR_BYTES, found.f_blocks * found.f_frsize * FLOOR_SHARE))
