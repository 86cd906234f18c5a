"""What both documents say about an operation: words, roles, rate limits, errors, its other wire."""

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from domain.kernel.errors import Code
from domain.operations.command import Style
from domain.operations.operation import Operation
from handlers.documents.wire_types import paragraphs
from handlers.expose import Exposed

# The rate limits in force, by the name of their operation; see `RateTable.described`.
Rates = Mapping[str, Sequence[Mapping[str, Any]]]

RAISES = re.compile(r"\bRaises\b.*?\.(?=\s|$)\s*", re.DOTALL)
SENTENCE = re.compile(r".*?[.:](?=\s|$)", re.DOTALL)


def summary_of(op: Operation) -> str:
    """The first sentence of its docstring, without its full stop."""
    return first_sentence(described(op))


def first_sentence(text: str) -> str:
    """Without its full stop."""
    first = SENTENCE.match(text)
    return (first[0] if first else text).rstrip(".:")


def described(op: Operation) -> str:
    """Its docstring in paragraphs. What it raises is listed by code."""
    return paragraphs(RAISES.sub("", inspect.cleandoc(op.run.__doc__ or "")))


def words(summary: str, description: str = "") -> dict[str, str]:
    """The description only where it says more than the summary."""
    more = description and description.rstrip(".") != summary
    return {"summary": summary, "description": description} if more else {"summary": summary}


def writes(op: Operation) -> bool:
    """Whether a request id has it carried out once."""
    return op.style is Style.WRITE or Code.REQUEST_ID_REUSED in op.codes


def repeat_of(exposed: Exposed) -> str:
    """What a client may do that got no answer: see "x-repeat" in the documents."""
    op, route = exposed.operation, exposed.route
    if writes(op):
        return "request_id"
    reads = op.style is Style.READ or (route is not None and route.method == "GET")
    return "safe" if reads or op.joins or op.leaves or op.instant else "no"


def facts_of(exposed: Exposed, codes: Collection[Code], rates: Rates) -> dict[str, Any]:
    """The extensions of an operation, with the codes that it may answer on this wire."""
    op = exposed.operation
    facts: dict[str, Any] = {
        "x-operation": op.name,
        "x-roles": sorted(op.roles),
        "x-codes": sorted(codes),
        "x-rate-limits": list(rates.get(op.name, ())),
        "x-repeat": repeat_of(exposed),
    }
    if Code.STEP_UP_REQUIRED in codes:
        facts["x-step-up"] = True
    if op.during_setup:
        facts["x-during-setup"] = True
    return facts
