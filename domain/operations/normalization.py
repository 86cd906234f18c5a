"""Field types whose values have one form: the input is brought into it before it is checked.

A type says so itself, `Annotated[str, ..., Normalized(str.upper)]`, and every field of that type in
every command follows, in structs, lists and options too. So the request id's fingerprint, the audit
log and the command see the same value.
"""

from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from domain.kernel.errors import Invalid, Rule

Path = tuple[str, ...]


class Normalized(msgspec.Struct, frozen=True):
    """`apply` returns the value in its one form. It raises ValueError for a value without
    one, with a sentence for a person.

    Values of a wrong type come back unchanged: the check of the command's types refuses them.
    """

    apply: Callable[[Any], Any]


class NormalizedField(msgspec.Struct, frozen=True):
    """Where a command has a value with one form. Lists on the way stand for all of their items."""

    path: Path
    apply: Callable[[Any], Any]


def normalized_fields(kind: type[msgspec.Struct]) -> tuple[NormalizedField, ...]:
    """All normalized fields of a struct and of the structs in it."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        NormalizedField((name, *found.path), found.apply)
        for name in kind.__struct_fields__
        for found in _in_type(hints[name])
    )


def _in_type(hint: Any) -> list[NormalizedField]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return list(normalized_fields(hint))
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        here = [NormalizedField((), mark.apply) for mark in marks if isinstance(mark, Normalized)]
        return here or _in_type(inner)
    return [found for each in get_args(hint) for found in _in_type(each)]


def normalize(fields: Any, field: NormalizedField) -> Any:
    """A copy of the input with the value at the field's path in its one form. Raises Invalid."""
    return _replaced(fields, field.path, field.apply, "")


def _replaced(value: Any, path: Path, apply: Callable[[Any], Any], at: str) -> Any:
    if isinstance(value, list):
        return [_replaced(each, path, apply, f"{at}[{i}]") for i, each in enumerate(value)]
    if not path:
        try:
            return apply(value)
        except ValueError as refused:
            raise Invalid(str(refused), field=at, rule=Rule.FORMAT) from refused
    name, *rest = path
    if not isinstance(value, dict) or name not in value:
        return value
    below = f"{at}.{name}" if at else name
    return {**value, name: _replaced(value[name], tuple(rest), apply, below)}


def with_whole_numbers(value: Any) -> Any:
    """The value with 5.0 as 5: JSON has one kind of number, and some programs write both so."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: with_whole_numbers(item) for name, item in value.items()}
    return [with_whole_numbers(item) for item in value] if isinstance(value, list) else value
