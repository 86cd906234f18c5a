"""A hand-written Socket.IO client over HTTP long-polling, with upgrade to a websocket."""

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any

import aiohttp

from tests.support.market import Market
from tests.support.parties import Party
from tests.support.raw_socket import PATH, SECONDS, RawSocket

SEPARATOR = "\x1e"  # between packets of one body. Source: Engine.IO protocol 4, "Payload"


class PollingClient(RawSocket):
    """Sends each packet in one POST; `receive` polls for packets."""

    def __init__(self, market: Market, token: str | None) -> None:
        super().__init__(None, token)  # type: ignore[arg-type]
        self.web = market.web
        self.url = market.url + PATH.replace("=websocket", "=polling")
        self.opening: dict[str, Any] = {}

    async def open(self) -> "PollingClient":
        status, body = await self.get()
        assert status == 200 and body[0] == "0", body
        self.opening = json.loads(body[1:])
        self.url += f"&sid={self.opening['sid']}"
        return self

    async def get(self) -> tuple[int, str]:
        async with self.web.get(self.url) as response:
            return response.status, await response.text()

    async def post(self, body: str | bytes) -> int:
        async with self.web.post(self.url, data=body) as response:
            return response.status

    async def send(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            frame = "b" + base64.b64encode(frame).decode()
        if await self.post(frame) != 200:
            raise ConnectionError("closed")

    async def receive(self) -> None:
        status, body = await self.get()
        if status != 200:
            raise ConnectionError("closed")
        for packet in body.split(SEPARATOR):
            if packet == "1":
                raise ConnectionError("closed")
            if packet == "2":
                await self.send("3")
            elif packet[:1] == "4":
                self.packets.append(packet[1:])

    async def probe(self) -> aiohttp.ClientWebSocketResponse:
        """A websocket whose upgrade probe the server has answered."""
        socket = await self.web.ws_connect(self.url.replace("=polling", "=websocket"))
        await socket.send_str("2probe")
        async with asyncio.timeout(SECONDS):
            assert await socket.receive_str() == "3probe"
        return socket

    async def upgrade(self) -> RawSocket:
        """Move the connection to a websocket."""
        waiting = asyncio.create_task(self.receive())
        socket = await self.probe()
        async with asyncio.timeout(SECONDS):
            await waiting  # the server ends the poll that waits
        await socket.send_str("5")
        raw = RawSocket(socket, self.token)
        raw.packets, raw._ids = self.packets, self._ids
        return raw

    async def close(self) -> None:
        with suppress(ConnectionError):
            await self.send("1")


async def open_polling_client(market: Market, party: Party) -> PollingClient:
    return await PollingClient(market, party.token).open()
