"""Encryption of declared fields between records and their stored documents.

Decision: a record lists in ENCRYPTED the fields that are stored as ciphertext, and the store
converts every document on its way in and out. Operations and the audit log see clear values only.
A field in LOOKUP is also stored as a keyed digest, in `<field>_digest`, by which it is found.
Encryption by the database or its disk was rejected: it protects neither backups nor against someone
who can read the database.

A ciphertext is bound to its record and field, so it cannot be moved to another. Values that were
stored before their field was declared are read as they are, until `rotate-keys` encrypts them.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import msgspec

from domain.kernel.record import Record

DIGEST = "_digest"


class UndecipherableField(Exception):
    """A ciphertext was changed, moved, or made under a key that is not configured."""


class FieldCipher(Protocol):
    """Authenticated encryption under keys that can be rotated. `context` must be the same for both
    directions."""

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes: ...

    def decrypt(self, ciphertext: bytes, context: bytes) -> bytes:
        """Raises UndecipherableField."""
        ...

    def digests(self, value: bytes, context: bytes) -> list[str]:
        """Keyed digests of a value under every key, the current one first."""
        ...

    def is_current(self, ciphertext: bytes) -> bool:
        """Whether a ciphertext was made under the current key."""
        ...


class FieldCodec:
    """Converts documents. `messages`: whether fields in ENCRYPTED_MESSAGES are encrypted too.

    A declared field `a.b` is `b` in the document that is the value of `a`.
    """

    def __init__(self, cipher: FieldCipher, *, messages: bool) -> None:
        self.cipher = cipher
        self._messages = messages

    def encrypted(self, kind: type[Record]) -> frozenset[str]:
        """The fields that are stored as ciphertext."""
        return _declared(kind) if self._messages else kind.ENCRYPTED

    def seal(self, kind: type[Record], id: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The stored form of some fields of a record, with their digests. None stays None."""
        encrypted = self.encrypted(kind)
        if not encrypted:
            return fields
        sealed = dict(fields)
        for name in encrypted:
            place, key = _place(sealed, name)
            if place is None:
                continue
            value = place[key]
            if name in kind.LOOKUP:
                sealed[name + DIGEST] = self._digest(kind, name, value)
            if value is not None:
                place[key] = self.cipher.encrypt(_packed(value), _context(id, name))
        return sealed

    def open(self, kind: type[Record], document: dict[str, Any]) -> dict[str, Any]:
        """The document in clear. Raises UndecipherableField."""
        declared = _declared(kind)
        if not declared:
            return document
        clear = dict(document)
        for name in declared:
            place, key = _place(clear, name)
            if place is not None and isinstance(place[key], bytes):
                packed = self.cipher.decrypt(place[key], _context(document["_id"], name))
                place[key] = msgspec.msgpack.decode(packed)
        for name in kind.LOOKUP:
            clear.pop(name + DIGEST, None)
        return clear

    def require_clear(self, kind: type[Record], changes: Mapping[str, Any]) -> None:
        """Raises AssertionError if a path leads to an encrypted field, or to a part of one.

        None is stored in clear anyway.
        """
        paths = [path for path, value in changes.items() if value is not None]
        for name in _declared(kind):
            for path in paths:
                if f"{path}.".startswith(f"{name}.") or f"{name}.".startswith(f"{path}."):
                    raise AssertionError(f"{kind.__name__}.{path} is encrypted: set it as a whole")

    def is_current(self, kind: type[Record], document: Mapping[str, Any]) -> bool:
        """Whether each declared field is stored as it would be written now."""
        encrypted = self.encrypted(kind)
        for name in _declared(kind):
            place, key = _place(dict(document), name)
            if place is None or place[key] is None:
                continue
            is_sealed = isinstance(place[key], bytes)
            if is_sealed is not (name in encrypted):
                return False
            if is_sealed and not self.cipher.is_current(place[key]):
                return False
        return True

    def where(self, kind: type[Record], query: Mapping[str, Any]) -> dict[str, Any]:
        """The query with equality on encrypted fields as equality on their digests.

        Raises AssertionError for other conditions on encrypted fields, which fit no ciphertext.
        """
        encrypted = self.encrypted(kind)
        return self._where(kind, encrypted, query) if encrypted else dict(query)

    def _where(
        self, kind: type[Record], encrypted: frozenset[str], query: Mapping[str, Any]
    ) -> dict[str, Any]:
        translated: dict[str, Any] = {}
        for path, wanted in query.items():
            if path in ("$and", "$or", "$nor"):
                translated[path] = [self._where(kind, encrypted, branch) for branch in wanted]
            elif path in encrypted:
                translated[path + DIGEST] = self._digest_query(kind, path, wanted)
            else:
                if path.partition(".")[0] in encrypted:
                    raise AssertionError(f"{kind.__name__}.{path} is a part of an encrypted field")
                translated[path] = wanted
        return translated

    def _digest_query(self, kind: type[Record], name: str, wanted: Any) -> dict[str, Any]:
        if name not in kind.LOOKUP:
            raise AssertionError(f"{kind.__name__}.{name} is encrypted: list it in LOOKUP")
        context = _lookup_context(kind, name)
        if not isinstance(wanted, dict):
            return {"$in": self.cipher.digests(_packed(wanted), context)}
        if "$in" in wanted and len(wanted) == 1:
            values = [self.cipher.digests(_packed(value), context) for value in wanted["$in"]]
            return {"$in": [digest for digests in values for digest in digests]}
        if "$all" in wanted and len(wanted) == 1:
            # Under several keys a word has several digests; the stored one is of the current key.
            return {"$all": [self.cipher.digests(_packed(v), context)[0] for v in wanted["$all"]]}
        raise AssertionError(f"{kind.__name__}.{name} is encrypted: it is found by equality only")

    def _digest(self, kind: type[Record], name: str, value: Any) -> Any:
        if value is None:
            return None
        context = _lookup_context(kind, name)
        if isinstance(value, list | tuple):
            return [self.cipher.digests(_packed(item), context)[0] for item in value]
        return self.cipher.digests(_packed(value), context)[0]


@cache
def _declared(kind: type[Record]) -> frozenset[str]:
    """The fields that are encrypted under any configuration."""
    return kind.ENCRYPTED | kind.ENCRYPTED_MESSAGES


def _place(document: dict[str, Any], name: str) -> tuple[dict[str, Any] | None, str]:
    """The document that holds the field `name`, and its key there; None if there is no such field.

    A nested document is replaced by a copy, so that it may be changed.
    """
    outer, _, inner = name.partition(".")
    if outer not in document:
        return None, outer
    if not inner:
        return document, outer
    nested = document[outer]
    if not isinstance(nested, dict) or inner not in nested:
        return None, inner
    document[outer] = dict(nested)
    return document[outer], inner


def _context(id: str, field: str) -> bytes:
    return f"{id}\0{field}".encode()


def _lookup_context(kind: type[Record], field: str) -> bytes:
    return f"{kind.COLLECTION}\0{field}".encode()


def _packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)
