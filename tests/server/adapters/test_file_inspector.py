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


@pytest.mark.parametrize(
    ("data", "type", "name"),
    [
        (archive({"a.txt": "x"}), "application/zip", "work.zip"),
        (archive({"[Content_Types].xml": "", "word/document.xml": ""}), "wordprocessing", "w.docx"),
        (archive({"[Content_Types].xml": "", "xl/workbook.xml": ""}), "spreadsheet", "w.xlsx"),
        (b"%PDF-1.7\n1 0 obj\n%%EOF\n", "application/pdf", "w.pdf"),
        ("\ufeffGrüße, BMW <b>\n".encode(), "text/plain", "w.md"),
    ],
    ids=["zip", "docx", "xlsx", "pdf", "text"],
)
async def test_documents_stay_as_they_are(market, data, type, name):
    """Guard: `archive`, `pdf` and `is_text` in `file_inspector_process`."""
    owner = await market.customer()
    file = await upload(owner, data, name)
    assert type in file["type"]
    assert file["name"] == name
    assert (await download(owner, file["id"]))[2] == data


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("I;16", "PNG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("P", "GIF"),
        ("RGBA", "WEBP"),
    ],
)
async def test_pictures_of_every_kind_of_pixel(market, mode, kind):
    """Guard: `plain` and `draw` in `file_inspector_process`."""
    owner, made = await market.customer(), io.BytesIO()
    Image.new(mode, (60, 40)).save(made, kind)
    file = await upload(owner, made.getvalue(), "picture")
    assert (file["type"], file["width"], file["thumbnail"]) == (f"image/{kind.lower()}", 60, True)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
async def test_what_moves_still_moves(market, kind):
    """Guard: `timed` and `save_all` in `file_inspector_process`."""
    owner, made = await market.customer(), io.BytesIO()
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue", "green")]
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

    def put(code: str) -> None:
        script = file_inspector.SCRIPT.read_text()
        assert script.count("    found = guess(head)") == 1
        changed = script.replace("    found = guess(head)", f"    {code}\n    found = guess(head)")
        (tmp_path / "file_inspector_process.py").write_text(changed)
        monkeypatch.setattr(
            "server.adapters.file_inspector.SCRIPT", tmp_path / "file_inspector_process.py"
        )

    return put


@pytest.mark.parametrize(
    "code",
    [
        "bytes(2**32)",
        "os.kill(os.getpid(), 11)",
        "open('/dev/null').close() or os._exit(0)",
        'print(\'{"type":"text/html"}\') or exit()',
    ],
    ids=["memory", "crash", "silence", "lies"],
)
async def test_a_decoder_that_fails(market, inspected, code):
    """Guard: RLIMIT_AS in `file_inspector_process`; a process that dies, or prints no type, is a
    refusal."""
    owner = await market.customer()
    inspected(code)
    status, problem = await try_upload(owner, picture(), "a.png")
    assert (status, problem["code"]) == (415, "unsupported_type")
    assert not await stored_file_rows(market)


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
