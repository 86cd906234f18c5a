"""Loaded by schemathesis, see test_random_requests.py: its sessions, and a check of its own."""

import json
import os
from pathlib import Path
from typing import Any

import requests
import schemathesis

from tests.contract.beyond_schemas import is_beyond_schemas

CALLERS: dict[str, str] = json.loads(Path(os.environ["CALLERS"]).read_text())  # by operation


def caller(case: Any, context: Any) -> str:
    """The role that calls an operation."""
    return CALLERS[case.operation.definition.raw["operationId"]]


@schemathesis.auth(cache_by_key=caller, retry_on=[401])
class FreshSession:
    """A session of the caller. A request may end it, as a sign-out or the deletion of the account
    does; then the request is repeated with a new one."""

    def __init__(self) -> None:
        self._web = requests.Session()

    def get(self, case: Any, context: Any) -> str:
        return self._web.get(os.environ["SESSIONS_URL"] + caller(case, context), timeout=30).text

    def set(self, case: Any, token: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """The server takes `null` for no body, as generated clients send it."""
    return case.body is not None


@schemathesis.check
def what_fits_is_accepted(context: Any, response: Any, case: Any) -> None:
    """In place of `positive_data_acceptance`, which knows only statuses."""
    mode = case.meta.generation.mode if case.meta else None
    if mode is not schemathesis.GenerationMode.POSITIVE or response.status_code not in (400, 422):
        return
    problem = response.json()
    if not is_beyond_schemas(problem["code"], problem["title"], problem["details"]):
        raise AssertionError(f"A request that fits its schema is refused: {problem}")
