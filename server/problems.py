"""The body of every refusal over HTTP. Source: RFC 9457."""

from collections.abc import Mapping
from typing import Any

import msgspec

PROBLEM = "application/problem+json"


def problem(status: int, code: str, title: str, details: Mapping[str, Any] | None = None) -> bytes:
    """`code` is the error's code of the contract, and `title` its message."""
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": title,
            "status": status,
            "code": code,
            "details": details or {},
        }
    )
