"""The files that pages load, kept in memory under two addresses.

`/static/PATH` is revalidated at each use: for programs, and for what has no versioned address.
`/static/@VERSION/PATH` never changes and is kept by browsers; pages load all that they need from
there, so that modules of two versions never mix. The version is a digest of all files together,
because a relative import in a module leads to the same version of the other one.

Rejected: a digest in each file's name. Imports would have to be rewritten or mapped one by one.
"""

import asyncio
import hashlib
import mimetypes
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web

from server.http.packed import PackedBody

CHECKED = 1.0  # seconds between two looks at the folder, so that an edited file is served
YEAR = 365 * 24 * 3600
REVALIDATED: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache"}
IMMUTABLE: dict[str, str] = {hdrs.CACHE_CONTROL: f"public, max-age={YEAR}, immutable"}
TYPES = {".ts": "text/plain", ".toml": "text/plain"}  # what the standard table has otherwise
SERVED = re.compile(r"(?!.*/\.)(?!\.)(?!.*__pycache__).*")
IMPORTED = re.compile(r'^@import url\("(?P<path>[^"]+)"\);\n', re.MULTILINE)
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

    def text(self, path: str) -> str:
        """A file's text. Raises KeyError."""
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


def _joined(path: str, texts: Mapping[str, bytes]) -> bytes:
    """A stylesheet with those that it imports in their place, which would be a request each."""
    folder = Path(path).parent

    def imported(found: re.Match[str]) -> str:
        return texts[(folder / found["path"]).as_posix()].decode() + "\n"

    return IMPORTED.sub(imported, texts[path].decode()).encode()
