"""The base of stored records: identity, indexes, and which fields clients and logs may see."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec

from domain.kernel.fields import about

T = TypeVar("T")

# Matches every date and no null. A query must repeat it to be served by a partial index with it.
ANY_TIME = {"$gt": datetime(2000, 1, 1, tzinfo=UTC)}


class Index(msgspec.Struct, frozen=True):
    """One index of a collection. `keys` are (field, direction) pairs: 1, -1 or an index type."""

    keys: tuple[tuple[str, int | str], ...]
    unique: bool = False
    where: Mapping[str, Any] | None = None  # the filter of a partial index
    ttl_seconds: int | None = None

    @property
    def name(self) -> str:
        return "_".join(f"{field}_{direction}" for field, direction in self.keys)

    @property
    def definition(self) -> dict[str, Any]:
        """The index in the form of MongoDB's `createIndexes` command."""
        options: dict[str, Any] = {"unique": True} if self.unique else {}
        if self.where is not None:
            options["partialFilterExpression"] = dict(self.where)
        if self.ttl_seconds is not None:
            options["expireAfterSeconds"] = self.ttl_seconds
        if any(kind == "2dsphere" for _, kind in self.keys):
            # Without a version, SecantusDB sees a different index at the second start.
            options["2dsphereIndexVersion"] = 3
        return {"key": dict(self.keys), "name": self.name, **options}


class Record(msgspec.Struct, kw_only=True, frozen=True):
    """A stored document. `version` counts its changes; times are UTC in milliseconds.

    A subclass names its COLLECTION and id PREFIX, declares the INDEXES that its queries need,
    and lists in PRIVATE the fields that never leave over the wire. For the audit log it lists
    in UNLOGGED the fields that are left out, and in PERSONAL those of which only a keyed digest
    is kept. With LOGGED false its changes are not in the audit log at all. DEED is the field that
    names what the platform did with it by itself, see `own_deeds.py`. CONTRACTOR_SEES is the
    condition under which a contractor sees a record of theirs; see `visibility.py`.

    Fields in ENCRYPTED are stored encrypted, those in ENCRYPTED_MESSAGES only where the deployment
    asks for it. One in LOOKUP can be found by equality, over the index of its `<field>_digest`. See
    `field_codec.py`.
    """

    COLLECTION: ClassVar[str]
    PREFIX: ClassVar[str]
    INDEXES: ClassVar[tuple[Index, ...]] = ()
    PRIVATE: ClassVar[frozenset[str]] = frozenset()
    UNLOGGED: ClassVar[frozenset[str]] = frozenset()
    PERSONAL: ClassVar[frozenset[str]] = frozenset()
    LOGGED: ClassVar[bool] = True
    DEED: ClassVar[str] = ""
    ENCRYPTED: ClassVar[frozenset[str]] = frozenset()
    ENCRYPTED_MESSAGES: ClassVar[frozenset[str]] = frozenset()
    LOOKUP: ClassVar[frozenset[str]] = frozenset()
    CONTRACTOR_SEES: ClassVar[dict[str, Any]] = {}

    id: Annotated[str, about("Identifies it; the letters before the underscore say what it is.")]
    version: Annotated[
        int, about("Counts its changes. Of two copies the one with the higher version is newer.")
    ] = 1
    created_at: Annotated[datetime, about("When it was created.")]
    updated_at: Annotated[datetime, about("When it was last changed.")]


class Change(msgspec.Struct, frozen=True):
    """One document before and after; `before` is None for a new one."""

    kind: type[Record]
    before: dict[str, Any] | None
    after: dict[str, Any]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list; `next_cursor` is null at the end."""

    items: Annotated[list[T], about("This part of the list.")]
    next_cursor: Annotated[
        str | None, about("Give it as `cursor` to get the next page; null at the end.")
    ] = None


JSON_SCALARS = frozenset({str, int, bool, float, type(None)})


@cache
def public_fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    private = getattr(kind, "PRIVATE", ())
    return tuple(name for name in kind.__struct_fields__ if name not in private)


def wire(value: Any) -> Any:
    """Convert a result into builtins for JSON, without private fields."""
    if type(value) in JSON_SCALARS:
        return value
    if isinstance(value, msgspec.Struct):
        return {
            name: field if type(field := getattr(value, name)) in JSON_SCALARS else wire(field)
            for name in public_fields(type(value))
        }
    if isinstance(value, Mapping):
        return {key: wire(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [wire(item) for item in value]
    return msgspec.to_builtins(value)
