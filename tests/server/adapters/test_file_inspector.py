"""The process that inspects files: what it accepts, and that it may fail, lie or hang."""

import asyncio
import io
import os

import pytest
from PIL import Image

from domain.files.file import File
from server.adapters import file_inspector
from server.http import uploads
from tests.support.file_samples import (
    archive,
    download,
    peak_memory,
    picture,
    reset_peak_memory,
    stored_file_rows,
    try_upload,
    upload,
)

MEGABYTE = 2**20


# -- what is taken ---------------------------------------------------------------------------


DOCUMENTS = [
    (archive({"a.txt": "x"}), "application/zip", "work.zip"),
    (archive({"[Content_Types].xml": "", "word/document.xml": ""}), "wordprocessing", "w.docx"),
    (archive({"[Content_Types].xml": "", "xl/workbook.xml": ""}), "spreadsheet", "w.xlsx"),
    (b"%PDF-1.7\n1 0 obj\n%%EOF\n", "application/pdf", "w.pdf"),
    ("\ufeffGrüße, BMW <b>\n".encode(), "text/plain", "w.md"),
]
PIXELS = [
    *[(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGBA", "I;16")],
    *[("L", "JPEG"), ("CMYK", "JPEG"), ("P", "GIF"), ("RGBA", "WEBP")],
]


async def test_documents_stay_as_they_are(market):
    """Guard: `archive`, `pdf` and `is_text` in `file_inspector_process`."""
    owner = await market.customer(connect=False)
    for data, type, name in DOCUMENTS:
        file = await upload(owner, data, name)
        assert type in file["type"], name
        assert file["name"] == name
        assert (await download(owner, file["id"]))[2] == data, name


async def test_pictures_of_every_kind_of_pixel(market):
    """Guard: `plain` and `draw` in `file_inspector_process`."""
    owner = await market.customer(connect=False)
    for mode, kind in PIXELS:
        made = io.BytesIO()
        Image.new(mode, (60, 40)).save(made, kind)
        file = await upload(owner, made.getvalue(), "picture")
        found = (file["type"], file["width"], file["thumbnail"])
        assert found == (f"image/{kind.lower()}", 60, True), (mode, kind)


async def test_what_moves_still_moves(market):
    """Guard: `timed` and `save_all` in `file_inspector_process`."""
    owner = await market.customer(connect=False)
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue", "green")]
    for kind in ("GIF", "WEBP"):
        made = io.BytesIO()
        frames[0].save(made, kind, save_all=True, append_images=frames[1:], duration=50)
        file = await upload(owner, made.getvalue(), "moving")
        again = Image.open(io.BytesIO((await download(owner, file["id"]))[2]))
        again.seek(1)
        again.load()
        assert (again.format, again.n_frames, again.info["duration"]) == (kind, 3, 50)


# -- what it may do --------------------------------------------------------------------------


async def test_a_file_that_takes_too_long(market, monkeypatch):
    """Guard: `process.kill` and MAX_SECONDS in `file_inspector`; other users are served at the same
    time."""
    owner = await market.customer()
    monkeypatch.setattr("server.adapters.file_inspector.MAX_SECONDS", 0.01)
    status, problem = await try_upload(owner, picture(), "a.png")
    assert (status, problem["code"]) == (415, "unsupported_type")
    assert not await stored_file_rows(market)


@pytest.fixture
def inspected(monkeypatch, tmp_path):
    """Injects code into the inspecting process."""

    script = file_inspector.SCRIPT.read_text()

    def put(code: str) -> None:
        assert script.count("    found = guess(head)") == 1
        changed = script.replace("    found = guess(head)", f"    {code}\n    found = guess(head)")
        (tmp_path / "file_inspector_process.py").write_text(changed)
        monkeypatch.setattr(
            "server.adapters.file_inspector.SCRIPT", tmp_path / "file_inspector_process.py"
        )

    return put


FAILURES = {
    "memory": "bytes(2**32)",
    "crash": "os.kill(os.getpid(), 11)",
    "silence": "open('/dev/null').close() or os._exit(0)",
    "lies": 'print(\'{"type":"text/html"}\') or exit()',
}


async def test_a_decoder_that_fails(market, inspected):
    """Guard: RLIMIT_AS in `file_inspector_process`; a process that dies, or prints no type, is a
    refusal."""
    owner = await market.customer(connect=False)
    for name, code in FAILURES.items():
        inspected(code)
        status, problem = await try_upload(owner, picture(), "a.png")
        assert (status, problem["code"]) == (415, "unsupported_type"), name
        assert not await stored_file_rows(market), name


async def test_a_decoder_that_prints_too_much(market, inspected):
    """Guard: MAX_ANSWER in `file_inspector`, RLIMIT_FSIZE in `file_inspector_process`: a hijacked
    process cannot fill the memory or the disk."""
    owner = await market.customer()
    await upload(owner, picture())
    inspected("[os.write(1, bytes(2**20)) for _ in range(200)]")
    before = reset_peak_memory(os.getpid())
    status, problem = await try_upload(owner, picture(), "a.png")
    assert (status, problem["code"]) == (415, "unsupported_type")
    assert peak_memory(os.getpid()) - before < 50 * MEGABYTE


async def test_slow_pictures_of_one_user_delay_no_other(market, inspected, tmp_path):
    """Guard: `_turns` in `file_inspector`: one file of each user is inspected at a time."""
    owner, other = await market.customer(), await market.customer("Olga")
    go_on = tmp_path / "go on"
    inspected(f"""
    while b"slow" in head and not os.path.exists({str(go_on)!r}):
        __import__("time").sleep(0.02)""")
    slow = [
        asyncio.create_task(try_upload(owner, b"slow", "a.txt"))
        for _ in range(uploads.UPLOADS_OF_USER)
    ]
    await asyncio.wait(slow, timeout=0.5)  # so that they come first
    await upload(other, b"quick", "b.txt")
    assert not [each for each in slow if each.done()]
    go_on.touch()
    assert {status for status, _ in await asyncio.gather(*slow)} == {200}


async def test_a_long_wait_ends_with_rate_limited(market, inspected, monkeypatch, tmp_path):
    """Guard: WAIT_SECONDS in `file_inspector`."""
    owner = await market.customer()
    go_on = tmp_path / "go on"
    inspected(f"""
    while not os.path.exists({str(go_on)!r}):
        __import__("time").sleep(0.02)""")
    monkeypatch.setattr("server.adapters.file_inspector.WAIT_SECONDS", 0.1)
    first = asyncio.create_task(try_upload(owner, b"Hello", "a.txt"))
    await asyncio.wait({first}, timeout=0.5)
    _, problem = await try_upload(owner, b"Hello", "b.txt")
    go_on.touch()
    codes = {problem.get("code"), (await first)[1].get("code")}
    assert codes == {None, "rate_limited"}
    assert len(await market.rows(File)) == 1
