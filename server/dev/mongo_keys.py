"""Makes SecantusDB's storage keys cheaper: how they are packed, and how values are encoded in
them."""

import datetime
import functools
import sys
from collections.abc import Callable
from typing import Any

import wiredtiger
from secantus import sortkey, storage
from wiredtiger.intpacking import pack_int, unpack_int

FORMATS = {fmt: fmt.count("S") for fmt in ("q", "u", "S", "SS", "SSS", "SSq", "SSu", "SSSu")}
INVERTED = bytes(255 - byte for byte in range(256))
REMEMBERED = 10_000  # keys in a cache


def pack_whole_keys() -> None:
    """Pack keys and values of strings (S), numbers (q) and final bytes (u) in the format of
    WiredTiger's `packing`, which parses each format character by character at every call. The
    names of databases, collections and indexes, with which most keys begin, are remembered."""
    packing = sys.modules[wiredtiger.Cursor.__module__]  # the package re-exports its names
    slow_pack, slow_unpack = packing.pack, packing.unpack

    @functools.lru_cache(REMEMBERED)
    def names(*texts: str | bytes) -> bytes:
        data = (text if isinstance(text, bytes) else text.encode() for text in texts)
        return b"".join(each.partition(b"\0")[0] + b"\0" for each in data)

    def pack(fmt: str, *values: Any) -> Any:
        texts = FORMATS.get(fmt)
        if texts is None or len(values) != len(fmt):
            return slow_pack(fmt, *values)
        if texts == len(fmt):
            return names(*values)
        last = values[-1]
        if fmt[-1] == "q":
            last = pack_int(last)
        elif type(last) is not bytes:
            last = last.encode()
        return names(*values[:-1]) + last if texts else last

    def unpack(fmt: str, packed: bytes | None) -> Any:
        texts = FORMATS.get(fmt)
        if texts is None or packed is None:
            return slow_unpack(fmt, packed)
        *data, rest = packed.split(b"\0", texts)
        values: list[Any] = [each.decode() for each in data]
        if texts < len(fmt):
            values.append(rest if fmt[-1] == "u" else unpack_int(rest)[0])
        return values

    packing.pack, packing.unpack = pack, unpack  # type: ignore[attr-defined]


def encode_fast() -> None:
    """Encode values of the usual types without a search for their type, remember how numbers are
    encoded, which takes decimal arithmetic, and invert the bytes of descending fields at once."""
    encode, encode_number = sortkey.encode_value, sortkey._encode_number
    remembered = functools.lru_cache(REMEMBERED)(encode_number)
    text, date = bytes([sortkey.RANK_STRING]), bytes([sortkey.RANK_DATE])
    encoders: dict[type, Callable[[Any], bytes]] = {
        str: lambda value: text + value.encode().replace(b"\0", b"\0\xff"),
        datetime.datetime: lambda value: date + sortkey._encode_date(value),
    }

    def encode_value(value: Any, *, collation: Any = None) -> bytes:
        encoder = None if collation else encoders.get(type(value))
        return encoder(value) if encoder else encode(value, collation=collation)

    sortkey._encode_number = lambda value: (
        remembered if isinstance(value, int) else encode_number
    )(value)
    sortkey.encode_value = storage.encode_value = encode_value
    sortkey.invert_bytes = lambda data: data.translate(INVERTED)


def make_plain_keys() -> None:
    """Make the key of an index without dotted fields, arrays and a collation directly. Unpatched,
    it is made as one of the combinations of all values that arrays may have."""
    make, find = storage._index_key_variants, storage._index_field_values

    def find_values(document: dict[str, Any], field: str) -> tuple[list[Any], bool]:
        """Also whether an array has given the values."""
        value = document.get(field)
        if "." in field or isinstance(value, list):
            found: tuple[list[Any], bool] = find(document, field)
            return found
        return [value], False

    def make_keys(
        document: dict[str, Any], fields: dict[str, Any], *, sparse: bool, collation: Any = None
    ) -> list[bytes]:
        parts = []
        for field, direction in fields.items():
            value = document.get(field)
            if collation or "." in field or isinstance(value, list):
                keys: list[bytes] = make(document, fields, sparse=sparse, collation=collation)
                return keys
            parts.append(sortkey.encode_value_directed(value, int(direction)))
        if sparse and not any(field in document for field in fields):
            return []
        return [sortkey.COMPOUND_SEP.join(parts)]

    storage._index_key_variants, storage._index_field_values = make_keys, find_values
