"""The fast transport: it disconnects clients that do not read, and is off for other versions."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
import uvloop
from structlog.testing import capture_logs

from server.realtime import fast_transport
from server.realtime.fast_transport import MAX_UNSENT_BYTES, FastTransport, _Inbox, usable
from tests.conftest import Server
from tests.support.market import Market


class Reader:
    gone = congested = False
    unpaid = 0

    @property
    def payer(self) -> "Reader":
        return self

    def charge(self, frames: float) -> float:
        raise AssertionError("nothing was said")

    def on_text(self, text: str) -> None:
        raise AssertionError("nothing was said")

    def on_congestion(self, begins: bool) -> None:
        self.congested = begins

    def on_closed(self) -> None:
        self.gone = True


@pytest.mark.parametrize("at_once", [1, 100, 50_000])
def test_a_client_that_does_not_read_congests_its_connection_on_uvloop(at_once: int) -> None:
    """Guard: `pause_writing`, `resume_writing` and `set_write_buffer_limits` in `FastTransport`,
    also for data that is written in one turn of the event loop; and `unsent_bytes`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        written = runner.run(write_until_congested(at_once))
    assert MAX_UNSENT_BYTES / 1000 < written < 20 * MAX_UNSENT_BYTES / 1000 + at_once


async def write_until_congested(at_once: int) -> int:
    """Returns how many messages of 1,000 bytes were written to a client that reads none."""
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
    fast = FastTransport(_Inbox(None, 2**16, loop=loop), transport, reader, 1000)  # type: ignore[arg-type]
    transport.set_protocol(fast)
    written = 0
    while not reader.congested and written < 1_000_000:
        for _ in range(at_once):
            fast.write(b"x" * 1000)
            written += 1
        await asyncio.sleep(0)
    assert fast.unsent > fast._transport.get_write_buffer_size() > MAX_UNSENT_BYTES
    while reader.congested:
        await loop.sock_recv(client, 2**20)
    assert not reader.gone
    client.close()
    server.close()
    return written


@pytest.fixture
def other_aiohttp(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(fast_transport.TESTED, "aiohttp", "3.0")
    usable.cache_clear()
    yield
    usable.cache_clear()


async def test_with_another_version_the_stock_path_serves(
    other_aiohttp: None, server: Server, market: Market
) -> None:
    """Guard: `usable` in `Realtime`."""
    customer = await market.customer()
    job = await market.job(customer)
    assert (await customer.call("/job", "get", {"job_id": job["id"]}))["id"] == job["id"]
    connections = server.web.realtime.eio.connections
    assert connections and not any(each.fast_transport for each in connections)


def test_another_version_is_recognized() -> None:
    """Guard: each part of the comparison in `usable`; a later patch release is no other version."""
    patched = {name: f"{tested}.99" for name, tested in fast_transport.TESTED.items()}
    assert usable(patched.__getitem__)
    for name in fast_transport.TESTED:
        other = {**patched, name: "9.9.9"}
        with capture_logs() as said:
            assert not usable(other.__getitem__)
        [warning] = said
        assert warning["log_level"] == "warning" and warning["found"] == {name: "9.9.9"}
