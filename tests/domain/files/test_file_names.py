"""File names: no uploaded name can point to another path or inject a header."""

import pytest

from domain.files.file_names import MAX_BYTES, safe_name
from tests.support.file_samples import download, upload


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd.png"),
        ("C:\\temp\\Photo.PNG", "Photo.png"),
        ("a\r\nSet-Cookie: x.png", "a Set-Cookie_ x.png"),
        ("", "file.png"),
        ("..", "file.png"),
        (".png", "file.png"),
        ("page.html", "page.html.png"),
        ("a\0b.png", "ab.png"),
        ("safe\u202egnp.exe", "safegnp.exe.png"),
        ("a\u2028b\u200b.png", "a b.png"),
        ("Zaun für Jörg, 完.png", "Zaun für Jörg, 完.png"),
        ("\u0645\u06cc\u200c\u062e.png", "\u0645\u06cc\u200c\u062e.png"),
        ("👨\u200d👩\u200d👧\u200d.png", "👨\u200d👩\u200d👧.png"),
        ("IMG_0001.HEIC", "IMG_0001.png"),
        ("%2e%2e%2fx.png", "_2e_2e_2fx.png"),
        ('"; x="y.png', "_; x=_y.png"),
    ],
)
def test_unsafe_names_are_cleaned(name, kept):
    """Guard: `_clean` and the extension in `safe_name`."""
    assert safe_name(name, "image/png") == kept


def test_long_names_are_cut_between_characters():
    """Guard: `text_rules.shorten_bytes` counts bytes, and the extension stays."""
    for sign in ("x", "完", "👨\u200d👩\u200d👧"):
        kept = safe_name(sign * 1000 + ".jpeg", "image/jpeg")
        size = len(sign.encode())
        assert MAX_BYTES - size <= len(kept.encode()) <= MAX_BYTES, sign
        assert kept.endswith(f"{sign}.jpeg")


async def test_a_download_has_the_name_in_unicode_and_ascii(market):
    """Guard: `filename*` in `downloads._headers`, and UNSAFE for clients that do not support it."""
    owner = await market.customer()
    file = await upload(owner, b"Hello", "Zaun; 完.txt")
    _, headers, _ = await download(owner, file["id"])
    assert headers["Content-Disposition"] == (
        "attachment; filename=\"Zaun_ _.txt\"; filename*=UTF-8''Zaun%3B%20%E5%AE%8C.txt"
    )
