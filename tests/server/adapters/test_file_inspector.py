"""The process that inspects files: what it accepts, and that it may fail, lie or hang."""

import asyncio
import base64
import io
import os

import pytest
from PIL import Image, ImageCms

from domain.files.file import File
from server.adapters import file_inspector
from server.http import uploads
from tests.support.file_samples import (
    archive,
    display_p3,
    download,
    peak_memory,
    picture,
    reset_peak_memory,
    stored_file_rows,
    try_upload,
    upload,
)
from tests.support.one_server import one_server

pytestmark = one_server

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
    """Guard: `moving` and `options_of` in `file_inspector_process`, and `Attachment.animated`."""
    owner = await market.customer(connect=False)
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue", "green")]
    for kind, stored in (("GIF", "GIF"), ("WEBP", "WEBP"), ("PNG", "PNG"), ("AVIF", "WEBP")):
        made = io.BytesIO()
        frames[0].save(made, kind, save_all=True, append_images=frames[1:], duration=50, loop=2)
        file = await upload(owner, made.getvalue(), "moving")
        again = await _stored(owner, file)
        assert (again.format, again.n_frames, file["animated"]) == (stored, 3, True)
        again.seek(1)
        assert again.convert("RGB").getpixel((30, 20))[2] > 200, kind
        assert again.info["duration"] == 50 and (kind == "AVIF" or again.info["loop"] == 2)


async def _stored(owner, file, **size):
    return Image.open(io.BytesIO((await download(owner, file["id"], **size))[2]))


# A picture of a phone: 96 by 64 pixels, its left half red.
HEIC = base64.b64decode(
    """
    AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAZdtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAA
    AAAAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAABuwABAAAAAAAAAD4AAgAAAAAB+QABAAAAAAAAADYAAAA4aWluZgAA
    AAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA1mlwcn
    AAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroC
    QGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2
    xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEE
    gQIDBAAAABppcmVmAAAAAAAAAA5jZHNjAAIAAQABAAAAfG1kYXQAAAA6KAGvE4B5JEXIv//2JUf/tz54fd008iYxZS
    n3wVVf+qDTp6sizaPJL+xC3/TkOkB0nn9R1MBzis7XgAAAAAZFeGlmAABNTQAqAAAACAACAQ8AAgAAAAYAAAAmARIA
    AwAAAAEABgAAAAAAAFBob25lAA==
    """
)


async def test_pictures_of_phones_become_jpeg(market):
    """Guard: `BRANDS` and `stored_kind` in `file_inspector_process`, CONVERTED in `file_names`."""
    owner = await market.customer(connect=False)
    red = Image.new("RGB", (96, 64), "red")
    clear = Image.new("RGBA", (96, 64), (255, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 48, 64))
    for picture_, ending, stored in (
        (HEIC, ".HEIC", "JPEG"),
        (_saved(red, "AVIF"), ".avif", "JPEG"),
        (_saved(clear, "AVIF"), ".avif", "WEBP"),
    ):
        file = await upload(owner, picture_, f"IMG_1{ending}")
        again = await _stored(owner, file)
        assert (again.format, again.size, file["animated"]) == (stored, (96, 64), False)
        assert file["type"] == f"image/{stored.lower()}"
        assert file["name"] == f"IMG_1{'.jpg' if stored == 'JPEG' else '.webp'}"
        red_, green, *_ = again.convert("RGBA").getpixel((10, 30))
        assert red_ > 180 and green < 80 and not again.getexif()
        thumbnail = await _stored(owner, file, size="thumb")
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (96, 64))


def _saved(image, kind, **options):
    made = io.BytesIO()
    image.save(made, kind, **options)
    return made.getvalue()


async def test_grey_of_16_bits_keeps_its_tones(market):
    """Guard: `eight_bits` in `file_inspector_process`: a scan is neither refused nor burnt out."""
    owner = await market.customer(connect=False)
    ramp = Image.linear_gradient("L").resize((400, 512))
    file = await upload(
        owner, _saved(ramp.convert("I").point(lambda v: v * 257).convert("I;16"), "PNG")
    )
    again, small = await _stored(owner, file), await _stored(owner, file, size="thumb")
    assert (again.mode, again.getextrema()) == ("I;16", (0, 65535))
    tones = [small.convert("L").getpixel((50, y)) for y in range(0, 320, 32)]
    assert tones == sorted(tones) and tones[0] < 10 and 100 < tones[5] < 156 and tones[-1] > 200


LAB = ImageCms.createProfile("LAB")


async def test_colours_are_those_that_browsers_show(market):
    """Guard: `in_srgb` in `file_inspector_process`: a picture of a wide gamut becomes sRGB, and
    loses its profile; one that cannot be read changes nothing."""
    owner = await market.customer(connect=False)
    seen = (234, 51, 35)  # in Display P3: the red of sRGB
    flat = Image.new("RGB", (60, 40), seen)
    keyed = _saved(flat, "PNG", icc_profile=display_p3(), transparency=(1, 2, 3))
    frames = {"save_all": True, "append_images": [Image.new("RGB", (60, 40), "blue")]}
    for data, red in (
        (_saved(flat, "JPEG", icc_profile=display_p3(), quality=95), True),
        (_saved(flat.convert("RGBA"), "PNG", icc_profile=display_p3()), True),
        (_saved(flat.quantize(8), "PNG", icc_profile=display_p3()), True),
        (keyed, True),
        (_saved(flat, "AVIF", icc_profile=display_p3()), True),
        (_saved(flat, "WEBP", icc_profile=display_p3(), **frames), True),
        (_saved(flat, "PNG", icc_profile=display_p3()[:200]), False),
        (_saved(flat, "PNG", icc_profile=b"no profile"), False),
        (_saved(flat, "PNG", icc_profile=ImageCms.ImageCmsProfile(LAB).tobytes()), False),
    ):
        file = await upload(owner, data)
        for size in ({}, {"size": "thumb"}):
            again = await _stored(owner, file, **size)
            assert "icc_profile" not in again.info
            found = again.convert("RGB").getpixel((30, 20))
            wanted = (255, 0, 0) if red else seen
            assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < 14, (found, data)


async def test_50_megapixels_pass_with_flat_memory(market):
    """Guard: MAX_PIXELS, and RLIMIT_AS, in `file_inspector_process`; spools, in this process."""
    owner = await market.customer(connect=False)
    photo = Image.new("RGB", (8160, 6120), (90, 128, 30))
    large = [_saved(photo, "JPEG"), _saved(photo, "AVIF", speed=10)]
    del photo
    await upload(owner, picture())
    before = reset_peak_memory(os.getpid())
    for data in large:
        file = await upload(owner, data)
        assert (file["type"], file["width"], file["height"]) == ("image/jpeg", 8160, 6120)
    assert peak_memory(os.getpid()) - before < 20 * MEGABYTE


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


async def test_a_picture_that_takes_too_much_memory_is_not_called_damaged(market, inspected):
    """Guard: OUT_OF_MEMORY in `file_inspector_process`: encoders of WebP raise errors of their
    own."""
    owner = await market.customer(connect=False)
    inspected("resource.setrlimit(resource.RLIMIT_AS, (280 * 2**20,) * 2)")
    clear = Image.new("RGBA", (4080, 3060), (9, 9, 9, 100))
    status, problem = await try_upload(owner, _saved(clear, "AVIF", speed=10), "a.avif")
    assert (status, problem["code"]) == (415, "unsupported_type")
    assert "takes too much" in problem["title"], problem
    await upload(owner, _saved(clear.resize((60, 40)), "AVIF", speed=10), "a.avif")


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
