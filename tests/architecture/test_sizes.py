"""The form of the code: sizes, docstrings, open notes, and the top level of the project."""

import ast
import re

from tests.architecture.source_tree import (
    FOLDERS,
    PRODUCTION,
    ROOT,
    functions,
    is_generated,
    production,
    relative,
    sources,
    statements,
    trees,
)


def test_functions_are_short() -> None:
    """Fails for a function of more than 70 lines, or when fewer than 85 % are under 25."""
    lengths = {
        f"{name}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for name, tree in trees().items()
        for function in functions(tree)
    }
    assert {name: length for name, length in lengths.items() if length > 70} == {}
    ours = [length for name, length in lengths.items() if name.startswith(PRODUCTION)]
    assert sum(length < 25 for length in ours) / len(ours) >= 0.85


def test_files_are_short() -> None:
    """Fails for a file of more than 500 lines that somebody wrote."""
    lengths = {
        relative(path): len(path.read_text().splitlines())
        for path in sources(*FOLDERS, kinds=(".py", ".js", ".mjs"))
        if not is_generated(path)
    }
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def test_every_file_has_a_docstring() -> None:
    """Fails for a file that does not begin with a docstring (in a script: a comment)."""
    undocumented = [
        name for name, tree in trees().items() if tree.body and not ast.get_docstring(tree)
    ]
    scripts = sources("static", "tests", kinds=(".js", ".mjs"))
    undocumented += [
        relative(path) for path in scripts if not path.read_text().startswith(("//", "/*"))
    ]
    assert undocumented == []


def test_no_note_of_unfinished_work_is_left() -> None:
    """Fails for a note that something is unfinished."""
    note = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|Not" r"ImplementedError)\b|(?:#|//) *X" r"XX")
    files = sources(*FOLDERS, kinds=(".py", ".js", ".mjs", ".html", ".css"))
    assert [relative(path) for path in files if note.search(path.read_text())] == []


def test_no_function_is_empty() -> None:
    """Fails for a function that does nothing, unless it is abstract or part of a Protocol."""
    empty = []
    for name in production():
        in_protocols = {
            function
            for node in statements(trees()[name])
            if isinstance(node, ast.ClassDef) and "Protocol" in {ast.unparse(b) for b in node.bases}
            for function in functions(node)
        }
        for function in functions(trees()[name]):
            body = [line for line in function.body if not _is_text(line)]
            abstract = any("abstractmethod" in ast.unparse(d) for d in function.decorator_list)
            nothing = all(isinstance(line, ast.Pass) or _is_dots(line) for line in body)
            if nothing and not abstract and function not in in_protocols:
                empty.append(f"{name}:{function.name}")
    assert empty == []


def _is_text(line: ast.stmt) -> bool:
    value = getattr(line, "value", None)
    return isinstance(line, ast.Expr) and isinstance(getattr(value, "value", None), str)


def _is_dots(line: ast.stmt) -> bool:
    value = getattr(line, "value", None)
    return isinstance(line, ast.Expr) and getattr(value, "value", None) is Ellipsis


def test_the_top_level_is_as_agreed() -> None:
    """Fails for a new entry beside the folders and the files of the tools."""
    made_by_tools = {"node_modules", "__pycache__"}
    found = {
        path.name
        for path in ROOT.iterdir()
        if not path.name.startswith(".") and not path.name.endswith(".egg-info")
    }
    assert found - made_by_tools == {
        *FOLDERS,
        "pyproject.toml",
        "Procfile",
        "README.md",
        "LICENSE",
        "Makefile",
        "package.json",
        "package-lock.json",
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-spec.lock",
    }
