"""The files that pages load, kept in memory under two addresses.

`/static/PATH` is revalidated at each use: for programs, and for what has no versioned address.
`/static/@VERSION/PATH` never changes and is kept by browsers; pages load all that they need from
there, so that modules of two versions never mix. The version is a digest of all files together,
because a relative import in a module leads to the same version of the other one.

Rejected: a digest in each file's name. Imports would have to be rewritten or mapped one by one.
"""

import asyncio
import hashlib
import json
import mimetypes
import re
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from aiohttp import hdrs, web

from server.http.packed import PackedBody

CHECKED = 1.0  # seconds between two looks at the folder, so that an edited file is served
YEAR = 365 * 24 * 3600
REVALIDATED: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache"}
IMMUTABLE: dict[str, str] = {hdrs.CACHE_CONTROL: f"public, max-age={YEAR}, immutable"}
TYPES = {".ts": "text/plain", ".toml": "text/plain"}  # what the standard table has otherwise
SERVED = re.compile(r"(?!pictures/)(?!.*/\.)(?!\.)(?!.*__pycache__).*")
IMPORTED = re.compile(r'^@import url\("(?P<path>[^"]+)"\);\n', re.MULTILINE)
MODULE = re.compile(
    r'^(?:import\s+|(?:import|export)\b[^;"]*?\bfrom\s+)"(?P<name>[^"]+)";', re.MULTILINE
)
IMPORT_MAP = re.compile(r'<script type="importmap">(?P<text>.*?)</script>', re.DOTALL)
PRELOAD = re.compile(r'<link rel="modulepreload" href="(?P<address>[^"]+)">')
LOADED = "/static/"
VERSION = 12  # hex digits


class _Stamp(NamedTuple):
    modified: int  # ns
    size: int


class Assets:
    """The files of a folder, read again when they change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.version = ""
        self._stamps: dict[str, _Stamp] = {}
        self._bodies: dict[str, PackedBody] = {}
        self._checked = -CHECKED
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Look at the folder, at most once in CHECKED seconds."""
        async with self._reading:
            if time.monotonic() - self._checked >= CHECKED:
                await asyncio.to_thread(self._read)
                self._checked = time.monotonic()

    def page(self, path: str) -> str:
        """A page whose files have versioned addresses. A link that preloads a module preloads
        also what that imports, so that the browser need not find it out module by module.

        Raises KeyError.
        """
        text = self._text(path)
        found = IMPORT_MAP.search(text)
        names = json.loads(found["text"])["imports"] if found else {}

        def links(preload: re.Match[str]) -> str:
            modules = self._modules(preload["address"].removeprefix(LOADED), names)
            link = preload[0].replace(preload["address"], "{}")
            return "".join(link.format(LOADED + module) for module in modules)

        text = PRELOAD.sub(links, text)
        return text.replace(f'"{LOADED}', f'"{LOADED}@{self.version}/')

    def _modules(self, path: str, names: Mapping[str, str]) -> list[str]:
        """A module and all that it imports statically; `names` are of an import map."""
        modules = [path]
        for module in modules:
            for found in MODULE.finditer(self._text(module)):
                folder = PurePosixPath(module).parent
                imported = names.get(found["name"], "").removeprefix(LOADED) or _below(
                    folder, found["name"]
                )
                if imported not in modules:
                    modules.append(imported)
        return modules

    def _text(self, path: str) -> str:
        return self._bodies[path].body.decode()

    async def load(self, request: web.Request) -> web.Response:
        """Answer a request for `/static/{path}`. Raises HTTPNotFound."""
        await self.refresh()
        path = request.match_info["path"]
        version, _, rest = path.partition("/")
        if not version.startswith("@"):
            return await self._answer(request, path, REVALIDATED)
        # Another process may have another version while a new one is rolled out.
        current = version == f"@{self.version}"
        return await self._answer(request, rest, IMMUTABLE if current else REVALIDATED)

    async def _answer(
        self, request: web.Request, path: str, headers: Mapping[str, str]
    ) -> web.Response:
        body = self._bodies.get(path)
        if body is None or path.endswith(".html"):
            raise web.HTTPNotFound
        return await body.answer(request, headers)

    def _read(self) -> None:
        stamps = {path: _stamp(self.folder / path) for path in self._paths()}
        if stamps == self._stamps:
            return
        texts = {path: (self.folder / path).read_bytes() for path in stamps}
        bodies = {path: self._body(path, texts) for path in texts}
        all_digests = "".join(f"{path} {bodies[path].digest}\n" for path in sorted(bodies))
        self.version = hashlib.blake2b(all_digests.encode()).hexdigest()[:VERSION]
        self._bodies, self._stamps = bodies, stamps

    def _paths(self) -> list[str]:
        names = (
            file.relative_to(self.folder).as_posix()
            for file in self.folder.rglob("*")
            if file.is_file()
        )
        return [name for name in names if SERVED.fullmatch(name)]

    def _body(self, path: str, texts: Mapping[str, bytes]) -> PackedBody:
        suffix = Path(path).suffix
        known, _ = mimetypes.guess_type(path)
        content_type = TYPES.get(suffix) or known or "application/octet-stream"
        body = _joined(path, texts) if suffix == ".css" else texts[path]
        return PackedBody(body, content_type)


def _stamp(file: Path) -> _Stamp:
    status = file.stat()
    return _Stamp(status.st_mtime_ns, status.st_size)


def _below(folder: PurePosixPath, name: str) -> str:
    """The path that a relative address means in a folder."""
    parts = list(folder.parts)
    for part in PurePosixPath(name).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _joined(path: str, texts: Mapping[str, bytes]) -> bytes:
    """A stylesheet with those that it imports in their place, which would be a request each."""
    folder = Path(path).parent

    def imported(found: re.Match[str]) -> str:
        return _joined((folder / found["path"]).as_posix(), texts).decode() + "\n"

    return IMPORTED.sub(imported, texts[path].decode()).encode()
