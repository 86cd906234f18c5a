"""Safe file names: no path, no invisible characters, an extension that fits the type."""

import re
import unicodedata

MAX_BYTES = 180  # file systems allow 255, and downloads add suffixes
FORBIDDEN = re.compile(r'[<>:"/\\|?*%]')

# A name without any of these extensions gets the first.
ENDINGS = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "application/pdf": (".pdf",),
    "application/zip": (".zip",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (".docx",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": (".xlsx",),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": (".pptx",),
    "text/plain": (".txt", ".md", ".csv", ".log"),
}


def safe_name(name: str, type: str) -> str:
    """The stored name of an upload of this type."""
    name, endings = _clean(name), ENDINGS[type]
    ending = next((each for each in endings if name.lower().endswith(each)), "")
    stem = name[: len(name) - len(ending)].strip(". ") or "file"
    ending = ending or endings[0]
    room = MAX_BYTES - len(ending)
    return stem.encode()[:room].decode(errors="ignore").strip(". ") + ending


def _clean(name: str) -> str:
    """The last part of a path, without invisible, bidirectional and reserved characters."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    # C: control, format (such as right-to-left override), surrogates, unassigned; Zl, Zp: lines.
    visible = (
        char
        for char in name
        if not (kind := unicodedata.category(char)).startswith("C") and kind not in ("Zl", "Zp")
    )
    return FORBIDDEN.sub("_", " ".join("".join(visible).split()))
