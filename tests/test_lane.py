"""A lane on the event loop that servers run with: the transport itself tells who does not read."""

import asyncio
import socket

import pytest
import uvloop

from server.realtime.lane import MOST_UNSENT, Lane, _Inbox


class Reader:
    gone = False

    def heard(self, text: str) -> None:
        raise AssertionError("nothing was said")

    def lost(self) -> None:
        self.gone = True


@pytest.mark.parametrize("at_once", [1, 100, 50_000])
def test_who_does_not_read_is_cut_off_on_uvloop(at_once: int) -> None:
    """Guard: `pause_writing` and `set_write_buffer_limits` in `Lane`, also for what is all written
    in one turn of the loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        written = runner.run(write_until_cut(at_once))
    assert MOST_UNSENT / 1000 < written < 20 * MOST_UNSENT / 1000 + at_once


async def write_until_cut(at_once: int) -> int:
    """How many messages of 1,000 bytes were written to somebody who reads none."""
    loop, reader = asyncio.get_running_loop(), Reader()
    made: asyncio.Future[asyncio.BaseTransport] = loop.create_future()

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set_result(transport)

    server = await loop.create_server(Accepted, "127.0.0.1", 0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, server.sockets[0].getsockname())
    transport = await made
    lane = Lane(_Inbox(None, 2**16, loop=loop), transport, reader, 1000)  # type: ignore[arg-type]
    transport.set_protocol(lane)
    written = 0
    while not reader.gone and written < 1_000_000:
        for _ in range(at_once):
            lane.write(b"x" * 1000)
            written += 1
        await asyncio.sleep(0)
    client.close()
    server.close()
    return written
