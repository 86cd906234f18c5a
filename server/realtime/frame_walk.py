"""Follows the headers of websocket frames in raw bytes, without parsing the frames.

aiohttp's parser says nothing of fragments and of frames without a mask. Source: RFC 6455, 5.2.
"""

FRAMES_AT_ONCE, BYTES_AT_ONCE = 64, 64 * 1024


class FrameWalk:
    """The place in the stream of one connection."""

    __slots__ = ("_head", "_missing")

    def __init__(self) -> None:
        self._head = b""  # an incomplete header
        self._missing = 0  # bytes of the current frame that have yet to arrive

    @property
    def at_start_of_frame(self) -> bool:
        return not self._missing and not self._head

    def follow(self, data: bytes) -> tuple[int, int]:
        """Walk on over at most FRAMES_AT_ONCE frames in BYTES_AT_ONCE.

        Returns how many bytes of `data` that are, and how many of the frames are fragments, the
        last one of a message excepted. Raises ValueError for a frame without a mask.
        """
        known = len(self._head)
        if known:
            data, self._head = self._head + data, b""
        size, at, frames, fragments = len(data), self._missing, 0, 0
        most = min(size, BYTES_AT_ONCE)
        while at < most and frames < FRAMES_AT_ONCE:
            header = 6
            if size - at >= 2:
                second = data[at + 1]
                if second < 0x80:
                    raise ValueError("a client's frame has no mask")
                length = second & 0x7F
                if length == 126:
                    header, length = 8, int.from_bytes(data[at + 2 : at + 4])
                elif length == 127:
                    header, length = 14, int.from_bytes(data[at + 2 : at + 10])
            if size - at < header - 4:  # the mask may follow
                self._head, self._missing = data[at:], 0
                return size - known, fragments
            frames += 1
            fragments += data[at] < 0x80
            at += header + length
        end = min(at, most)
        self._missing = at - end
        return end - known, fragments
