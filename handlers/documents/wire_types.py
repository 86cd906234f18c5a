"""Structs as they go over the wire, made from those of the domain.

`wire()` sends each public field of a struct, also one that has its default. So the wire type of an
answer has these fields only, and all of them are required. Fields of commands keep their defaults.
"""

import inspect
import operator
from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

from domain.kernel.record import Page, public_fields

TIME = Annotated[datetime, Meta(tz=True)]
LISTS = (list, tuple, set, frozenset)

Types = Mapping[Any, Any]


class WireTypes:
    """Makes wire types, one for each struct. `closed` ones refuse fields that they do not have.

    Two different structs of one name would be one schema, so that is an error.
    """

    def __init__(self, *, closed: bool = False) -> None:
        self._closed = closed
        self._known: dict[Any, type[msgspec.Struct]] = {}
        self._names: dict[str, Any] = {}

    def answers(self, hint: Any) -> list[Any]:
        """The wire types of an answer or of the data of a push: one, or those of a union."""
        if get_origin(hint) in (Union, UnionType):
            kinds = [each for each in get_args(hint) if each is not NoneType]
            if sum(map(_is_struct, kinds)) > 1:
                return [self._convert(each, {}, command=False) for each in get_args(hint)]
        return [self._convert(hint, {}, command=False)]

    def fields(
        self, name: str, command: type[msgspec.Struct], without: frozenset[str] = frozenset()
    ) -> type[msgspec.Struct]:
        """The fields of a command as a struct of this name, `without` some of them."""
        return self._make(name, command, command=True, without=without)

    def _convert(self, hint: Any, known: Types, *, command: bool) -> Any:
        """The wire type of a type; `known` are the values of its type variables."""
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            kind, *marks = arguments
            inner = self._convert(kind, known, command=command)
            for mark in marks:
                inner = Annotated[inner, mark] if isinstance(mark, Meta) else inner
            return inner
        if isinstance(hint, TypeVar):
            return known[hint]
        if hint is datetime and not command:
            return TIME
        if _is_struct(hint) or _is_struct(origin):
            inner = [self._convert(each, known, command=command) for each in arguments]
            return self._struct(origin or hint, tuple(inner), command)
        if origin is None:
            return hint
        inner = [self._convert(each, known, command=command) for each in arguments]
        if origin in (Union, UnionType):
            return reduce(operator.or_, inner)
        if origin in LISTS and not command:
            return list[inner[0]]  # type: ignore[valid-type]
        return origin[tuple(inner)] if origin in (*LISTS, dict) else hint

    def _struct(self, kind: Any, arguments: tuple[Any, ...], command: bool) -> type[msgspec.Struct]:
        key = kind, arguments, command
        if key not in self._known:
            name = f"{arguments[0].__name__}Page" if kind is Page else kind.__name__
            if command:
                name += "Input"  # a struct may be in answers, too, and all its fields are there
            self._known[key] = self._make(name, kind, arguments, command=command)
        return self._known[key]

    def _make(
        self,
        name: str,
        kind: type[msgspec.Struct],
        arguments: tuple[Any, ...] = (),
        *,
        command: bool,
        without: frozenset[str] = frozenset(),
    ) -> type[msgspec.Struct]:
        source = kind, arguments, command, without
        assert self._names.setdefault(name, source) == source, f"two schemas are called {name}"
        parameters = getattr(kind, "__parameters__", ())
        known = dict(zip(parameters, arguments, strict=True))
        hints = get_type_hints(kind, include_extras=True)
        shown = kind.__struct_fields__ if command else public_fields(kind)
        fields = []
        for field in msgspec.structs.fields(kind):
            if field.name not in shown or field.name in without:
                continue
            type = self._convert(hints[field.name], known, command=command)
            fields.append((field.name, type, *_default(field)) if command else (field.name, type))
        return msgspec.defstruct(
            name,
            fields,
            kw_only=True,
            rename={field.name: field.encode_name for field in msgspec.structs.fields(kind)}
            if command
            else None,
            forbid_unknown_fields=self._closed
            or (command and kind.__struct_config__.forbid_unknown_fields),
            namespace={"__doc__": first_paragraph(kind.__doc__)},
        )


def first_paragraph(text: str | None) -> str:
    """A docstring begins with what a struct is; the rest is for those who read the code."""
    return paragraphs(text).partition("\n\n")[0]


def paragraphs(text: str | None) -> str:
    """Each paragraph of a docstring on one line."""
    parts = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts if part.strip())


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if field.default_factory is not NODEFAULT:
        return (msgspec.field(default_factory=field.default_factory),)
    return () if field.default is NODEFAULT else (field.default,)
