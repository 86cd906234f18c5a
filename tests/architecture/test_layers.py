"""The shape of the code: who may import whom, how long things are, and what is exposed where."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import domain
from domain.kernel.errors import Code, DomainError
from domain.kernel.outbox import Event
from domain.kernel.record import Record
from domain.operations.operation import Operation
from domain.operations.task import Task
from domain.registry import RECORDS, TASKS
from handlers import NAMESPACES
from handlers.expose import Namespace
from tests.support.wire_contract import COLLECTIONS, CONTRACT, PUSHES

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = ("domain", "handlers", "server")
FOLDERS = (*PRODUCTION, "static", "tests")
DATABASE = {"motor", "pymongo", "bson", "gridfs"}


def sources(*folders: str, kinds: tuple[str, ...] = (".py",)) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in kinds and not {"vendor", "node_modules"} & set(path.parts)
    ]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def trees() -> dict[str, ast.Module]:
    return {named(path): ast.parse(path.read_text()) for path in sources(*PRODUCTION, "tests")}


def imported(name: str, tree: ast.AST | None = None) -> Iterator[str]:
    """Modules that a file imports when it runs, also inside functions; not for type checking."""
    for node in ast.iter_child_nodes(tree or trees()[name]):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = name.split("/")[: -node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(name, node)


def packages(name: str) -> set[str]:
    return {module.partition(".")[0] for module in imported(name)}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def production() -> Iterator[str]:
    return (name for name in trees() if name.startswith(PRODUCTION))


# -- imports ---------------------------------------------------------------------------------


def test_imports_go_one_way() -> None:
    """Fails for an import against `handlers -> domain <- server`; only server/app.py composes."""
    wrong = []
    for name in production():
        found, folder = packages(name), name.partition("/")[0]
        forbidden = {
            "domain": {"handlers", "server", "tests", "aiohttp", "socketio", "stripe", "redis"},
            "handlers": {"server", "tests", "socketio", "stripe", "redis"},
            "server": {"tests"} if name == "server/app.py" else {"tests", "handlers"},
        }[folder]
        wrong += [(name, package) for package in found & forbidden]
    assert wrong == []


def test_one_file_talks_to_each_provider() -> None:
    """Fails when a second file imports the database's driver or Stripe's SDK."""
    database = [name for name in production() if packages(name) & DATABASE]
    stripe = [name for name in production() if "stripe" in packages(name)]
    assert (database, stripe) == (["domain/kernel/store.py"], ["server/adapters/stripe_gateway.py"])


def test_the_embedded_stripe_knows_nothing_of_us() -> None:
    """Fails when the sandbox imports our own rules: it would agree with our mistakes."""
    wrong = [
        (name, module)
        for name in trees()
        if name.startswith("server/dev/stripe_sandbox/")
        for module in imported(name)
        if module.startswith(("domain", "handlers"))
    ]
    assert wrong == []


def test_no_module_imports_itself_by_a_detour() -> None:
    """Fails for a cycle of imports among our modules."""
    modules = {name[:-3].replace("/", ".").removesuffix(".__init__"): name for name in production()}
    graph = {
        module: {found for found in imported(name) if found in modules} - {module}
        for module, name in modules.items()
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for other in graph[module]:
                visit(other, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


# -- size and form ---------------------------------------------------------------------------


def test_functions_fit_a_screen() -> None:
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
    """Fails for a file of more than 500 lines."""
    lengths = {
        named(path): len(path.read_text().splitlines())
        for path in sources(*FOLDERS, kinds=(".py", ".js", ".mjs"))
    }
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def test_every_file_says_what_it_is_for() -> None:
    """Fails for a file that does not begin with a docstring (in a script: a comment)."""
    silent = [name for name, tree in trees().items() if tree.body and not ast.get_docstring(tree)]
    scripts = sources("static", "tests", kinds=(".js", ".mjs"))
    silent += [named(path) for path in scripts if not path.read_text().startswith(("//", "/*"))]
    assert silent == []


def test_nothing_is_left_open() -> None:
    """Fails for a note that something is still to be done."""
    note = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|Not" r"ImplementedError)\b|(?:#|//) *X" r"XX")
    files = sources(*FOLDERS, kinds=(".py", ".js", ".mjs", ".html", ".css"))
    assert [named(path) for path in files if note.search(path.read_text())] == []


def test_no_body_is_empty() -> None:
    """Fails for a function that does nothing, unless it is a promise (Protocol, abstract)."""
    empty = []
    for name in production():
        promised = {
            function
            for node in ast.walk(trees()[name])
            if isinstance(node, ast.ClassDef) and "Protocol" in {ast.unparse(b) for b in node.bases}
            for function in functions(node)
        }
        for function in functions(trees()[name]):
            body = [line for line in function.body if not _is_text(line)]
            abstract = any("abstractmethod" in ast.unparse(d) for d in function.decorator_list)
            nothing = all(isinstance(line, ast.Pass) or _is_dots(line) for line in body)
            if nothing and not abstract and function not in promised:
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
    }


# -- the contract ----------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", NAMESPACES, ids=lambda namespace: namespace.name)
def test_what_is_exposed_is_the_contract(namespace: Namespace) -> None:
    """Fails for an operation that is exposed on more, less or other wires than agreed."""
    found = {
        (
            exposed.event,
            exposed.route and f"{exposed.route.method} {exposed.route.path}",
            frozenset(exposed.operation.roles),
        )
        for exposed in namespace.exposed
    }
    agreed = CONTRACT[namespace.name]
    assert found == {(event, route, frozenset(roles.split())) for event, route, roles in agreed}
    assert {each.name for each in NAMESPACES} == CONTRACT.keys()


def test_every_operation_of_the_domain_is_exposed_once() -> None:
    """Fails for an operation that nobody can call, or that has two names."""
    exposed = [each.operation.name for namespace in NAMESPACES for each in namespace.exposed]
    tagged = {
        function.operation.name
        for module in modules()
        for function in vars(module).values()
        if isinstance(getattr(function, "operation", None), Operation)
    }
    assert sorted(exposed) == sorted(tagged)


def modules() -> list[object]:
    return [
        importlib.import_module(m.name) for m in pkgutil.walk_packages(domain.__path__, "domain.")
    ]


def test_every_event_is_one_of_the_contract() -> None:
    """Fails for a push under a name that no client has been told."""
    agreed = {(space, name) for space, names in PUSHES.items() for name in names.split()}
    events = {
        (value.namespace, value.name)
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, Event)
    }
    assert events - agreed == set()
    words = {name for _, name in agreed}
    for name in production():
        for node in ast.walk(trees()[name]):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, first = ast.unparse(node.func), node.args[0]
            if called.endswith("manager.emit") and isinstance(first, ast.Constant):
                assert first.value in words, (name, first.value)
            if called == "Event":  # a constant of its module, so that it was found above
                space, word = (ast.literal_eval(argument) for argument in node.args)
                assert (space, word) in events, (name, word)


def test_every_record_is_listed_and_stored_where_agreed() -> None:
    """Fails for a record that `prepare` would not see, or in a collection of another name."""
    modules()
    concrete = {kind for kind in below(Record) if kind.__module__.startswith("domain.")}
    listed = set(RECORDS)
    assert {kind.COLLECTION for kind in concrete} <= COLLECTIONS
    assert {kind.COLLECTION for kind in concrete} == {kind.COLLECTION for kind in listed}
    assert [kind.__name__ for kind in concrete - listed if "INDEXES" in vars(kind)] == []


def test_every_task_is_listed_under_a_stored_tag_of_its_own() -> None:
    """Fails for a task that no worker knows, or whose stored rows depend on its class name."""
    modules()
    tasks = {kind for kind in below(Task) if kind.__module__.startswith("domain.")}
    assert tasks == set(TASKS.__args__)
    tags = [task.tag() for task in tasks]
    assert [tag for tag in tags if not re.fullmatch(r"[a-z]+(_[a-z]+)*", tag)] == []
    assert len(set(tags)) == len(tags)


def below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


def test_every_error_has_one_code_and_every_code_an_error() -> None:
    """Fails for a Code without its class, two classes of one code, or a status that is no error."""
    classes = list(below(DomainError))
    assert sorted(each.code for each in classes) == sorted(Code)
    assert all(400 <= each.status < 600 and each.message for each in classes)
