"""Every text field of a command says who writes it, so that no field forgets the rule for texts."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from domain.kernel.text_types import OPAQUE, WRITTEN, line, opaque
from domain.operations.command import Command
from domain.operations.field_types import fields_of
from domain.operations.input_size import LEAST, max_input
from domain.operations.normalization import MAX_ITEMS, Normalized
from handlers import NAMESPACES

OPERATIONS = {each.operation.name: each.operation for n in NAMESPACES for each in n.exposed}


def bare(kind: type[msgspec.Struct]) -> Iterator[str]:
    """The paths of text fields without a rule: neither `line`, `prose` or `opaque`, nor a pattern
    or a form of their own."""
    hints = get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:
        yield from (f"{name}{below}" for below in _bare(hints[name]))


def _bare(hint: Any) -> Iterator[str]:
    if hint is str:
        yield ""
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield from (f".{below}" for below in bare(hint))
    elif get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        if inner is not str or not any(map(_has_rule, marks)):
            yield from _bare(inner)
    else:
        for each in get_args(hint):
            yield from _bare(each)


def _has_rule(mark: Any) -> bool:
    if isinstance(mark, msgspec.Meta):
        return bool(mark.pattern) or bool({WRITTEN, OPAQUE} & (mark.extra or {}).keys())
    return isinstance(mark, Normalized)


def test_every_text_field_has_a_rule() -> None:
    """Fails for a field of a command that is a bare `str`, also within lists, options and structs:
    see `domain/kernel/text_types.py`."""
    assert {name: found for name, op in OPERATIONS.items() if (found := [*bare(op.command)])} == {}


class Inner(msgspec.Struct):
    good: Annotated[str, line(10)]
    bad: str = ""


class Sample(Command, frozen=True):
    id: Annotated[str, opaque(64)]
    name: Annotated[str, msgspec.Meta(max_length=10)]
    names: Annotated[tuple[Annotated[str, line(10)] | None, ...], msgspec.Meta(max_length=3)] = ()
    words: tuple[str, ...] = ()
    inner: Inner | None = None


def test_bare_fields_are_found() -> None:
    assert [*bare(Sample)] == ["name", "words", "inner.bad"]


def test_no_list_is_longer_than_what_is_normalized() -> None:
    """Guard: `normalization.MAX_ITEMS`: an item beyond it would come as it was sent."""
    for name, op in OPERATIONS.items():
        for path, kind in fields_of(op.command):
            if isinstance(kind.type, inspect.VarTupleType | inspect.ListType):
                assert 0 < (kind.type.max_length or 0) <= MAX_ITEMS, (name, path)


def test_the_longest_texts_fit_however_they_are_escaped() -> None:
    """Guard: `input_size.max_input`."""
    for name, op in OPERATIONS.items():
        for path, kind in fields_of(op.command):
            if WRITTEN in kind.extra:
                assert max_input(op.command) > 24 * kind.extra[WRITTEN].most, (name, path)
        assert LEAST <= max_input(op.command) < 2 * 2**20
