"""A minimal server that acknowledges at once. It measures the speed of the load generator.

Run as `python -m tests.bench.realtime.echo`, with PORT in the environment.
"""

import asyncio
import os
import time

import uvloop

from tests.bench.realtime.frames import KEY, TEXT
from tests.bench.realtime.generator import Counter, close, closed_loop, command, connect
from tests.bench.realtime.targets import Target

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
FLOOD = 1000  # pushes that follow one command `flood`
PUSH = b'42/chat,["message",{"seq":null,"data":"' + b"x" * 500 + b'"}]'
SECONDS = 2.0


def frame(payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes((TEXT, len(payload))) + payload
    return bytes((TEXT, 126)) + len(payload).to_bytes(2) + payload


FLOODING = frame(PUSH) * FLOOD


class Echo(asyncio.Protocol):
    """Uses the generator's fixed mask and relies on its frames being short."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = transport.write  # type: ignore[attr-defined]
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            ready = not data.startswith(b"GET /socket.io/")
            self.write(b"HTTP/1.1 200 OK\r\n\r\n" if ready else ACCEPTED + frame(b'0{"sid":"e"}'))
            return
        data, at = self.rest + data, 0
        while len(data) - at >= 6:
            size, begin = data[at + 1] & 0x7F, at + 6
            if size == 126:
                size, begin = int.from_bytes(data[at + 2 : at + 4]), at + 8
            if begin + size > len(data):
                break
            self._answer(data[begin : begin + size])
            at = begin + size
        self.rest = data[at:]

    def _answer(self, hidden: bytes) -> None:
        size = len(hidden)
        key = int.from_bytes((KEY * (size // 4 + 1))[:size])
        packet = (int.from_bytes(hidden) ^ key).to_bytes(size)
        namespace, _, rest = packet[2:].partition(b",")
        if packet.startswith(b"40"):
            self.write(frame(b"40" + namespace + b',{"sid":"e"}'))
        elif packet.startswith(b"42"):
            id, _, name = rest.partition(b"[")
            self.write(frame(b"43" + namespace + b"," + id + b'[{"ok":true,"data":null}]'))
            if name.startswith(b'"flood"'):
                self.write(FLOODING)


async def ceiling(target: Target) -> dict[str, float]:
    """Acks per second of one core, and the generator's CPU microseconds per ack and per push."""
    async with target:
        (socket,) = await connect(target.port, ["none"], "/chat")
        frames = [command("/chat", "typing", {"conversation_id": "cnv_" + "0" * 24}, 1)]
        used = time.process_time()
        done = await closed_loop([(socket, frames)], 16, SECONDS)
        ack = (time.process_time() - used) / done.acked
        socket.pushes, socket.pushed = b'42/chat,["message"', (pushed := Counter())
        used = time.process_time()
        for number in range(1, 21):
            await socket.ask(command("/chat", "flood", {}))
            await pushed.reached(number * FLOOD)
        push = (time.process_time() - used) / pushed.count
        await close([socket])
    return {"acks": done.acked / done.seconds, "ack": ack * 1e6, "push": push * 1e6}


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
