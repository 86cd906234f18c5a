"""Inspects one file: finds its type, and draws a picture again together with a thumbnail.

Run as `file_inspector_process.py PICTURE THUMBNAIL`, with the file as standard input and the
descriptors of two empty files. It prints its finding as JSON, imports no other module of this
project, and is never imported."""

import codecs
import json
import os
import resource
import sys
import warnings
import zipfile
from typing import Any, BinaryIO

import puremagic
from PIL import Image, ImageOps, ImageSequence

MAX_PIXELS = 36_000_000  # of all frames together
MEMORY, CPU_SECONDS, OUTPUT = 1024 * 2**20, 20, 32 * 2**20
THUMBNAIL = (320, 320)
QUALITY = 85
HEAD = 4096
MAX_ENTRIES = 20_000

PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}
ARCHIVE = "application/zip"
OFFICE = "application/vnd.openxmlformats-officedocument."
DOCUMENTS = {
    "word/document.xml": f"{OFFICE}wordprocessingml.document",
    "xl/workbook.xml": f"{OFFICE}spreadsheetml.sheet",
    "ppt/presentation.xml": f"{OFFICE}presentationml.presentation",
}
PROGRAMS = ("META-INF/MANIFEST.MF", "AndroidManifest.xml")


class Refused(Exception):
    """`why` is "unsupported", "damaged" (also: with foreign content) or "pixels"."""

    def __init__(self, why: str, found: str) -> None:
        super().__init__(why)
        self.why = why
        self.found = found


def limit() -> None:
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    os.nice(10)


def examine(source: BinaryIO, drawn: BinaryIO, small: BinaryIO) -> dict[str, Any]:
    """Raises Refused."""
    source.seek(0)
    head = source.read(HEAD)
    found = guess(head)
    if found in PICTURES:
        width, height = draw(source, found, drawn, small)
        return {"type": found, "width": width, "height": height}
    if head.startswith(b"%PDF-"):
        return {"type": pdf(source)}
    if head.startswith(b"PK\x03\x04"):
        return {"type": archive(source)}
    if not is_text(source):
        raise Refused("unsupported", found or "application/octet-stream")
    return {"type": "text/plain"}


def guess(head: bytes) -> str:
    """The type by the first bytes, to be verified."""
    try:
        best = puremagic.magic_string(head)[0]
    except (puremagic.PureError, ValueError):
        return ""
    return str(best.mime_type)


# -- documents -------------------------------------------------------------------------------


def is_text(source: BinaryIO) -> bool:
    """UTF-8 without control characters, and neither a script nor markup."""
    source.seek(0)
    try:
        text = source.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    if any(sign < " " and sign not in "\t\n\r\f" for sign in set(text)):
        return False
    return not text.lstrip().startswith(("<", "#!", "%!"))


def pdf(source: BinaryIO) -> str:
    """A PDF that ends with its end marker, and is not an archive too."""
    source.seek(max(0, source.seek(0, os.SEEK_END) - 1024))
    tail = source.read().rstrip(b"\0\t\n\f\r ")
    if not tail.endswith(b"%%EOF") or zipfile.is_zipfile(source):
        raise Refused("damaged", "application/pdf")
    return "application/pdf"


def archive(source: BinaryIO) -> str:
    """An archive without data before or after it, without programs and macros."""
    try:
        with zipfile.ZipFile(source) as opened:
            entries = opened.infolist()
            names = {entry.filename for entry in entries}
            complete = not opened.comment and min(e.header_offset for e in entries) == 0
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError) as broken:
        raise Refused("damaged", ARCHIVE) from broken
    source.seek(-22, os.SEEK_END)
    if not complete or len(entries) > MAX_ENTRIES or not source.read().startswith(b"PK\x05\x06"):
        raise Refused("damaged", ARCHIVE)
    if any(leaves_the_folder(name) for name in names):
        raise Refused("damaged", ARCHIVE)
    if any(name in PROGRAMS or name.endswith("vbaProject.bin") for name in names):
        raise Refused("unsupported", "application/java-archive")
    document = next((kind for name, kind in DOCUMENTS.items() if name in names), ARCHIVE)
    return document if "[Content_Types].xml" in names else ARCHIVE


def leaves_the_folder(name: str) -> bool:
    """Whether some programs would unpack this entry outside of the target folder."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or parts[0][1:2] == ":"


# -- pictures --------------------------------------------------------------------------------


def draw(source: BinaryIO, kind: str, drawn: BinaryIO, small: BinaryIO) -> tuple[int, int]:
    """Draw a new picture of the same pixels, without metadata and appended data."""
    source.seek(0)
    try:
        with Image.open(source, formats=[PICTURES[kind]]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Refused("pixels", kind)
            frames = frames_of(picture, kind)
            first = frames[0]
            save(frames, kind, drawn)
            first.thumbnail(THUMBNAIL)
            first.save(small, "WEBP", quality=QUALITY)
            with Image.open(drawn) as new:
                return new.size
    except Refused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:
        raise Refused("pixels", kind) from bomb
    except MemoryError:
        raise
    except Exception as broken:  # decoders raise exceptions of any type
        raise Refused("damaged", kind) from broken


def frames_of(picture: Any, kind: str) -> list[Any]:
    """The frames, rotated upright; more than one of an animation."""
    count = getattr(picture, "n_frames", 1) if kind in ("image/gif", "image/webp") else 1
    if count * picture.width * picture.height > MAX_PIXELS:
        raise Refused("pixels", kind)
    if count == 1:
        return [plain(ImageOps.exif_transpose(picture), kind)]
    return [timed(frame) for frame in ImageSequence.Iterator(picture)]


def plain(picture: Any, kind: str) -> Any:
    """A picture without metadata except its transparency."""
    if kind == "image/jpeg" and picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    elif picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    kept = picture.info.get("transparency")
    picture.info = {} if kept is None else {"transparency": kept}
    return picture


def timed(frame: Any) -> Any:
    copy = frame.convert("RGBA")
    copy.info = {"duration": frame.info.get("duration", 100)}  # loaded by convert()
    return copy


def save(frames: list[Any], kind: str, drawn: BinaryIO) -> None:
    options: dict[str, Any] = {"quality": QUALITY} if kind != "image/png" else {}
    if len(frames) > 1:
        durations = [int(frame.info["duration"]) for frame in frames]
        options |= {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
    frames[0].save(drawn, PICTURES[kind], **options)
    drawn.flush()


def main() -> None:
    limit()
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    picture, thumbnail = (open(int(number), "w+b") for number in sys.argv[1:])  # noqa: SIM115
    with picture, thumbnail, open(0, "rb") as source:
        try:
            finding = examine(source, picture, thumbnail)
        except Refused as refused:
            finding = {"refused": refused.why, "found": refused.found, "limit_pixels": MAX_PIXELS}
    print(json.dumps(finding))


if __name__ == "__main__":
    codecs.lookup("utf-8-sig")  # before memory is short
    main()
