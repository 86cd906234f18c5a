"""Tells all processes which jobs were changed, so that their indexes follow."""

from collections.abc import Callable, Sequence

from server.pubsub.fanout import Fanout

KIND = b"j"  # the first byte of such a broadcast


class JobChanges:
    """Ids of changed jobs between processes over Redis."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self.on_changed: Callable[[Sequence[str]], None] = lambda ids: None
        self.on_missed: Callable[[], None] = lambda: None
        fanout.on_broadcast[KIND] = self._on_broadcast
        fanout.on_missed.append(self._on_missed)

    def announce(self, ids: Sequence[str]) -> None:
        """To the other processes."""
        self._fanout.broadcast(KIND + " ".join(ids).encode())

    def _on_broadcast(self, message: bytes) -> None:
        self.on_changed(message[len(KIND) :].decode().split())

    def _on_missed(self, room: str | None) -> None:
        if room is None:
            self.on_missed()
