"""Operations that cause expensive work declare a limit of their own.

What an operation can reach is found in the compiled functions: a name that a function mentions is
followed to the function or class of the domain behind it, tasks and replies included.
"""

import types
from collections.abc import Iterator
from typing import Any

import pytest

from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS, Per
from domain.operations.operation import Operation
from handlers import NAMESPACES, files
from handlers.statements import DOWNLOADS

OURS = ("domain.", "handlers.")
OPERATIONS = {each.operation.name: each.operation for n in NAMESPACES for each in n.exposed}
# These check no password: they make the hash of a new one.
NEW_PASSWORDS = {"account.register", "account.reset"}


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def mentioned(function: types.FunctionType) -> Iterator[Any]:
    """What the names in a function stand for, with the members of modules that it uses."""
    for code in codes(function.__code__):
        for name in code.co_names:
            found = function.__globals__.get(name)
            if isinstance(found, types.ModuleType):
                yield from (vars(found).get(member) for member in code.co_names)
            yield found


def reaches(op: Operation, port: str) -> bool:
    """Whether the operation, its reply or a task that it starts uses the port of that name."""
    found: list[Any] = [op.run, op.reply]
    seen = set()
    while found:
        each = found.pop()
        each = getattr(each, "__func__", each)
        if not getattr(each, "__module__", "").startswith(OURS) or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, type):
            found += vars(each).values()
        elif isinstance(each, types.FunctionType):
            if any(port in code.co_names for code in codes(each.__code__)):
                return True
            found += mentioned(each)
    return False


def names_that_reach(port: str) -> list[str]:
    return sorted(name for name, op in OPERATIONS.items() if reaches(op, port))


@pytest.mark.parametrize(
    ("port", "some"),
    [
        ("gateway", {"payment.methods", "account.onboard", "payment.confirm", "job.complete"}),
        ("examiner", {"files.upload"}),
        ("passwords", {"account.login", "account.delete"}),
    ],
)
def test_expensive_operations_are_limited(port: str, some: set[str]) -> None:
    """Fails for an operation that causes calls of Stripe, inspections of files or hashes of
    passwords without `limits` in its declaration. `some` are found for certain."""
    found = names_that_reach(port)
    assert some <= set(found)
    assert [name for name in found if not OPERATIONS[name].limits] == []


def test_operations_that_wait_for_stripe_share_a_bucket() -> None:
    """Fails for an operation whose answer waits for Stripe, and which does not count its calls."""
    waiting = [
        name
        for name, op in OPERATIONS.items()
        if reaches(op, "gateway") and (op.reply or op.pipelined or op.style == "direct")
    ]
    alone = {"bidding.create", "account.delete"}  # have stricter limits of their own
    assert {"payment.methods", "payment.detach", "payment.setup"} <= set(waiting)
    for name in set(waiting) - alone:
        buckets = {limit.bucket for limit in OPERATIONS[name].limits if limit.per is Per.USER}
        assert "stripe" in buckets, name


def test_operations_that_check_a_password_count_wrong_ones() -> None:
    """Fails for an operation that checks a password and can be used for guessing."""
    for name in names_that_reach("passwords"):
        limits = OPERATIONS[name].limits
        assert any(limit.per is Per.ADDRESS for limit in limits), name
        if name not in NEW_PASSWORDS:
            assert {PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT} <= set(limits), name


def test_exports_are_limited() -> None:
    """Fails for a file made of many records, or an upload, without a limit."""
    exports = [download.operation for download in DOWNLOADS]
    assert [op.name for op in (*exports, files.UPLOAD) if not op.limits] == []
