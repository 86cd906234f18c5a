"""The files that pages load."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, hdrs, web
from aiohttp.test_utils import TestClient, TestServer

from server.app import STATIC
from server.http import assets
from server.http.pages import PAGES, page_routes
from tests.support.market import Market

CLIENT = STATIC / "js" / "client" / "app.js"
Served = TestClient[web.Request, web.Application]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(assets, "CHECKED", 0.0)
    files = {
        "index.html": '<script type="importmap">{"imports":{"ui":"/static/ui.js"}}</script>\n'
        '<link rel="stylesheet" href="/static/css/all.css">',
        "admin.html": '<script type="importmap">{"imports":{"ui":"/static/ui.js"}}</script>\n'
        '<link rel="modulepreload" href="/static/js/admin/main.js">',
        "js/admin/main.js": 'import { b } from "../shared/b.js";\nimport "ui";\n'
        'const later = () => import("./later.js");\n',
        "js/admin/later.js": "export {};",
        "js/shared/b.js": 'export {\n  a,\n  b,\n} from "./a.js";\nimport "../admin/main.js";\n',
        "js/shared/a.js": "export const a = 1;",
        "docs.html": "docs",
        "ui.js": "export {};\n" * 100,
        "css/all.css": '@import url("./parts/one.css");\nb { color: red }\n',
        "css/parts/one.css": '@import url("./two.css");\na { color: red }\n',
        "css/parts/two.css": "i { color: red }\n",
        ".hidden": "secret",
        "js/.git/config": "secret",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
async def served(folder: Path) -> AsyncIterator[Served]:
    app = web.Application()
    app.add_routes(
        page_routes(folder, lambda scripts: f"script-src 'self' {' '.join(scripts)}", dev=True)
    )
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_a_page_loads_from_addresses_that_never_change(served: Served, folder: Path) -> None:
    """Guard: `assets.Assets`: a changed file changes the version of all."""

    async def stylesheet() -> str:
        page = await (await served.get("/")).text()
        found = re.search(r'href="([^"]+)"', page)
        assert found
        return found[1]

    before = await stylesheet()
    assert re.fullmatch(r"/static/@[0-9a-f]{12}/css/all.css", before)
    kept = await served.get(before)
    assert kept.headers[hdrs.CACHE_CONTROL] == "public, max-age=31536000, immutable"
    (folder / "ui.js").write_text("export const changed = true;")
    after = await stylesheet()
    assert after != before
    assert "immutable" in (await served.get(after)).headers[hdrs.CACHE_CONTROL]
    old = await served.get(before)
    assert (old.status, old.headers[hdrs.CACHE_CONTROL]) == (200, "no-cache")


async def test_imported_stylesheets_are_no_requests(served: Served) -> None:
    """Guard: `assets._joined`."""
    response = await served.get("/static/css/all.css")
    assert response.content_type == "text/css"
    assert await response.text() == "i { color: red }\n\na { color: red }\n\nb { color: red }\n"


async def test_what_a_module_imports_is_preloaded(served: Served) -> None:
    """Guard: `Assets._modules`: once each, also by the names of the import map, and nothing that
    is imported later."""
    page = await (await served.get("/admin")).text()
    links = re.findall(r'<link rel="modulepreload" href="/static/@\w+/([^"]+)">', page)
    assert links == ["js/admin/main.js", "js/shared/b.js", "ui.js", "js/shared/a.js"]


async def test_an_inline_script_is_allowed_by_its_hash(served: Served) -> None:
    """Guard: `pages._hash`."""
    response = await served.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert re.fullmatch(r"script-src 'self' 'sha256-[A-Za-z0-9+/]{43}='", policy)


@pytest.mark.parametrize(
    "path",
    (".hidden", "js/.git/config", "index.html", "css", "css/", "../index.html", "@", "@1/", "x\0"),
)
async def test_nothing_else_is_served(served: Served, path: str) -> None:
    """Guard: `assets.SERVED`. Pages have their own addresses."""
    assert (await served.get(f"/static/{path}")).status == 404


async def test_files_are_packed_and_known(market: Market) -> None:
    """Guard: `packed.PackedBody`."""
    url = f"{market.url}/static/js/client/app.js"
    async with ClientSession(auto_decompress=False) as client:
        async with client.get(url, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers[hdrs.CONTENT_ENCODING] == "gzip"
            assert response.content_type == "text/javascript"
            tag = response.headers[hdrs.ETAG]
        headers = {"Accept-Encoding": "gzip", "If-None-Match": tag}
        async with client.get(url, headers=headers) as response:
            assert response.status == 304


def test_every_path_of_the_client_has_its_page() -> None:
    """Fails for a view of static/js/client/app.js that a reload would not find, and for a path that
    shows none."""
    routes = re.findall(r'^  "/([a-z-]*)[^"]*": ', CLIENT.read_text(), re.MULTILINE)
    assert len(routes) > 10
    assert {name for name, file in PAGES.items() if file == "index.html"} == set(routes)
