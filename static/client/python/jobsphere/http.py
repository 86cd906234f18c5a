"""Requests over HTTP: their answers, or the refusal that they came back with."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout

from jobsphere.refusals import NoAnswer, Refusal

ANSWER_SECONDS = 30.0
TRANSFER_SECONDS = 600.0
PIECE = 256 * 1024


class Http:
    """The server at `url`. Every method raises Refusal, and NoAnswer if the server is away."""

    def __init__(self, web: ClientSession, url: str) -> None:
        self.url = url.rstrip("/")
        self._web = web

    async def request(
        self,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        *,
        token: str = "",
        request_id: str | None = None,
        form: Any = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Any:
        """The JSON of the answer, which is waited for so many `seconds`. `path` may name fields, as
        in `/api/files/{file_id}/ticket`; the others are the query of a GET, or the body."""
        rest = dict(fields or {})
        for name in [name for name in rest if f"{{{name}}}" in path]:
            path = path.replace(f"{{{name}}}", quote(str(rest.pop(name)), safe=""))
        headers = {"Idempotency-Key": request_id} if request_id else {}
        content: dict[str, Any] = {"json": rest}
        if method == "GET":
            content = {"params": [pair for name in rest for pair in _query(name, rest[name])]}
        elif form is not None:
            content, seconds = {"data": form}, TRANSFER_SECONDS
        async with self._response(
            method, path, token, seconds, headers=headers, **content
        ) as response:
            return await response.json()

    async def save(
        self, path: str, query: Mapping[str, str], target: Path, *, token: str = ""
    ) -> None:
        """Write what a GET answers into a file. A download that fails leaves no file."""
        part = target.with_name(f"{target.name}.part")
        try:
            async with self._response(
                "GET", path, token, TRANSFER_SECONDS, params=query
            ) as response:
                file = await asyncio.to_thread(part.open, "wb")
                try:
                    async for piece in response.content.iter_chunked(PIECE):
                        await asyncio.to_thread(file.write, piece)
                finally:
                    await asyncio.to_thread(file.close)
            await asyncio.to_thread(part.replace, target)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        token: str,
        seconds: float,
        *,
        headers: Mapping[str, str] = {},
        **content: Any,
    ) -> AsyncIterator[ClientResponse]:
        if token:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        timeout = ClientTimeout(total=seconds)
        try:
            async with self._web.request(
                method, self.url + path, headers=headers, timeout=timeout, **content
            ) as response:
                if not response.ok:
                    raise await _refusal(response)
                yield response
        except (ClientError, TimeoutError, ValueError) as failed:
            raise NoAnswer(f"{method} {path}: {failed or type(failed).__name__}") from failed


def _query(name: str, value: Any) -> list[tuple[str, str]]:
    """A list repeats the name, an object is JSON, and what is None is left out."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [pair for item in value for pair in _query(name, item)]
    return [(name, value if isinstance(value, str) else json.dumps(value))]


async def _refusal(response: ClientResponse) -> Refusal:
    """Of `application/problem+json`; anything else comes from what is between."""
    try:
        problem = await response.json(content_type="application/problem+json")
        return Refusal(problem["code"], problem["title"], problem["details"])
    except (ClientError, ValueError, KeyError, TypeError):
        return NoAnswer(f"the server answered {response.status}")
