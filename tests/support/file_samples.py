"""Files for tests: samples, uploads and downloads, well-formed and hostile."""

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

from aiohttp import FormData
from PIL import Image

from domain.files.file import File
from domain.files.gridfs import GridChunk, GridFile
from tests.support.market import Market
from tests.support.parties import AnonymousClient, Json

BOUNDARY = "----jobsphere"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def picture(kind: str = "PNG", size: tuple[int, int] = (640, 400), **options: Any) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, "teal").save(made, kind, **options)
    return made.getvalue()


def archive(entries: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, text in entries.items():
            opened.writestr(name, text)
    return made.getvalue()


async def try_upload(
    party: AnonymousClient, data: bytes, name: str = "photo.png"
) -> tuple[int, Json]:
    form = FormData(quote_fields=False)  # as browsers do
    form.add_field("file", data, filename=name, content_type="image/png")
    headers = {"Authorization": f"Bearer {party.token}"} if party.token else {}
    async with party.web.post(f"{party.url}/api/files", data=form, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def upload(party: AnonymousClient, data: bytes, name: str = "photo.png") -> Json:
    status, file = await try_upload(party, data, name)
    assert status == 200, file
    return file


async def download(
    party: AnonymousClient,
    file_id: str,
    ticket: str | None = None,
    size: str | None = None,
    **headers: str,
) -> tuple[int, Any, bytes]:
    """The status, headers and body. `If_Range` becomes the header `If-Range`."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if party.token:
        sent["Authorization"] = f"Bearer {party.token}"
    query = {name: value for name, value in (("ticket", ticket), ("size", size)) if value}
    url = f"{party.url}/api/files/{file_id}"
    async with party.web.get(url, params=query, headers=sent) as response:
        return response.status, response.headers, await response.read()


class RawRequest:
    """A raw HTTP request whose bytes a test sends one by one."""

    def __init__(self, party: AnonymousClient) -> None:
        self.party = party

    async def __aenter__(self) -> "RawRequest":
        host, port = self.party.url.removeprefix("http://").split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def send_head(self, length: int | None = None, type: str = FORM) -> None:
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        self.writer.write(
            f"POST /api/files HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {self.party.token}"
            f"\r\nContent-Type: {type}\r\n{size}\r\n\r\n".encode()
        )

    def send_get(self, path: str) -> None:
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {self.party.token}"
            "\r\n\r\n".encode()
        )

    def send_chunk(self, data: bytes) -> None:
        if data:  # an empty chunk ends the body
            self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def read_response(self) -> str:
        """The response up to the end of its body."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return (head + await self.reader.readexactly(length)).decode()


def multipart_part(name: str = 'filename="a.txt"', data: bytes = b"Hello") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; {name}\r\n\r\n'
    return head.encode() + data + b"\r\n"


MULTIPART_END = f"--{BOUNDARY}--\r\n".encode()


def peak_memory(pid: int) -> int:
    """The peak resident memory of a process since `reset_peak_memory`, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def reset_peak_memory(pid: int) -> int:
    """Reset the peak. Returns the resident bytes. Source: proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_memory(pid)


async def stored_file_rows(market: Market) -> list[Any]:
    """All stored rows and chunks of files."""
    return [row for kind in (File, GridFile, GridChunk) for row in await market.rows(kind)]
