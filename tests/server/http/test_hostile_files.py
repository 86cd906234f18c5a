"""Uploads that mean harm: refused with a clear error, nothing left in the store, memory flat."""

import asyncio
import contextlib
import gzip
import io
import struct
import zlib
from functools import cache

import pytest
from PIL import Image

from domain.files import gridfs
from domain.files.file import MAX_FILE, File
from server.http import transfer_slots, uploads
from server.http.transfer_slots import TransferSlots
from server.runtime.background_tasks import end
from tests.support.file_samples import (
    BOUNDARY,
    FORM,
    MULTIPART_END,
    RawRequest,
    archive,
    download,
    multipart_part,
    peak_memory,
    picture,
    reset_peak_memory,
    stored_file_rows,
    try_upload,
    upload,
)
from tests.support.one_server import one_server, own_server

pytestmark = one_server

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
HTML = b"<!doctype html><script>alert(document.cookie)</script>"
MEGABYTE = 2**20


@cache
def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that is `side` times `side` pixels when it is drawn."""
    squeeze, rows = zlib.compressobj(9), b""
    for _ in range(side):
        rows += squeeze.compress(bytes(1 + side // 8))
    rows += squeeze.flush()

    def block(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", rows) + block(b"IEND", b"")


def packed_zeros(size: int) -> bytes:
    """A body of so many bytes that takes a thousandth of that on the wire."""
    squeeze = zlib.compressobj(1, wbits=31)
    pieces = [squeeze.compress(bytes(MEGABYTE)) for _ in range(size // MEGABYTE)]
    return b"".join([gzip.compress(multipart_part()[:-2]), *pieces, squeeze.flush()])


# -- what is in it ---------------------------------------------------------------------------


REFUSED = {
    "svg": SVG,
    "xml": b"<?xml version='1.0'?>" + SVG,
    "html": HTML,
    "html after blanks": b"\xef\xbb\xbf \n\t" + HTML,
    "script": b"#!/bin/sh\nrm -rf /\n",
    "program": b"\x7fELF\x02\x01\x01" + bytes(64),
    "bmp": picture("BMP"),
    "tiff": picture("TIFF"),
    "utf-16": "<script>".encode("utf-16"),
    "nulls": b"text\0text",
    "half a picture": picture("JPEG")[:300],
    "only its first bytes": b"GIF89a" + HTML,
    "java": archive({"META-INF/MANIFEST.MF": "Main-Class: Evil"}),
    "macros": archive(
        {
            "[Content_Types].xml": "",
            "word/document.xml": "",
            "word/vbaProject.bin": "Sub AutoOpen()",
        }
    ),
    "html before a zip": HTML + archive({"a": "x"}),
    "zip and more": archive({"a": "x"}) + HTML,
    "pdf and a zip": b"%PDF-1.7\n" + archive({"a": "x"}) + b"%%EOF",
    "pdf and html": b"%PDF-1.7\n%%EOF\n" + HTML,
    "not a zip": b"PK\x03\x04" + bytes(100),
    "zip that leads elsewhere": archive({"a.txt": "x", "../../.profile": "x"}),
    "zip with a way from the root": archive({"/etc/passwd": "x"}),
    "zip for windows": archive({"..\\..\\x.exe": "x"}),
}


async def test_refused_files(market):
    """Guard: `file_inspector_process.guess` finds the type in the bytes; name and declared type
    count for nothing, and every type has its proof."""
    owner = await market.customer()
    before = await market.traces()
    for what, data in REFUSED.items():
        status, problem = await try_upload(owner, data, "photo.png")
        assert (status, problem["code"]) == (415, "unsupported_type"), (what, problem)
        assert "image/png" in problem["details"]["allowed"], what
    assert await market.traces() == before


async def test_a_picture_leaves_behind_what_else_it_was(market):
    """Guard: `draw` in `file_inspector_process`: pictures are drawn again (GIFAR, HTML, EXIF)."""
    owner = await market.customer(connect=False)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "taken at home <script>alert(1)</script>", 6
    for kind in ("JPEG", "PNG", "GIF", "WEBP"):
        options = {} if kind == "GIF" else {"exif": exif}
        extra = {"comment": b"<script>1</script>"} if kind in ("GIF", "JPEG") else {}
        sent = picture(kind, **options, **extra) + HTML + archive({"META-INF/MANIFEST.MF": "x"})
        file = await upload(owner, sent, "a.html")
        assert file["name"].startswith("a.html.")
        for size in (None, "thumb"):
            _, headers, body = await download(owner, file["id"], size=size)
            left = [word for word in (b"script", b"home", b"PK\x03", b"Exif") if word in body]
            assert not left, (kind, size)
            assert headers["Content-Type"].startswith("image/")
        turned = (400, 640) if options else (640, 400)
        assert (file["width"], file["height"]) == turned, kind


async def test_a_pixel_bomb(market):
    """Guard: MAX_PIXELS, looked at before anything is drawn, over all frames together."""
    owner = await market.customer()
    before = await market.traces()
    small = bomb(40_000)
    assert len(small) < 300_000
    frames = [Image.new("1", (3000, 3000), n % 2) for n in range(7)]
    many = io.BytesIO()
    frames[0].save(many, "GIF", save_all=True, append_images=frames[1:])
    for data in (small, many.getvalue()):
        status, problem = await try_upload(owner, data, "photo.png")
        assert (status, problem["code"]) == (413, "too_large")
        assert problem["details"]["limit_pixels"] > 1_000_000
    assert await market.traces() == before


# -- how it comes ----------------------------------------------------------------------------


BODIES = {
    # name: (content type, body, code)
    "two files": (None, multipart_part() + multipart_part() + MULTIPART_END, "invalid"),
    "many parts": (None, multipart_part() * 300 + MULTIPART_END, "invalid"),
    "no name": (None, multipart_part("x=y") + MULTIPART_END, "invalid"),
    "no part": (None, MULTIPART_END, "invalid"),
    "empty": (None, b"", "invalid"),
    "no content": (None, multipart_part(data=b"") + MULTIPART_END, "invalid"),
    "cut short": (None, multipart_part()[:-9], "invalid"),
    "no end": (None, multipart_part() + b"--" + BOUNDARY.encode(), "invalid"),
    "encoded": (
        None,
        multipart_part('filename="a.txt"\r\nContent-Transfer-Encoding: base64') + MULTIPART_END,
        "invalid",
    ),
    "long header": (
        None,
        multipart_part('filename="a.txt"\r\nX: ' + "x" * 100_000) + MULTIPART_END,
        "invalid",
    ),
    "many headers": (
        None,
        multipart_part('filename="a.txt"' + "\r\nX: y" * 1000) + MULTIPART_END,
        "invalid",
    ),
    "no boundary": ("multipart/form-data", multipart_part() + MULTIPART_END, "invalid"),
    "long boundary": (
        "multipart/form-data; boundary=" + "x" * 300,
        multipart_part() + MULTIPART_END,
        "invalid",
    ),
    "other form": (
        "multipart/mixed; boundary=" + BOUNDARY,
        multipart_part() + MULTIPART_END,
        "unsupported_type",
    ),
    "json": ("application/json", b"{}", "unsupported_type"),
    "packed": (
        FORM + "\r\nContent-Encoding: gzip",
        gzip.compress(multipart_part() + MULTIPART_END),
        "unsupported_type",
    ),
}
NAMES = [
    'filename="../../../etc/passwd"',
    'filename="..\\\\..\\\\x.txt"',
    "filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%3Dy.txt",
    "filename*=UTF-8''%2e%2e%2fx.txt",
    'filename="' + "x" * 3000 + '.txt"',
]


async def test_a_body_that_is_none(market):
    """Guard: `uploads._receive` and `uploads._read`."""
    owner = await market.customer(connect=False)
    for name, (type, body, code) in BODIES.items():
        async with RawRequest(owner) as raw:
            raw.send_head(len(body), *([type] if type else []))
            raw.writer.write(body)
            assert f'"code":"{code}"' in await raw.read_response(), name
        assert not await stored_file_rows(market), name


async def test_names_that_lead_elsewhere(market):
    """Guard: `safe_name` at the upload, `_headers` at the download."""
    owner = await market.customer(connect=False)
    for name in NAMES:
        async with RawRequest(owner) as raw:
            body = multipart_part(name) + MULTIPART_END
            raw.send_head(len(body))
            raw.writer.write(body)
            assert " 200 " in (await raw.read_response()).splitlines()[0], name
    files = await market.rows(File)
    assert len(files) == len(NAMES)
    for file in files:
        assert not {"/", "\\", "\r", "\n"} & set(file.name) and ".." not in file.name
        assert len(file.name) <= 180
        _, headers, body = await download(owner, file.id)
        assert body == b"Hello" and "Set-Cookie" not in headers
        assert headers["Content-Disposition"].startswith('attachment; filename="')


@pytest.mark.parametrize("within", ["the file", "the preamble", "the parts", "the epilogue"])
async def test_a_body_without_an_end(market, within):
    """Guard: MAX_FILE in `_read`, `MeteredBody` for everything around it. Short lines before the
    first part took a minute of the event loop as long as they had the limit of the file."""
    owner = await market.customer()
    opening, more = {
        "the file": (multipart_part()[:-2], b"x" * 65_536),
        "the preamble": (b"", b"line\r\n" * 10_000),
        "the parts": (multipart_part('filename="a.txt"')[:-2], b"x" * 65_536),
        "the epilogue": (multipart_part() + MULTIPART_END, b"line\r\n" * 10_000),
    }[within]
    async with RawRequest(owner) as raw:
        raw.send_head()
        raw.send_chunk(opening)
        answer = asyncio.create_task(raw.read_response())
        with contextlib.suppress(ConnectionError):
            while not answer.done():
                raw.send_chunk(more)
                await asyncio.wait(
                    {asyncio.create_task(raw.writer.drain()), answer}, return_when="FIRST_COMPLETED"
                )
        said = await answer
    assert '"code":"too_large"' in said or within == "the epilogue"
    assert within == "the epilogue" or not await stored_file_rows(market)


async def test_a_length_beyond_the_limit_is_not_read(market):
    """Guard: `content_length` in `_receive`."""
    async with RawRequest(await market.customer()) as raw:
        raw.send_head(10**12)
        assert '"limit_bytes":20971520' in await raw.read_response()


async def test_an_aborted_connection(market, server):
    """Guard: nothing is stored before the upload is complete, and it holds no slot any more."""
    owner = await market.customer()
    before = await market.traces()
    going = server.web.http._uploads.slots.active
    for _ in range(3):
        async with RawRequest(owner) as raw:
            raw.send_head(5 * MEGABYTE)
            raw.writer.write(multipart_part(data=b"x" * MEGABYTE))
            await raw.writer.drain()
            await until(lambda: going)
        await until(lambda: not going)
    assert await market.traces() == before


async def test_too_many_at_once(market, server):
    """Guard: `uploads.UPLOADS_OF_USER`; others are not concerned."""
    owner, other = await market.customer(), await market.customer("Olga")
    going = server.web.http._uploads.slots.active
    async with contextlib.AsyncExitStack() as stack:
        for number in range(uploads.UPLOADS_OF_USER):
            raw = await stack.enter_async_context(RawRequest(owner))
            raw.send_head(MEGABYTE)
            await until(lambda most=number: going[owner.id] > most)
        status, problem = await try_upload(owner, b"Hello", "a.txt")
        assert (status, problem["code"]) == (429, "rate_limited")
        await upload(other, b"Hello", "a.txt")
    await until(lambda: not going)
    await upload(owner, b"Hello", "a.txt")


async def test_readers_that_do_not_read(market, server, monkeypatch):
    """Guard: `transfer` in `HttpApi.download`; others are not concerned."""
    monkeypatch.setattr(server.web.http, "_downloads", TransferSlots(2, 10, 10))
    owner, other = await market.customer(), await market.customer("Olga")
    large = (await upload(owner, b"line\n" * (MAX_FILE // 5), "a.txt"))["id"]
    small = (await upload(other, b"Hello", "a.txt"))["id"]
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            raw = await stack.enter_async_context(RawRequest(owner))
            raw.send_get(f"/api/files/{large}")
            await raw.reader.readuntil(b"\r\n\r\n")
        status, _, body = await download(owner, large)
        assert (status, b'"rate_limited"' in body) == (429, True)
        assert (await download(other, small))[0] == 200
    going = server.web.http._downloads.active
    await until(lambda: not going)


async def test_one_that_stalls(market, monkeypatch):
    """Guard: PIECE_SECONDS in `MeteredBody`."""
    monkeypatch.setattr(uploads, "PIECE_SECONDS", 0.2)
    async with RawRequest(await market.customer()) as raw:
        raw.send_head(MEGABYTE)
        raw.writer.write(multipart_part())
        assert '"code":"invalid"' in await raw.read_response()


@own_server
@pytest.mark.parametrize("full", ["process", "network"])
async def test_who_sends_slowly_makes_room_for_others(market, server, full):
    """Guard: `TransferSlots._evict_one`: one without a slot takes one of the user with the most,
    from the slowest; users with as many slots are refused at once."""
    slots = server.web.http._uploads.slots
    slots._total, slots._of_network = (4, 10) if full == "process" else (10, 4)
    drippers = [await market.customer(connect=False) for _ in range(2)]
    other = await market.customer("Olga", connect=False)
    async with contextlib.AsyncExitStack() as stack:
        answers = []
        for number, dripper in enumerate(drippers * 2):
            raw = await stack.enter_async_context(RawRequest(dripper))
            raw.send_head(MEGABYTE)
            await until(lambda n=number: slots.active.total() > n)
            answers.append(asyncio.create_task(raw.read_response()))
        status, problem = await try_upload(drippers[0], b"Hello", "a.txt")
        assert (status, problem["code"]) == (429, "rate_limited")
        await upload(other, b"Hello", "a.txt")
        [evicted], rest = await asyncio.wait(answers, return_when="FIRST_COMPLETED")
        assert '"code":"rate_limited"' in await evicted
        assert (len(rest), slots.active.total()) == (3, 3)
        await end(rest)
    await until(lambda: not slots.active)


@own_server
async def test_slow_ones_make_room_even_with_one_slot_each(market, server, monkeypatch):
    """Guard: SLOW: many accounts with one slow upload each do not keep others out."""
    monkeypatch.setattr(transfer_slots, "YOUNG_SECONDS", 0.0)
    server.web.http._uploads.slots._total = 2
    async with contextlib.AsyncExitStack() as stack:
        for number in range(2):
            raw = await stack.enter_async_context(RawRequest(await market.customer(connect=False)))
            raw.send_head(MEGABYTE)
            await until(lambda n=number: server.web.http._uploads.slots.active.total() > n)
        await upload(await market.customer("Olga", connect=False), b"Hello", "a.txt")


async def test_one_that_drips(market, monkeypatch):
    """Guard: LEAST_SPEED, after GRACE_SECONDS, however regularly a byte comes."""
    monkeypatch.setattr(transfer_slots, "GRACE_SECONDS", 0.3)
    async with RawRequest(await market.customer(connect=False)) as raw:
        raw.send_head(MEGABYTE)
        raw.writer.write(multipart_part()[:-2])
        answer = asyncio.create_task(raw.read_response())
        while not answer.done():
            raw.writer.write(b"x")
            await asyncio.wait({answer}, timeout=0.02)
        assert '"code":"invalid"' in await answer


async def test_a_reader_that_drips(market, server, monkeypatch):
    """Guard: `transfer.moved` in `downloads.send`: its connection is cut."""
    owner = await market.customer(connect=False)
    large = (await upload(owner, b"line\n" * (MAX_FILE // 5), "a.txt"))["id"]
    monkeypatch.setattr(transfer_slots, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(transfer_slots, "LEAST_SPEED", 10**9)
    async with RawRequest(owner) as raw:
        raw.send_get(f"/api/files/{large}")
        await raw.reader.readuntil(b"\r\n\r\n")
        await until(lambda: not server.web.http._downloads.active)
        with contextlib.suppress(ConnectionError):
            assert len(await raw.reader.read()) < MAX_FILE


async def test_a_slow_server_is_not_the_readers_fault(market, server, monkeypatch):
    """Guard: `server_works` in `downloads.send`, and that the time limit goes on after it."""
    owner = await market.customer(connect=False)
    file_id = (await upload(owner, b"Hello", "a.txt"))["id"]
    read = gridfs.GridFs.read

    async def read_slowly(*arguments):
        await asyncio.sleep(0.5)
        async for piece in read(*arguments):
            yield piece

    monkeypatch.setattr(gridfs.GridFs, "read", read_slowly)
    monkeypatch.setattr(transfer_slots, "GRACE_SECONDS", 0.3)
    async with RawRequest(owner) as raw:
        raw.send_get(f"/api/files/{file_id}")
        assert "Hello" in await raw.read_response()
    with pytest.raises(TimeoutError):
        async with transfer_slots.TransferSlots(1, 1, 1).transfer("usr_1", "net") as transfer:
            with transfer.server_works():
                await asyncio.sleep(0.5)
            await asyncio.sleep(20)


async def until(true) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# -- memory ----------------------------------------------------------------------------------


@own_server
@pytest.mark.timeout(300)
async def test_memory_stays_flat(processes):
    """Guard: Spool, and `blocks` in `gridfs`; a file in memory is 20 MB, a bomb 1.6 GB, the large
    picture 19 MB."""
    processes.fork_server = None
    web = await processes.web()
    market = processes.market
    owner = await market.customer(connect=False)
    await upload(owner, picture("JPEG"))  # what is loaded once
    large = b"A line of text, as it is.\n" * (MAX_FILE // 26)
    await upload(owner, large[: 3 * MEGABYTE], "warm.txt")
    before = reset_peak_memory(web.pid)
    file = await upload(owner, large, "large.txt")
    assert await read_length(owner, file["id"]) == len(large)
    after = peak_memory(web.pid) - before
    for data in (bomb(40_000), large + b"\0", SVG, picture("PNG", (2500, 2500))):
        await try_upload(owner, data)
    packed = packed_zeros(200 * MEGABYTE)
    async with RawRequest(owner) as raw:
        raw.send_head(len(packed), FORM + "\r\nContent-Encoding: gzip")
        raw.writer.write(packed)
        assert '"code":"unsupported_type"' in await raw.read_response()
    async with RawRequest(owner) as raw:
        raw.send_head()
        raw.send_chunk(multipart_part()[:-2])
        with contextlib.suppress(ConnectionError):
            for _ in range(600):
                raw.send_chunk(b"x" * 65_536)
                await raw.writer.drain()
    hostile = peak_memory(web.pid) - before
    print(f"20 MiB up and down: +{after / 1e6:.1f} MB; hostile ones: +{hostile / 1e6:.1f} MB")
    assert max(after, hostile) < 16_000_000


async def read_length(party, file_id: str) -> int:
    headers = {"Authorization": f"Bearer {party.token}"}
    async with party.web.get(f"{party.url}/api/files/{file_id}", headers=headers) as response:
        return sum([len(piece) async for piece in response.content.iter_any()])
