"""Faster imports at the start of a process."""

import contextlib
import gc
import sys
from collections.abc import Iterator

# Optional parts of python-socketio and python-engineio that we do not use: their client, and their
# manager for several processes. The libraries do without them when they cannot be imported.
UNUSED = ("requests", "valkey")


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Import without garbage collection, because what modules define lives until the end, and
    without UNUSED packages. Afterwards they can be imported."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: cannot be imported
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        for name in hidden:
            del sys.modules[name]
