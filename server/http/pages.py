"""The pages of one folder: the web client at `/`, the live monitor at `/admin`, the documents for
programs at `/docs`, and what they load.

A page shows its views at real paths, such as `/jobs/job_1`: the same HTML is the answer to all of
them, and the page finds out by its address what to show.
"""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from server.http.assets import IMPORT_MAP, LOADED, REVALIDATED, Assets
from server.http.packed import PackedBody

# The file of a path by its first part.
PAGES = {
    "": "index.html",
    "admin": "admin.html",
    "docs": "docs.html",
    **dict.fromkeys(
        (
            "agree-email",
            "chat",
            "code",
            "confirm-email",
            "disputes",
            "forgot",
            "jobs",
            "notifications",
            "offers",
            "payments",
            "register",
            "reset",
            "searches",
            "settings",
            "sign-in",
            "undo-email",
            "verify",
            "wallet",
            "work",
        ),
        "index.html",
    ),
}
COMPONENTS = "components.html"  # what views are made of, for those who change them
WHOLE = ("", "docs")  # pages without paths of their own below
CSP = "Content-Security-Policy"

# From the hashes of a page's inline scripts to its content security policy.
Policy = Callable[[list[str]], str]


def page_of(path: str) -> str | None:
    """The file that is shown at a path."""
    name, _, rest = path.removeprefix("/").partition("/")
    return PAGES.get(name) if path.startswith("/") and not (rest and name in WHOLE) else None


def page_routes(folder: Path, policy: Policy, dev: bool) -> list[web.RouteDef]:
    """Modules are served as they are, without a build step. `dev` adds the components."""
    if not folder.is_dir():
        return []
    assets = Assets(folder)
    shown: dict[str, tuple[str, PackedBody, str]] = {}  # file -> version, page, policy

    async def show(request: web.Request) -> web.StreamResponse:
        file = page_of(request.path) or COMPONENTS
        await assets.refresh()
        if shown.get(file, ("",))[0] != assets.version:
            text = assets.page(file)
            scripts = [_hash(found["text"]) for found in IMPORT_MAP.finditer(text)]
            page = PackedBody(text.encode(), "text/html")
            shown[file] = assets.version, page, policy(scripts)
        _, page, allowed = shown[file]
        return await page.answer(request, {**REVALIDATED, CSP: allowed})

    components = [web.get(f"{LOADED}{COMPONENTS}", show)] if dev else []
    return [
        *components,
        *(web.get(f"/{name}", show) for name in PAGES),
        *(web.get(f"/{name}/{{rest:.+}}", show) for name in PAGES if name not in WHOLE),
        web.get("/static/{path:.+}", assets.load),
    ]


def _hash(script: str) -> str:
    """The source expression of an inline script (CSP 3, 2.3.1)."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
