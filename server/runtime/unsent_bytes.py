"""How much of what was written to a connection its client has not received yet."""

import array
import asyncio
import contextlib
import fcntl
import termios


def unsent_bytes(transport: asyncio.Transport | None) -> int:
    """Bytes in the buffer of the transport, and those in the send queue of the kernel that the
    client has not acknowledged.

    The kernel takes megabytes at once and then nothing for many seconds of a slow link, so the
    buffer alone does not show whether a client makes progress. Source: tcp(7), SIOCOUTQ.
    """
    if transport is None or transport.is_closing():
        return 0
    queued = array.array("i", [0])  # stays 0 where the kernel does not tell
    with contextlib.suppress(OSError, AttributeError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
    return transport.get_write_buffer_size() + queued[0]
