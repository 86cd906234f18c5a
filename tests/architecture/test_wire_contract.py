"""Operations, events, collections, tasks and errors are those of the contract."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType

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
from tests.architecture.source_tree import production, trees
from tests.support.wire_contract import COLLECTIONS, CONTRACT, PUSHES


@pytest.mark.parametrize("namespace", NAMESPACES, ids=lambda namespace: namespace.name)
def test_operations_are_exposed_as_in_the_contract(namespace: Namespace) -> None:
    """Fails for an operation whose events or routes differ from the contract."""
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
    """Fails for an operation that is exposed nowhere or twice."""
    exposed = [each.operation.name for namespace in NAMESPACES for each in namespace.exposed]
    tagged = {
        function.operation.name
        for module in domain_modules()
        for function in vars(module).values()
        if isinstance(getattr(function, "operation", None), Operation)
    }
    assert sorted(exposed) == sorted(tagged)


@cache
def domain_modules() -> list[ModuleType]:
    return [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(domain.__path__, "domain.")
    ]


def test_every_event_is_in_the_contract() -> None:
    """Fails for a push that no namespace lists, or whose name is not in the contract."""
    agreed = {(space, name) for space, names in PUSHES.items() for name in names.split()}
    listed = [(each.name, event) for each in NAMESPACES for event in each.pushes]
    assert all(event.namespace == space for space, event in listed)
    assert {(event.namespace, event.name) for _, event in listed} == agreed
    assert len(listed) == len({event.name for _, event in listed})  # the documents name them so
    events = {
        (value.namespace, value.name)
        for module in domain_modules()
        for value in vars(module).values()
        if isinstance(value, Event)
    }
    assert events == agreed
    names = {name for _, name in agreed}
    for name in production():
        for node in ast.walk(trees()[name]):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, first = ast.unparse(node.func), node.args[0]
            if called.endswith("manager.emit") and isinstance(first, ast.Constant):
                assert first.value in names, (name, first.value)
            if called == "Event":  # must be a constant of its module, found above
                space, event = (ast.literal_eval(argument) for argument in node.args[:2])
                assert (space, event) in events, (name, event)


def test_every_record_is_listed_and_stored_where_agreed() -> None:
    """Fails for a record that `prepare` does not know, or in a collection of another name."""
    domain_modules()
    concrete = {kind for kind in below(Record) if kind.__module__.startswith("domain.")}
    listed = set(RECORDS)
    assert {kind.COLLECTION for kind in concrete} <= COLLECTIONS
    assert {kind.COLLECTION for kind in concrete} == {kind.COLLECTION for kind in listed}
    assert [kind.__name__ for kind in concrete - listed if "INDEXES" in vars(kind)] == []


def test_every_task_is_listed_under_a_stored_tag_of_its_own() -> None:
    """Fails for a task that no worker knows, or whose stored rows depend on its class name."""
    domain_modules()
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
    """Fails for a Code without a class, two classes of one code, or a status below 400. A kind of
    an error has its code."""
    classes = DomainError.__subclasses__()
    assert sorted(each.code for each in classes) == sorted(Code)
    assert all(400 <= each.status < 600 and each.message for each in classes)
