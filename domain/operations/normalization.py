"""Field types whose values have one form: the input is brought into it before it is checked.

A type says so itself, `Annotated[str, ..., Normalized(str.upper)]` or `Annotated[str, line(80)]`,
and every field of that type in every command follows, in structs, lists and options too. So the
request id's fingerprint, the audit log and the command see the same value.
"""

from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from domain.kernel.errors import Invalid, Rule
from domain.kernel.text_types import WRITTEN, LimitBroken, Written

Path = tuple[str, ...]
MAX_ITEMS = 1000  # no field takes a longer list, so that one is refused for its length


class OutOfLimits(Exception):
    """The text at the path `field` breaks the limit of its field that `rule` names."""

    def __init__(self, rule: Rule, field: str) -> None:
        super().__init__(rule, field)
        self.rule = rule
        self.field = field


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
        here = [NormalizedField((), apply) for mark in marks if (apply := _form_of(mark))]
        return here or _in_type(inner)
    return [found for each in get_args(hint) for found in _in_type(each)]


def _form_of(mark: Any) -> Callable[[Any], Any] | None:
    """What a mark of a type brings its values into their form with."""
    if isinstance(mark, msgspec.Meta):
        mark = (mark.extra or {}).get(WRITTEN)
    return mark.apply if isinstance(mark, Normalized | Written) else None


def normalize(fields: Any, field: NormalizedField) -> Any:
    """The input with the value at the field's path in its one form. Raises Invalid, OutOfLimits."""
    return _replaced(fields, field.path, field.apply, "")


def _replaced(value: Any, path: Path, apply: Callable[[Any], Any], at: str) -> Any:
    if isinstance(value, list):
        if len(value) > MAX_ITEMS:
            return value
        return [_replaced(each, path, apply, f"{at}[{i}]") for i, each in enumerate(value)]
    if not path:
        try:
            return apply(value)
        except ValueError as refused:
            raise Invalid(str(refused), field=at, rule=Rule.FORMAT) from refused
        except LimitBroken as broken:
            raise OutOfLimits(broken.rule, at) from broken
    name, *rest = path
    if not isinstance(value, dict) or name not in value:
        return value
    before, below = value[name], f"{at}.{name}" if at else name
    after = _replaced(before, tuple(rest), apply, below)
    return value if after is before else {**value, name: after}


def with_whole_numbers(value: Any) -> Any:
    """The value with 5.0 as 5: JSON has one kind of number, and some programs write both so."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: with_whole_numbers(item) for name, item in value.items()}
    return [with_whole_numbers(item) for item in value] if isinstance(value, list) else value
