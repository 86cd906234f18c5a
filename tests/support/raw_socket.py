"""Hand-written Socket.IO clients over a websocket, for input that no official client sends."""

import asyncio
import json
import socket as sockets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.bench.realtime.frames import UPGRADE, masked
from tests.support.market import Market
from tests.support.parties import Party

Json = dict[str, Any]
SECONDS = 10.0
SMALL_BUFFER = 4096
ESTABLISHED = "01"
PATH = "/socket.io/?EIO=4&transport=websocket"


class RawSocket:
    """One websocket that sends any text. It answers pings and keeps packets in order of arrival."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, token: str | None) -> None:
        self.socket = socket
        self.token = token
        self.packets: list[str] = []
        self._ids = 0

    async def connect(self, namespace: str, auth: Any = ...) -> str:
        """Connect a namespace. Returns the answer: `0/chat,{...}` or `44/...`."""
        auth = {"token": self.token} if auth is ... else auth
        await self.send(f"40{namespace},{json.dumps(auth)}")
        return await self.wait_for(lambda packet: packet[:1] in "04" and f"{namespace}," in packet)

    async def send(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            await self.socket.send_bytes(frame)
        else:
            await self.socket.send_str(frame)

    async def emit(self, namespace: str, data: str, *attachments: bytes, kind: str = "2") -> Json:
        """Send an event whose JSON is `data`, and wait for its one acknowledgement."""
        self._ids += 1
        await self.send(f"4{kind}{namespace},{self._ids}{data}")
        for attachment in attachments:
            await self.send(attachment)
        return await self.ack(namespace, self._ids)

    async def ack(self, namespace: str, id: int) -> Json:
        head = f"3{namespace},{id}["
        packet = await self.wait_for(lambda packet: packet.startswith(head))
        (answer,) = json.loads(packet[len(head) - 1 :])
        return answer  # type: ignore[no-any-return]

    async def wait_for(self, fits: Any) -> str:
        """Remove and return the first packet that fits; waits for it."""
        async with asyncio.timeout(SECONDS):
            while (found := next(filter(fits, self.packets), None)) is None:
                await self.receive()
        self.packets.remove(found)
        return found

    async def receive(self) -> None:
        message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(f"closed: {message.type} {message.data}")
        if message.data == "2":
            await self.send("3")
        elif message.data[0] == "4":
            self.packets.append(message.data[1:])

    async def responds(self) -> bool:
        return bool((await self.emit("/account", '["me"]'))["ok"])

    async def wait_until_closed(self) -> bool:
        """Wait until the connection has ended."""
        async with asyncio.timeout(SECONDS):
            try:
                while True:
                    await self.receive()
            except ConnectionError:
                return True


class StalledReader:
    """A connected client on a bare socket that stops reading."""

    def __init__(self, url: str, token: str | None) -> None:
        there = urlsplit(url)
        self.address = (there.hostname, there.port)
        self.token = token
        self.socket = sockets.socket()
        self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, SMALL_BUFFER)
        self.socket.setblocking(False)

    async def connect(self, *namespaces: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, self.address)
        await loop.sock_sendall(self.socket, UPGRADE)
        read = b""
        for namespace in namespaces:
            auth = masked(f"40{namespace},{json.dumps({'token': self.token})}")
            await loop.sock_sendall(self.socket, auth)
            async with asyncio.timeout(SECONDS):
                while f"40{namespace},".encode() not in read:
                    read += await loop.sock_recv(self.socket, 2048)

    @property
    def closed_by_server(self) -> bool:
        """Whether the server has closed the connection, read from the kernel's table of
        connections, because this client does not read. Source: proc_pid_net(5)."""
        ours, theirs = self.socket.getsockname()[1], self.address[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            local, remote, state = line.split()[1:4]
            if (local[-4:], remote[-4:]) == (f"{theirs:04X}", f"{ours:04X}"):
                return state != ESTABLISHED
        return True


def private_bytes(pid: int | str = "self") -> int:
    """The private memory of a process in bytes. Source: proc(5), statm."""
    resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * 4096


async def open_raw_socket(market: Market, party: Party, **headers: str) -> RawSocket:
    socket = await market.web.ws_connect(market.url + PATH, headers=headers, max_msg_size=0)
    return RawSocket(socket, party.token)


async def wait_until(reached: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Poll until a condition is true."""
    async with asyncio.timeout(seconds):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
