"""Files for tests: samples, uploads and downloads, well-formed and hostile."""

import asyncio
import io
import struct
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


def display_p3() -> bytes:
    """A colour profile of Display P3, as phones embed it.

    Sources: ICC.1:2022 for the format, SMPTE EG 432-1 for the primaries, here adapted to D50.
    """

    def fixed(*numbers: float) -> bytes:
        return struct.pack(f">{len(numbers)}i", *(round(each * 65536) for each in numbers))

    def text(words: str) -> bytes:
        place = struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(words), 28)
        return b"mluc\0\0\0\0" + place + words.encode("utf-16-be")

    curve = b"para\0\0\0\0\0\3\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    tags = {
        b"desc": text("Display P3"),
        b"cprt": text("None"),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
        b"rXYZ": b"XYZ \0\0\0\0" + fixed(0.51512, 0.2412, -0.00105),
        b"gXYZ": b"XYZ \0\0\0\0" + fixed(0.29198, 0.69225, 0.04189),
        b"bXYZ": b"XYZ \0\0\0\0" + fixed(0.1571, 0.06657, 0.78407),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = 128 + len(table) + len(data)
    head = struct.pack(">I4x4s4s4s4s12x4s", size, b"\4\0\0\0", b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head.ljust(68, b"\0") + fixed(0.9642, 1, 0.8249) + bytes(48) + table + data


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
