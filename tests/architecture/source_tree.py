"""The project's own source files, parsed, for the tests of its shape."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from server.runtime.loading import loading

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = ("domain", "handlers", "server")
FOLDERS = (*PRODUCTION, "static", "tests")
THIRD_PARTY = {"vendor", "node_modules"}


def sources(*folders: str, kinds: tuple[str, ...] = (".py",)) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in kinds and not THIRD_PARTY & set(path.parts)
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def trees() -> dict[str, ast.Module]:
    """Every Python file of production and tests, by its path. Parsed without garbage collection:
    a million nodes, which stay."""
    with loading():
        return {
            relative(path): ast.parse(path.read_text()) for path in sources(*PRODUCTION, "tests")
        }


def production() -> Iterator[str]:
    return (path for path in trees() if path.startswith(PRODUCTION))


def module_name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


@cache
def modules() -> dict[str, str]:
    """The module names of production, each with its path."""
    return {module_name(path): path for path in production()}


@cache
def imported(path: str) -> list[str]:
    """Every module that a file imports: inside functions and for type checking as well."""
    found = []
    for node in statements(trees()[path]):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path.split("/")[: -node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{module}.{alias.name}"
                found.append(submodule if submodule in modules() else module)
    return found


@cache
def graph() -> dict[str, set[str]]:
    """Which of our modules imports which."""
    return {
        module: {found for found in imported(path) if found in modules()} - {module}
        for module, path in modules().items()
    }


def statements(scope: ast.AST) -> Iterator[ast.AST]:
    """Every statement in a scope, at any depth. Most nodes of a tree are expressions, which this
    does not visit."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(scope, field, ()):
            yield node
            yield from statements(node)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
