"""Safe file names: no path, no invisible characters, an extension that fits the type."""

import re

import regex  # type: ignore[import-untyped]

from domain.kernel.text_rules import clean_line, shorten_bytes

MAX_BYTES = 180  # file systems allow 255, and downloads add suffixes
FORBIDDEN = re.compile(r'[<>:"/\\|?*%]')
# Control, format (such as right-to-left override) and private characters, and surrogates. Joiners
# stay between letters, marks and symbols: Persian and Indic words and many emoji need them.
HIDDEN = regex.compile(
    r"(?V1)[\p{Cs}\p{Co}[\p{Cc}\p{Cf}--[\t\n\v\f\r\u200c\u200d\U000e0020-\U000e007f]]]"
    r"|(?<![\p{L}\p{M}\p{S}])[\u200c\u200d]|[\u200c\u200d](?![\p{L}\p{M}\p{S}])"
)

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
# Pictures that are stored as JPEG or WebP.
CONVERTED = {"image/heif": (".heic", ".heif", ".hif"), "image/avif": (".avif",)}
TAKEN = ENDINGS | CONVERTED
FOREIGN = tuple(ending for endings in CONVERTED.values() for ending in endings)


def safe_name(name: str, type: str) -> str:
    """The stored name of an upload of this type."""
    name, endings = _clean(name), ENDINGS[type]
    ending = next((each for each in endings if name.lower().endswith(each)), "")
    replaced = ending
    if not ending and type.startswith("image/"):
        replaced = next((each for each in FOREIGN if name.lower().endswith(each)), "")
    stem = name[: len(name) - len(replaced)].strip(". ") or "file"
    ending = ending or endings[0]
    return shorten_bytes(stem, MAX_BYTES - len(ending)).strip(". ") + ending


def _clean(name: str) -> str:
    """The last part of a path, in one line, without invisible and reserved characters."""
    visible = HIDDEN.sub("", re.split(r"[/\\]", name)[-1])
    return FORBIDDEN.sub("_", clean_line(visible))
