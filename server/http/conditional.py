"""Conditional reads: the entity tag of an answer, and whether the client has it already.

Decision: a tag consists of the record's id and version and of a digest of the answer. Different
readers see different views of one version of a job, and some answers contain more than the record
(a payment has the title of its job). The digest makes the tag a strong one for all of them, without
a rule for each. The operation runs all the same, so a reader whose rights have ended gets no 304.

Source: RFC 9110, 8.8.3 and 13.1.2.
"""

import hashlib
import re
from typing import Any

from aiohttp import hdrs, web

DIGEST = 12  # bytes
UNSAFE = re.compile(r"[^\w.-]", re.ASCII)


def tag_of(operation: str, data: Any, body: bytes) -> str | None:
    """The tag of an answer with one record, which has a version. Lists have none.

    A balance has no id: it is the caller's own, and the only one of its operation.
    """
    if not isinstance(data, dict) or not isinstance(version := data.get("version"), int):
        return None
    id = UNSAFE.sub("_", str(data.get("id", operation)))
    return f'"{id}.{version}.{hashlib.blake2b(body, digest_size=DIGEST).hexdigest()}"'


def is_known(request: web.Request, tag: str | None) -> bool:
    """Whether the client has this answer already, by its If-None-Match."""
    known = [
        each.strip().removeprefix("W/")
        for each in ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, [])).split(",")
    ]
    return tag is not None and (tag in known or "*" in known)
