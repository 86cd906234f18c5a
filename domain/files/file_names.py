"""Names of files as they may be kept and shown: no path, no trick, an ending that fits the type."""

import re
import unicodedata

MAX_BYTES = 180  # file systems take 255, and people add to names
FORBIDDEN = re.compile(r'[<>:"/\\|?*%]')

# The first ending of a type is added to a name that has none of them.
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


def fitting(name: str, type: str) -> str:
    """The name that a file of this type gets, whatever it was called by its sender."""
    name, endings = cleaned(name), ENDINGS[type]
    ending = next((each for each in endings if name.lower().endswith(each)), "")
    stem = name[: len(name) - len(ending)].strip(". ") or "file"
    ending = ending or endings[0]
    room = MAX_BYTES - len(ending)
    return stem.encode()[:room].decode(errors="ignore").strip(". ") + ending


def cleaned(name: str) -> str:
    """The last part of a path, without what is invisible, turns text around or means something."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    # C: control, format (such as right-to-left override), surrogates, unassigned; Zl, Zp: lines.
    visible = (
        sign
        for sign in name
        if not (kind := unicodedata.category(sign)).startswith("C") and kind not in ("Zl", "Zp")
    )
    return FORBIDDEN.sub("_", " ".join("".join(visible).split()))
