"""Socket.IO packets and the websocket frames that carry them, as bytes.

A packet here is what Engine.IO calls the data of a message: `2/chat,17["send",{...}]`.
Source: Socket.IO protocol 5, Engine.IO protocol 4, RFC 6455 section 5.2.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

from server.runtime import json_input

CONNECT, DISCONNECT, EVENT, BINARY_EVENT = "0", "1", "2", "5"
EVENTS = (EVENT, BINARY_EVENT)
# A packet without its data: type, number of attachments, namespace, id.
HEADER = re.compile(r"([0-6])(?:[0-9]{1,10}-)?(?:(/[^,]*)(?:,|\Z))?([0-9]{1,15}(?![0-9]))?")
EVENT_NAME = re.compile(r'\s*\[\s*"([^"\\]{1,80})"')

MESSAGE = b"4"  # Engine.IO's prefix of a packet

encode = msgspec.json.encode


def decode(text: str) -> Any:
    """None for invalid JSON, and for JSON beyond the bounds of `json_input`."""
    try:
        return json_input.decode(text)
    except (ValueError, RecursionError):
        return None


def envelope(seq: int | None, at: datetime, data: Any) -> dict[str, Any]:
    """The content of every push."""
    return {"seq": seq, "at": at, "data": data}


def event(namespace: str, name: str, content: Any) -> bytes:
    return b'2%b,["%b",%b]' % (namespace.encode(), name.encode(), encode(content))


def ack(namespace: str, id: int, answer: Any) -> bytes:
    return b"3%b,%d[%b]" % (namespace.encode(), id, encode(answer))


def connected(namespace: str, sid: str) -> bytes:
    return b'0%b,{"sid":"%b"}' % (namespace.encode(), sid.encode())


def refused(namespace: str, problem: dict[str, Any]) -> bytes:
    """The refusal of a namespace, in the form that the clients' `connect_error` expects."""
    reason = {"message": problem["message"], "data": problem}
    return b"4%b,%b" % (namespace.encode(), encode(reason))


def disconnected(namespace: str) -> bytes:
    return b"1%b," % namespace.encode()


class Routing(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a packet deviates from its room; see `Delivery`."""

    without: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


ROUTED = ord("{")  # begins a packet with a routing, on its way between processes


def routed(packet: bytes, routing: Routing) -> bytes:
    return encode(routing) + b"\n" + packet


def routing_of(packet: bytes) -> tuple[Routing, bytes]:
    """The routing of a packet that begins with one, and the packet itself."""
    head, _, rest = packet.partition(b"\n")
    return msgspec.json.decode(head, type=Routing), rest


def namespace_of(packet: bytes) -> str:
    return packet[1 : packet.index(b",")].decode()


def frame(payload: bytes, opcode: int = 0x1) -> bytes:
    """One unmasked frame, as a server sends it; text by default."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2) + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8) + payload
