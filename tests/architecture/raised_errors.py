"""Which errors of the contract a function can raise, read from its source and from all it calls.

A call is followed by name, through modules, classes and nested functions, and by the types that
parameters, fields and results declare. A function that is mentioned counts as called, also one that
an object or table of a module holds. What a port raises is what its docstrings say. An `except`
takes away what it catches, unless it raises that again. Conditions are not judged.

A call of a value whose type is not declared cannot be followed. Those that share their name with a
method that raises are listed by `unresolved`.
"""

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

from domain.kernel import bounds
from domain.kernel.errors import DomainError
from domain.kernel.store import UnitOfWork
from domain.operations.postponed import Postponed
from tests.architecture.declared_types import (
    OURS,
    Foreign,
    below,
    classes,
    element,
    evaluated,
    ours,
)
from tests.architecture.source_tree import relative, statements, trees

Error = type[DomainError]
Errors = frozenset[Error]
Node = ast.FunctionDef | ast.AsyncFunctionDef

# A check behind those of operations: what it refuses is a mistake of an operation.
BACKSTOP = f"{bounds.check_bounds.__module__}.{bounds.check_bounds.__qualname__}"
LAMBDAS = {"uow": UnitOfWork}  # the parameters of lambdas have no declared types
NAMED = re.compile(r"\b[A-Z]\w+")
RAISES = re.compile(r"\b[Rr]aises?\b")
KINDS = DomainError.__subclasses__()
ERRORS = {each.__name__: each for kind in KINDS for each in (kind, *kind.__subclasses__())}


class Step(NamedTuple):
    """A place where a function raises, or calls another, with what is caught there."""

    raises: Errors
    calls: "Function | None"
    caught: tuple[type[BaseException], ...]


class Function:
    """A function: its steps, and the types or functions that its local names stand for."""

    def __init__(
        self, node: Node, module: ModuleType, owner: type | None, outer: "Function | None" = None
    ) -> None:
        self.node = node
        self.module = module
        self.owner = owner
        self.local: dict[str, Any] = {**outer.local} if outer else {}
        self.steps: list[Step] = []
        self.unresolved: set[str] = set()
        self.raised: Errors = frozenset()
        self._is_read = False
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self.local |= {each.arg: evaluated(module, each.annotation) for each in arguments}
        if owner and arguments:
            self.local[arguments[0].arg] = owner

    @property
    def result(self) -> Any:
        return evaluated(self.module, self.node.returns)

    def read(self) -> "Function":
        if not self._is_read:
            self._is_read = True
            Reader(self).visit_all(self.node.body)
        return self

    def returned(self) -> Errors:
        """The errors that it makes for its caller to raise."""
        kinds = [kind for kind in classes(self.result) if issubclass(kind, DomainError)]
        if kinds != [DomainError]:
            return frozenset(kinds)
        reader = Reader(self.read())
        values = [each.value for each in statements(self.node) if isinstance(each, ast.Return)]
        return frozenset().union(*(reader.errors(value) for value in values if value))


def raised(*roots: Any) -> Errors:
    """The errors that these functions raise."""
    found = [each for root in roots if (each := of(root))]
    reached(found)
    return frozenset().union(*(each.raised for each in found))


def reached(functions: Iterable[Function]) -> set[Function]:
    """The functions, and all that they call, with the errors that each raises."""
    todo, found = list(functions), set[Function]()
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += [step.calls for step in each.read().steps if step.calls]
    changed = True
    while changed:
        changed = False
        for each in found:
            errors = frozenset(
                error
                for step in each.steps
                for error in step.raises | (step.calls.raised if step.calls else frozenset())
                if not issubclass(error, step.caught)
            )
            changed = changed or errors != each.raised
            each.raised = errors
    return found


def unresolved(functions: Iterable[Function]) -> list[str]:
    """The calls that could not be followed and may be of a method that raises."""
    found = reached(functions)
    raising = {each.node.name for each in found if each.owner and each.raised}
    return sorted(
        f"{each.module.__name__}.{each.node.name}: {name}()"
        for each in found
        for name in each.unresolved & raising
    )


@cache
def definitions(module: str) -> dict[str, ast.stmt]:
    """The functions, classes and methods of a module, by their qualified names."""
    found: dict[str, ast.stmt] = {}
    path = inspect.getsourcefile(sys.modules[module]) or ""
    for node in trees()[relative(Path(path))].body:
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{each.name}": each for each in node.body if isinstance(each, Node)
            }
        if isinstance(node, ast.ClassDef | Node):
            found[node.name] = node
    return found


@cache
def function(module: str, name: str) -> Function | None:
    """The function of that qualified name; None for what is none of ours."""
    if not module.startswith(OURS) or f"{module}.{name}" == BACKSTOP:
        return None
    node = definitions(module).get(name)
    if not isinstance(node, Node):
        return None
    owner = getattr(sys.modules[module], name.partition(".")[0]) if "." in name else None
    return Function(node, sys.modules[module], owner)


def of(value: Any) -> Function | None:
    """The function that `value` is, or that it wraps."""
    value = inspect.unwrap(getattr(value, "__func__", value))
    if isinstance(value, FunctionType):
        return function(value.__module__, value.__qualname__)
    return None


def held(value: Any, depth: int = 3) -> Iterator[Any]:
    """The functions in an object or table of a module."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, dict | list | tuple | set | frozenset) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from held(each, depth - 1)
    elif type(value).__module__.startswith(OURS) and depth:
        yield from held(getattr(value, "__dict__", {}), depth - 1)


ATTRIBUTES: dict[type, dict[str, Any]] = {}


def attributes(kind: type) -> dict[str, Any]:
    """The types of the attributes that a class of ours declares, or that its `__init__` sets."""
    if kind in ATTRIBUTES or not kind.__module__.startswith(OURS):
        return ATTRIBUTES.get(kind, {})
    module = sys.modules[kind.__module__]
    body = getattr(definitions(kind.__module__).get(kind.__qualname__), "body", [])
    found = ATTRIBUTES[kind] = {
        each.target.id: evaluated(module, each.annotation)
        for each in body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    start = function(kind.__module__, f"{kind.__qualname__}.__init__")
    for node in statements(start.node) if start else ():
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)]):
                found.setdefault(name, Reader(start).type_of(node.value))
            case ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self"), attr=name)):
                found[name] = evaluated(module, node.annotation)
    return found


def documented(kind: type, method: Any) -> Errors:
    """What the docstrings of a port say that its method raises."""
    texts = [kind.__doc__ or "", getattr(method, "__doc__", None) or ""]
    found = [text[said.start() :] for text in texts if (said := RAISES.search(text))]
    return frozenset(ERRORS[name] for name in NAMED.findall(" ".join(found)) if name in ERRORS)


class Reader(ast.NodeVisitor):
    """Reads the steps of one function."""

    def __init__(self, found: Function) -> None:
        self.function = found
        self.local = found.local
        self.globals = vars(found.module)
        self.caught: tuple[type[BaseException], ...] = ()

    # -- what is caught --------------------------------------------------------------------------

    def visit_Try(self, node: ast.Try) -> None:
        ends = [each for each in node.handlers if not raises_again(each)]
        self.visit_catching(node.body, [kind for each in ends for kind in self.kinds(each.type)])
        for handler in node.handlers:
            if handler.name:
                self.local[handler.name] = self.kinds(handler.type)[0]
            self.visit_all(handler.body)
        self.visit_all([*node.orelse, *node.finalbody])

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        suppressed: list[type[BaseException]] = []
        for item in node.items:
            self.visit(item.context_expr)
            match item.context_expr:
                case ast.Call(func=ast.Attribute(attr="suppress"), args=args):
                    for each in args:
                        each = each.value if isinstance(each, ast.Starred) else each
                        suppressed += self.kinds(each)
            if item.optional_vars:
                self.bind(item.optional_vars, element(self.type_of(item.context_expr)))
        self.visit_catching(node.body, suppressed)

    visit_AsyncWith = visit_With

    def visit_catching(self, body: list[ast.stmt], kinds: Iterable[type[BaseException]]) -> None:
        outside, self.caught = self.caught, (*self.caught, *kinds)
        self.visit_all(body)
        self.caught = outside

    def visit_all(self, body: Iterable[ast.AST]) -> None:
        for node in body:
            self.visit(node)

    def kinds(self, node: ast.expr | None) -> list[type[BaseException]]:
        """The exceptions that an `except` names."""
        if node is None:
            return [BaseException]
        if isinstance(node, ast.Tuple):
            return [kind for each in node.elts for kind in self.kinds(each)]
        found = self.static(node)
        return list(found) if isinstance(found, tuple) else [found]

    # -- steps -----------------------------------------------------------------------------------

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc:
            self.add(self.errors(node.exc))
        self.generic_visit(node)

    def errors(self, node: ast.expr) -> Errors:
        """The errors of the contract that an expression makes."""
        if isinstance(node, ast.IfExp):
            return self.errors(node.body) | self.errors(node.orelse)
        if isinstance(node, ast.Await):
            return self.errors(node.value)
        made = node.func if isinstance(node, ast.Call) else node
        found = self.static(made)
        if isinstance(found, type) and issubclass(found, Postponed):
            return self.errors_of(found.record)
        if found is None and isinstance(made, ast.Name):
            found = self.local.get(made.id)
        if isinstance(found, FunctionType | Function):
            return self.errors_of(found)
        kinds = [found] if isinstance(found, type) else classes(self.type_of(node))
        return frozenset(kind for kind in kinds if issubclass(kind, DomainError))

    def errors_of(self, made: Any) -> Errors:
        found = made if isinstance(made, Function) else of(made)
        return found.returned() if found else frozenset()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        if node.id in self.local:
            if isinstance(self.local[node.id], Function):
                self.add(calls=self.local[node.id])
        else:
            self.use(self.static(node))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        found = self.static(node)
        if found is not None:
            self.use(found)
            return
        kinds = self.type_of(node.value)
        for kind in ours(kinds):
            self.use_method(kind, node.attr)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        made = self.static(node.func)
        if isinstance(made, type) and made.__module__.startswith(OURS):
            for name in ("__init__", "__post_init__"):
                self.use(inspect.getattr_static(made, name, None))
        elif made is None and isinstance(node.func, ast.Attribute):
            known = classes(self.type_of(node.func.value))
            self.function.unresolved |= set() if known else {node.func.attr}
        self.generic_visit(node)

    def use(self, value: Any) -> None:
        if called := of(value):
            self.add(calls=called)
        holder = getattr(value, "__self__", value)
        if not isinstance(holder, type | ModuleType | FunctionType):
            for each in held(holder):
                self.add(calls=of(each))

    def use_method(self, kind: type, name: str) -> None:
        for each in (kind, *below(kind)):
            method = inspect.getattr_static(each, name, None)
            method = getattr(method, "fget", None) or getattr(method, "func", method)
            if getattr(each, "_is_protocol", False):
                self.add(documented(each, method))
            else:
                self.add(calls=of(method))

    def add(self, raises: Errors = frozenset(), calls: Function | None = None) -> None:
        if raises or calls:
            self.function.steps.append(Step(raises, calls, self.caught))

    # -- what names stand for --------------------------------------------------------------------

    def visit_FunctionDef(self, node: Node) -> None:
        inner = Function(node, self.function.module, None, self.function)
        self.local[node.name] = inner.read()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.local |= {each.arg: LAMBDAS.get(each.arg, Foreign) for each in node.args.args}
        self.visit(node.body)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)
            self.bind(target, self.type_of(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)
        self.bind(node.target, evaluated(self.function.module, node.annotation))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.bind(node.target, self.type_of(node.value))

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.bind(node.target, element(self.type_of(node.iter)))
        self.visit_all([*node.body, *node.orelse])

    visit_AsyncFor = visit_For

    def visit_comprehension_of(self, node: Any) -> None:
        for each in node.generators:
            self.visit(each.iter)
            self.bind(each.target, element(self.type_of(each.iter)))
            self.visit_all(each.ifs)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.visit_all(parts)

    visit_ListComp = visit_SetComp = visit_comprehension_of
    visit_DictComp = visit_GeneratorExp = visit_comprehension_of

    def bind(self, target: ast.expr, kind: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.local[name] = kind
            case ast.Tuple(elts=parts):
                kinds = get_args(kind) if get_origin(kind) is tuple else ()
                for index, part in enumerate(parts):
                    self.bind(part, kinds[index] if index < len(kinds) else None)

    def static(self, node: ast.expr) -> Any:
        """The object of a module that an expression names, or None."""
        match node:
            case ast.Name(id=name) if name not in self.local:
                return self.globals.get(name, getattr(builtins, name, None))
            case ast.Attribute(value=value, attr=name):
                found = self.static(value)
                return None if found is None else getattr(found, name, None)
        return None

    def type_of(self, node: ast.expr) -> Any:
        """The declared type of an expression, or None."""
        match node:
            case ast.Name(id=name) if name in self.local:
                return self.local[name]
            case ast.Name() | ast.Attribute() if (found := self.static(node)) is not None:
                return None if isinstance(found, type) else type(found)
            case ast.Await(value=value) | ast.NamedExpr(value=value) | ast.Starred(value=value):
                return self.type_of(value)
            case ast.Attribute(value=value, attr=name):
                return self.type_of_attribute(self.type_of(value), name)
            case ast.Subscript(value=value):
                return element(self.type_of(value))
            case ast.Call():
                return self.type_of_result(node)
            case ast.BoolOp(values=parts):
                return next(filter(None, map(self.type_of, parts)), None)
            case ast.IfExp(body=one, orelse=other):
                return self.type_of(one) or self.type_of(other)
        return Foreign

    def type_of_attribute(self, kind: Any, name: str) -> Any:
        for each in ours(kind):
            member = inspect.getattr_static(each, name, None)
            getter = getattr(member, "fget", None) or getattr(member, "func", None)
            if getter and (found := of(getter)):
                return found.result
            for base in each.__mro__:
                if (declared := attributes(base).get(name)) is not None:
                    return declared
        return None if not classes(kind) or ours(kind) else Foreign

    def type_of_result(self, node: ast.Call) -> Any:
        called = self.static(node.func)
        if called is None and isinstance(node.func, ast.Name):
            called = self.local.get(node.func.id)
        if called is None and isinstance(node.func, ast.Attribute):
            kind = self.type_of(node.func.value)
            found = [inspect.getattr_static(each, node.func.attr, None) for each in ours(kind)]
            called = next(filter(None, found), None)
            if called is None:
                return Foreign if classes(kind) and not found else None
        if isinstance(called, type):
            return called
        declared = called if isinstance(called, Function) else of(called)
        if declared is None:
            return Foreign
        if not isinstance(declared.result, TypeVar):
            return declared.result
        for argument in node.args:  # such as the kind of record that is read
            given = self.static(argument)
            if isinstance(given, type):
                return given
            if inner := of(given):
                return inner.result
        return None


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether an `except` raises what it has caught."""
    return any(
        isinstance(node, ast.Raise)
        and (node.exc is None or (isinstance(node.exc, ast.Name) and node.exc.id == handler.name))
        for node in statements(handler)
    )
