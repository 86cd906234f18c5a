"""Inspects one file: finds its type, and draws a picture again together with a thumbnail.

Run as `file_inspector_process.py PICTURE THUMBNAIL`, with the file as standard input and the
descriptors of two empty files. It prints its finding as JSON, imports no other module of this
project, and is never imported. What only some files need is imported for them: Pillow takes longer
than all else of a start."""

import codecs
import io
import json
import os
import re
import resource
import sys
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import puremagic

MAX_PIXELS = 54_000_000  # of all frames together; cameras of 50 megapixels have a few more
MEMORY, CPU_SECONDS, OUTPUT = 1280 * 2**20, 30, 48 * 2**20
THUMBNAIL = (320, 320)
QUALITIES = (85, 75, 60)
LARGEST = 20 * 2**20  # bytes of a stored file
HEAD = 4096
MAX_PROFILE = 4 * 2**20  # bytes of a colour profile; those of printing presses have up to 3 MB
MAX_ENTRIES = 20_000
# In errors of encoders and decoders. Sources: WebPEncodingError in libwebp, avifResult in libavif.
OUT_OF_MEMORY = re.compile(r"out of memory|encoding ?error:? [12]\b", re.IGNORECASE)

AVIF, HEIF, WEBP = "image/avif", "image/heif", "image/webp"
PICTURES = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    WEBP: "WEBP",
    AVIF: "AVIF",
    HEIF: "HEIF",
}
ANIMATED = ("image/gif", "image/png", WEBP, AVIF)
LOSSY = ("image/jpeg", WEBP)
# The brands of ISO base media files with pictures. Source: ISO/IEC 23008-12, and AV1 in HEIF.
BRANDS = {brand: HEIF for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")}
BRANDS |= {b"avif": AVIF, b"avis": AVIF}
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
        return draw(source, found, drawn, small)
    if head.startswith(b"%PDF-"):
        return {"type": pdf(source)}
    if head.startswith(b"PK\x03\x04"):
        return {"type": archive(source)}
    if not is_text(source):
        raise Refused("unsupported", found or "application/octet-stream")
    return {"type": "text/plain"}


def guess(head: bytes) -> str:
    """The type by the first bytes, to be verified."""
    if head[4:8] == b"ftyp":
        length = int.from_bytes(head[:4])
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(length, HEAD), 4))]
        kinds = [BRANDS[brand] for brand in brands if brand in BRANDS]
        if kinds:
            return AVIF if AVIF in kinds else HEIF
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
    import zipfile

    source.seek(max(0, source.seek(0, os.SEEK_END) - 1024))
    tail = source.read().rstrip(b"\0\t\n\f\r ")
    if not tail.endswith(b"%%EOF") or zipfile.is_zipfile(source):
        raise Refused("damaged", "application/pdf")
    return "application/pdf"


def archive(source: BinaryIO) -> str:
    """An archive without data before or after it, without programs and macros."""
    import zipfile

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


def draw(source: BinaryIO, kind: str, drawn: BinaryIO, small: BinaryIO) -> dict[str, Any]:
    """Draw a new picture of the same pixels, without metadata and appended data."""
    from PIL import Image, WebPImagePlugin

    assert WebPImagePlugin.SUPPORTED  # thumbnails are WebP
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    source.seek(0)
    try:
        load_decoder(kind)
        with Image.open(source, formats=[PICTURES[kind]]) as picture:
            count = getattr(picture, "n_frames", 1) if kind in ANIMATED else 1
            if count * picture.width * picture.height > MAX_PIXELS:
                raise Refused("pixels", kind)
            frames = [upright(picture)] if count == 1 else list(moving(picture))
            stored = stored_kind(kind, frames)
            options = options_of(picture, frames) if count > 1 else {}
            first = plain(frames[0], stored)
            width, height = first.size
            save(first, stored, options, drawn)
            thumbnail(first).save(small, "WEBP", quality=QUALITIES[0])
        return {"type": stored, "width": width, "height": height, "animated": count > 1}
    except Refused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:
        raise Refused("pixels", kind) from bomb
    except MemoryError:
        raise
    except Exception as broken:  # decoders raise exceptions of any type
        if OUT_OF_MEMORY.search(str(broken)):
            raise MemoryError from broken
        raise Refused("damaged", kind) from broken


def load_decoder(kind: str) -> None:
    """Import the plugin of a kind, if it is not loaded; Pillow alone would load all of its own.
    Each thread of a decoder takes address space."""
    if kind == HEIF:
        import pi_heif  # type: ignore[import-untyped]

        pi_heif.register_heif_opener(decode_threads=1)
    elif kind == AVIF:
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def stored_kind(kind: str, frames: list[Any]) -> str:
    """The type that a picture is stored as. What browsers do not all show, or what takes long to
    encode, becomes JPEG, or WebP if it moves or lets something shine through."""
    if kind not in (HEIF, AVIF):
        return kind
    return "image/jpeg" if len(frames) == 1 and not frames[0].has_transparency_data else WEBP


def upright(picture: Any) -> Any:
    """The picture as its camera was held; in place, because a copy takes as much memory again."""
    from PIL import ImageOps

    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def plain(picture: Any, kind: str) -> Any:
    """A picture in sRGB, without metadata except its transparency."""
    profile = picture.info.get("icc_profile")
    if picture.mode == "P" or (profile and picture.mode == "RGB"):  # its transparency is a colour
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    picture = in_srgb(picture, profile)
    if kind == "image/jpeg" and picture.mode not in ("L", "RGB"):
        picture = eight_bits(picture).convert("RGB")
    kept = picture.info.get("transparency")
    picture.info = {} if kept is None else {"transparency": kept}
    return picture


def in_srgb(picture: Any, profile: bytes | None) -> Any:
    """The picture in the colours that are shown without a profile; in place, if it can be.

    Profiles are not kept: they may name a device. A picture whose profile cannot be read, or is not
    of its mode, stays as it is; so do shades of grey.
    """
    if not profile or len(profile) > MAX_PROFILE or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    from PIL import ImageCms

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if (own.profile.profile_description or "").startswith("sRGB"):
            return picture
        same = picture.mode != "CMYK"
        changed = ImageCms.profileToProfile(
            picture,
            own,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode=picture.mode if same else "RGB",
            inPlace=same,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture
    return picture if same else changed


def eight_bits(picture: Any) -> Any:
    """Grey of 16 bits in 8: libraries cut off what is brighter than 255 instead."""
    if not picture.mode.startswith("I"):
        return picture
    return picture.convert("I").point(lambda tone: tone / 257, "L")


def thumbnail(picture: Any) -> Any:
    """Shrinks the picture itself."""
    picture = eight_bits(picture)
    picture.thumbnail(THUMBNAIL)
    return picture


def moving(picture: Any) -> Iterator[Any]:
    """The frames as they are seen, each with the milliseconds that it is shown."""
    from PIL import ImageSequence

    profile = picture.info.get("icc_profile")
    for frame in ImageSequence.Iterator(picture):
        seen = in_srgb(frame.convert("RGBA"), profile)
        seen.info = {"duration": frame.info.get("duration", 100)}  # loaded by convert()
        yield seen


def options_of(picture: Any, frames: list[Any]) -> dict[str, Any]:
    """How the frames are saved: their times, how often they are repeated, and whether the first is
    only for programs that show no animation, as in some PNG."""
    still = bool(getattr(picture, "default_image", False))
    options = {
        "save_all": True,
        "append_images": frames[1:],
        "duration": [int(frame.info["duration"]) for frame in frames[still:]],
    }
    if still:
        options["default_image"] = True
    if picture.format == "GIF":
        # Otherwise earlier frames shine through the transparent parts of later ones.
        options["disposal"] = 2
    if "loop" in picture.info or picture.format != "GIF":
        options["loop"] = picture.info.get("loop", 0)
    return options


def save(picture: Any, kind: str, options: dict[str, Any], drawn: BinaryIO) -> None:
    """Save in the best quality with which the file is not too large for an upload."""
    for quality in QUALITIES:
        drawn.seek(0)
        drawn.truncate()
        lossy = {"quality": quality} if kind in LOSSY else {}
        picture.save(drawn, PICTURES[kind], **options, **lossy)
        drawn.flush()
        if not lossy or drawn.seek(0, os.SEEK_END) <= LARGEST:
            return


def main() -> None:
    limit()
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
