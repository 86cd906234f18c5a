"""The pages of one folder: the web client at `/`, the live monitor at `/admin`, the documents for
programs at `/docs`, and what they load.

aiohttp's static route answers for missing files, wrong ranges and failed preconditions without a
body; `Page` says what is wrong, as all other refusals do.
"""

from http import HTTPStatus
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from domain.kernel.errors import Code
from server.problems import PROBLEM, problem

PAGES = {"/": "index.html", "/admin": "admin.html", "/docs": "docs.html"}


class _Refusal(web.StreamResponse):
    """What a FileResponse becomes when it cannot send its file."""

    _problem = b""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self.status >= 400:
            code = Code.NOT_FOUND if self.status in (403, 404) else Code.INVALID
            body = problem(self.status, code, HTTPStatus(self.status).phrase)
            self.content_type, self.content_length = PROBLEM, len(body)
            self._problem = body if request.method != hdrs.METH_HEAD else b""
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data or self._problem)


class Page(web.FileResponse, _Refusal):
    """A file, or the refusal to send it."""


def page_routes(folder: Path) -> list[web.RouteDef]:
    """Modules are served as they are, without a build step."""
    folder = folder.resolve()

    async def show(request: web.Request) -> web.StreamResponse:
        return Page(folder / PAGES[request.path])

    async def load(request: web.Request) -> web.StreamResponse:
        try:
            path = (folder / request.match_info["path"]).resolve()
        except (OSError, ValueError) as odd:  # a name that is too long, or has a null character
            raise web.HTTPNotFound from odd
        if not path.is_relative_to(folder):
            raise web.HTTPNotFound
        return Page(path)

    if not folder.is_dir():
        return []
    return [*(web.get(path, show) for path in PAGES), web.get("/static/{path:.+}", load)]
