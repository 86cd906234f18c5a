"""Charges what arrives on a websocket of the stock path, before aiohttp parses it."""

from aiohttp import WSCloseCode

from domain.kernel.errors import RateLimited
from server.realtime.connection import Connection
from server.realtime.frame_walk import FrameWalk

MOST_SLICES = 64  # of one read: 4,096 frames or 4 MiB
MOST_UNPAID = 16 * 1024  # bytes of a message that is not complete


class StockMeter:
    """aiohttp gathers fragments by itself, so they are charged here, and all other frames where
    they are handled. What arrives together with the handshake is not seen here: one read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._walk = FrameWalk()

    def __call__(self, data: bytes) -> bool:
        """Whether aiohttp may parse these bytes; if not, the connection is closed."""
        connection, fragments = self._connection, 0
        connection.unpaid += len(data)
        try:
            for _ in range(MOST_SLICES):
                end, more = self._walk.follow(data)
                fragments, data = fragments + more, data[end:]
                if not data:
                    break
            else:
                connection.cut(RateLimited.code)
        except ValueError:
            connection.cut("not masked", WSCloseCode.PROTOCOL_ERROR)
        if fragments or connection.unpaid > MOST_UNPAID:
            connection.charge(fragments)
        return not connection.closed and not connection.stock_transport.is_closing()
