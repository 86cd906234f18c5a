"""Charges what arrives on a websocket of the stock path, before aiohttp parses it."""

from domain.kernel.errors import RateLimited
from server.realtime.connection import Connection
from server.realtime.fast_transport import walk

MOST_SLICES = 64  # of one read: 4,096 frames or 4 MiB
MOST_UNPAID = 16 * 1024  # bytes of a message that is not complete


class StockMeter:
    """aiohttp gathers fragments by itself, so they are charged here, and texts where they are
    handled. What arrives together with the handshake is not seen here: one read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._missing = 0
        self._head = b""  # of a frame whose header is incomplete

    def __call__(self, data: bytes) -> bool:
        """Whether aiohttp may parse these bytes; if not, the connection is closed."""
        connection = self._connection
        connection.unpaid += len(data)
        others, rest = 0, self._head + data
        for _ in range(MOST_SLICES):
            try:
                end, self._missing, more, incomplete = walk(rest, self._missing)
            except ValueError:
                connection.cut("not masked")
                return False
            others, rest = others + more, rest[end:]
            if incomplete or not rest:
                break
        else:
            connection.cut(RateLimited.code)
        self._head = rest
        if others or connection.unpaid > MOST_UNPAID:
            connection.charge(others)
        return not connection.closed and not connection.stock_transport.is_closing()
