"""What annotations in the source say about the types of values."""

import ast
from collections.abc import Iterator, Mapping
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

OURS = ("domain.", "handlers.", "tests.")


class Foreign:
    """The type of what is none of ours: its methods raise no error of the contract."""


def evaluated(module: ModuleType, annotation: ast.expr | None) -> Any:
    """The type that an annotation stands for; None if there is none."""
    if annotation is None:
        return None
    try:
        found = eval(compile(ast.Expression(annotation), "annotation", "eval"), vars(module))
        return eval(found, vars(module)) if isinstance(found, str) else found
    except NameError:
        return None


def classes(kind: Any) -> list[type]:
    """The classes in a type: `Offer | None` and `Annotated[Offer, ...]` have Offer."""
    if get_origin(kind) in (Annotated, Union, UnionType):
        return [each for part in get_args(kind) for each in classes(part)]
    kind = get_origin(kind) or kind
    return [kind] if isinstance(kind, type) and kind is not NoneType else []


def ours(kind: Any) -> list[type]:
    return [each for each in classes(kind) if each.__module__.startswith(OURS)]


def element(kind: Any) -> Any:
    """The type of what a container, an iterator or a context manager gives."""
    if get_origin(kind) in (Annotated, Union, UnionType):
        return element(get_args(kind)[0])
    parts = [part for part in get_args(kind) if part is not ...]
    if issubclass(get_origin(kind) or object, Mapping) and parts:
        return parts[-1]
    return parts[0] if parts else None


def below(kind: type) -> Iterator[type]:
    for each in type.__subclasses__(kind):
        yield each
        yield from below(each)
