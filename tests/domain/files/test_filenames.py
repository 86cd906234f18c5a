"""Names of files: whatever they were called, nothing of it leads elsewhere."""

import pytest

from domain.files.file_names import MAX_BYTES, safe_name
from tests.support.file_samples import download, upload


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd.png"),
        ("C:\\temp\\Photo.PNG", "Photo.png"),
        ("a\r\nSet-Cookie: x.png", "aSet-Cookie_ x.png"),
        ("", "file.png"),
        ("..", "file.png"),
        (".png", "file.png"),
        ("page.html", "page.html.png"),
        ("a\0b.png", "ab.png"),
        ("safe\u202egnp.exe", "safegnp.exe.png"),
        ("a\u2028b\u200b.png", "ab.png"),
        ("Zaun für Jörg, 完.png", "Zaun für Jörg, 完.png"),
        ("%2e%2e%2fx.png", "_2e_2e_2fx.png"),
        ('"; x="y.png', "_; x=_y.png"),
    ],
)
def test_names(name, kept):
    """Guard: `_clean` and the ending in `safe_name`."""
    assert safe_name(name, "image/png") == kept


def test_long_names_end_at_a_letter():
    """Guard: MAX_BYTES, counted in bytes, and the ending that stays."""
    for sign in "x完":
        kept = safe_name(sign * 1000 + ".jpeg", "image/jpeg")
        assert MAX_BYTES - 3 <= len(kept.encode()) <= MAX_BYTES and kept.endswith(f"{sign}.jpeg")


async def test_a_name_in_every_language_comes_back(market):
    """Guard: `filename*` in `_headers`, and UNSAFE for those who do not know it."""
    owner = await market.customer()
    file = await upload(owner, b"Hello", "Zaun; 完.txt")
    _, headers, _ = await download(owner, file["id"])
    assert headers["Content-Disposition"] == (
        "attachment; filename=\"Zaun_ _.txt\"; filename*=UTF-8''Zaun%3B%20%E5%AE%8C.txt"
    )
