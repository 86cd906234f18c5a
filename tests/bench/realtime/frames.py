"""Websocket frames without a library: masked client frames, unmasked server frames."""

from collections.abc import Iterator

TEXT, CLOSE, PING = 0x81, 0x88, 0x89
KEY = bytes.fromhex("37fa213d")  # not zero: some servers skip unmasking for a zero key
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def masked(text: str, opcode: int = TEXT) -> bytes:
    """One frame from a client. Source: RFC 6455, 5.2 and 5.3."""
    payload = text.encode()
    size = len(payload)
    key = (KEY * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
    if size < 126:
        return bytes((opcode, 0x80 | size)) + KEY + hidden
    return bytes((opcode, 0x80 | 126)) + size.to_bytes(2) + KEY + hidden


def split(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(opcode, begin, end) of each whole frame, and at last (0, start of the rest, 0)."""
    at, length = 0, len(data)
    while length - at >= 2:
        size, begin = data[at + 1], at + 2
        if size == 126:
            size, begin = int.from_bytes(data[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, begin = int.from_bytes(data[at + 2 : at + 10]), at + 10
        if begin + size > length:
            break
        yield data[at], begin, begin + size
        at = begin + size
    yield 0, at, 0
