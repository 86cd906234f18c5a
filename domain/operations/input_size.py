"""How long the JSON of a command may be: as long as its texts make it, however they are escaped.

JSON may write a character as `\\u` and four digits, or as two of these. So what a person writes in
the greatest length of its field takes up to six times its bytes, and is accepted all the same.
Programs do not escape what they make, such as ids and tokens.
"""

from collections.abc import AsyncIterator
from functools import cache

import msgspec
from msgspec import inspect

from domain.kernel.errors import Rule, TooLarge
from domain.kernel.text_types import BYTES, OPAQUE, WRITTEN
from domain.operations.field_types import FieldType, field_types

LEAST = 64 * 1024  # bytes that every command may have
AROUND = 1024  # of a packet's header, and of what else surrounds the fields
ESCAPED = 12  # of one code point at most
SCALAR = 64  # a number, a time, a choice
PATTERNED = 128  # code points of a text that only its pattern bounds


@cache
def max_input(command: type[msgspec.Struct]) -> int:
    """The most bytes, and characters, of the JSON of a command."""
    return max(LEAST, AROUND + _size(field_types(command)))


def _size(kind: FieldType) -> int:
    """The bytes of the longest value of a type, if all of its texts are escaped."""
    type = kind.type
    most: int = kind.limits.get(Rule.MAX_LENGTH, 0)
    if isinstance(type, inspect.StrType):
        if WRITTEN in kind.extra:
            # At most `most` of its characters are ASCII, of one byte; the others take 6 for two.
            return 2 + (3 * BYTES + 3) * most
        return 2 + (most if OPAQUE in kind.extra else ESCAPED * (most or PATTERNED))
    if isinstance(type, inspect.StructType):
        return 2 + sum(
            len(name) + 4 + _size(FieldType(field)) for name, field in kind.fields.items()
        )
    if isinstance(type, inspect.DictType):
        return 2 + most * (_size(kind.key) + 2 + _size(FieldType(type.value_type)))
    if kind.item is not None:
        return 2 + most * (1 + _size(FieldType(kind.item)))
    return SCALAR


async def read_bounded(pieces: AsyncIterator[bytes], declared: int | None, most: int) -> bytes:
    """A body that comes in pieces, in at most `most` bytes. Raises TooLarge, for a longer
    `declared` length before any piece is read."""
    if (declared or 0) > most:
        raise TooLarge(limit_bytes=most)
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > most:
            raise TooLarge(limit_bytes=most)
    return bytes(body)
