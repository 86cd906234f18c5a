"""Bounds on the arrays in stored records.

Decision: what grows with history is a collection of its own, never an array. Every change of a
record writes the whole record, and every push of it sends the whole. So each array declares how
many items it has at most, `Annotated[tuple[str, ...], Bounded(20)]`, and the store writes no more.
Reading checks nothing: a stored record decodes also after its bound was lowered.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from domain.kernel.errors import TooMany


class Bounded(msgspec.Struct, frozen=True):
    """The greatest number of items in an array, or of keys in a mapping."""

    items: int


def check_bounds(kind: type[msgspec.Struct], fields: Mapping[str, Any]) -> None:
    """Raises TooMany if an array among the fields of a record has too many items."""
    for name, most in field_bounds(kind):
        if name in fields and (value := fields[name]) and len(value) > most:
            raise TooMany(f"{name}: at most {most}.", limit=most)


@cache
def field_bounds(kind: type[msgspec.Struct]) -> tuple[tuple[str, int], ...]:
    """The bounds of the arrays that are fields of the record itself."""
    hints = get_type_hints(kind, include_extras=True)
    bounds = ((name, bound_of(hints[name])) for name in kind.__struct_fields__)
    return tuple((name, bound) for name, bound in bounds if bound is not None)


def bound_of(hint: Any) -> int | None:
    """The bound that a type declares, also within an option."""
    if get_origin(hint) is Annotated:
        for mark in get_args(hint)[1:]:
            if isinstance(mark, Bounded):
                return mark.items
            if isinstance(mark, msgspec.Meta) and mark.max_length is not None:
                return mark.max_length
        hint = get_args(hint)[0]
    found = (bound_of(each) for each in get_args(hint) if get_origin(each) is Annotated)
    return next((bound for bound in found if bound is not None), None)
