"""A test's docstring names the production code whose removal makes it fail; that code exists.

`Guard: module.name` and `Fails without module.name` are resolved: a module by the end of its path,
a class with its members, an operation or event by its name, anything else by its words, each of
which occurs in the sources.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.architecture.source_tree import (
    CLIENT,
    PRODUCTION,
    functions,
    sources,
    statements,
    trees,
)

DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
WORD = re.compile(r"[A-Za-z_]\w{2,}")


def guards() -> Iterator[tuple[str, str]]:
    """(test, reference in backticks) of every docstring that names a guard."""
    for path, tree in trees().items():
        if not path.startswith("tests/"):
            continue
        for function in functions(tree):
            docstring = ast.get_docstring(function) or ""
            start = re.search(r"Guard:|Fails without", docstring)
            for quoted in re.findall(r"`([^`]+)`", docstring[start.start() :] if start else ""):
                yield f"{path}:{function.name}", " ".join(quoted.split())


@cache
def defined() -> dict[str, set[str]]:
    """What each module and class of production defines, by the last part of its name."""
    found: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for path, tree in trees().items():
        if path.startswith((*PRODUCTION, CLIENT, "tests/support")):
            module = path.removesuffix(".py").removesuffix("/__init__").rpartition("/")[2]
            found.setdefault(module, set()).update(members(tree))
            for node in statements(tree):
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, set()).update(members(node))
                    bases.setdefault(node.name, set()).update(map(ast.unparse, node.bases))
    for name, above in bases.items():
        found[name].update(*(found.get(base, ()) for base in above))
    return found


def members(scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(scope):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
            case ast.alias():
                yield node.asname or node.name


@cache
def text() -> str:
    """The production sources, those of the browser and the clients included."""
    browser = sources("static", kinds=(".js", ".mjs", ".html", ".py"))
    files = (*sources(*PRODUCTION, "tests/support"), *browser)
    return "\n".join(path.read_text() for path in files)


@cache
def words() -> set[str]:
    return set(re.findall(r"\w+", text()))


def exists(reference: str) -> bool:
    if DOTTED.fullmatch(reference) and f'"{reference}"' not in text():
        *scopes, name = reference.split(".")
        known = [defined()[scope] for scope in scopes if scope in defined()]
        if known:
            return name in known[-1] or reference in text()
    return set(WORD.findall(reference)) <= words()


def test_every_guard_that_a_test_names_exists() -> None:
    """Fails when code that a test guards is renamed or removed and its docstring is not."""
    assert [(test, name) for test, name in guards() if not exists(name)] == []


@pytest.mark.parametrize(
    ("reference", "known"),
    [
        ("Store.transact", True),
        ("Store.missing_method", False),
        ("money.holdings", True),
        ("money.missing_function", False),
        ("missing_word", False),
        ("uow.later(...)", True),
        ("bidding.accept", True),
    ],
)
def test_guards_are_resolved(reference: str, known: bool) -> None:
    assert exists(reference) is known
