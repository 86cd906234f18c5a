"""The pages of one folder: the web client at `/`, the live monitor at `/admin`, the documents for
programs at `/docs`, and what they load.

A page shows its views at real paths, such as `/jobs/job_1`: the same HTML is the answer to all of
them, and the page finds out by its address what to show.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from server.http.assets import REVALIDATED, Assets
from server.http.packed import PackedBody

PAGES = {"/": "index.html", "/admin": "admin.html", "/docs": "docs.html"}
LOADED = "/static/"
CSP = "Content-Security-Policy"
INLINE = re.compile(r'<script type="importmap">(?P<text>.*?)</script>', re.DOTALL)

# From the hashes of a page's inline scripts to its content security policy.
Policy = Callable[[list[str]], str]


def page_routes(folder: Path, policy: Policy) -> list[web.RouteDef]:
    """Modules are served as they are, without a build step."""
    if not folder.is_dir():
        return []
    assets = Assets(folder)
    shown: dict[str, tuple[str, PackedBody, str]] = {}  # file -> version, page, policy

    async def show(request: web.Request) -> web.StreamResponse:
        file = PAGES[request.path]
        await assets.refresh()
        if shown.get(file, ("",))[0] != assets.version:
            text = assets.text(file).replace(f'"{LOADED}', f'"{LOADED}@{assets.version}/')
            scripts = [_hash(found["text"]) for found in INLINE.finditer(text)]
            page = PackedBody(text.encode(), "text/html")
            shown[file] = assets.version, page, policy(scripts)
        _, page, allowed = shown[file]
        return await page.answer(request, {**REVALIDATED, CSP: allowed})

    return [
        *(web.get(path, show) for path in PAGES),
        web.get("/static/{path:.+}", assets.load),
    ]


def _hash(script: str) -> str:
    """The source expression of an inline script (CSP 3, 2.3.1)."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
