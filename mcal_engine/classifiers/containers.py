"""Files around pixels: what a file is, and a picture without its metadata.

Metadata never makes a picture unreadable: browsers show a picture whose colour profile, text or EXIF block is damaged or huge, so people
label it. What the pixels need is kept; of the rest only the orientation is read, by :func:`orientation_in`, which never fails.
"""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_JPEG = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_KEPT_APPS = (0xE0, 0xEE)  # JFIF, and Adobe's mark of how colours are stored
_ORIENTATION = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # EXIF types; the standard says SHORT, some writers use others

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HEADS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the image itself; fetch the images with git lfs pull"),
    (b"\x00\x05\x16\x07", "a leaving of macOS (AppleDouble), not an image"),
    (b"%PDF", "a PDF document, not an image"),
    (b"PK\x03\x04", "a zip archive, not an image"),
    (b"8BPS", "a Photoshop file, which browsers do not show; convert it to PNG"),
    (b"\xff\x0a", "a JPEG XL image, which most browsers do not show; convert it to JPEG"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image, which most browsers do not show; convert it to JPEG"),
)


def is_image(head: bytes) -> bool:
    """Whether a file that begins so (32 bytes are enough) is a picture of a kind that people label; the suffix may be missing."""
    return suffix_of(head) is not None


def suffix_of(content: bytes) -> str | None:
    """The usual suffix of a picture of this kind; ``None`` where its first bytes do not tell."""
    if content[4:8] == b"ftyp":
        return ".avif" if content[8:12] in (b"avif", b"avis") else ".heic" if content[8:12] in HEIC_BRANDS else None
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    suffixes = ((_JPEG, ".jpg"), (_PNG, ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"II*\x00", ".tif"), (b"MM\x00*", ".tif"))
    return next((suffix for head, suffix in suffixes if content.startswith(head)), None)


def what_it_is(content: bytes) -> str:
    """Why no picture can be read from ``content``, in plain words."""
    for head, words in _HEADS:
        if content.startswith(head):
            return words
    if content[4:8] == b"ftyp":
        if content[8:12] in HEIC_BRANDS:
            return "a HEIC photo, which browsers do not show; convert it to JPEG"
        return "an AVIF image or a video of a kind that cannot be read; convert it to JPEG"
    if content[128:132] == b"DICM":
        return "a DICOM file, which browsers do not show; convert it to PNG"
    start = content[:512].lstrip().lower()
    if b"<svg" in start:
        return "an SVG drawing, which cannot be read as pixels; convert it to PNG"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "not an image: the address answered with a web page"
    if start.startswith((b"{", b"[")):
        return "not an image: the address answered with JSON"
    return "not an image, or of a format that cannot be read (JPEG, PNG, WebP, GIF, BMP, AVIF and TIFF can)"


def without_metadata(content: bytes) -> tuple[bytes, int | None]:
    """The same pixels in a file with nothing beside them, and the orientation (1 … 8) that the metadata named.

    JPEG and PNG only; other files, and those whose structure cannot be followed, come back as they are, with ``None``.
    """
    if content.startswith(_JPEG):
        return _bare_jpeg(content)
    if content.startswith(_PNG):
        return _bare_png(content)
    return content, None


def ended(content: bytes) -> bytes | None:
    """A JPEG that lacks its end marker, with one; ``None`` for everything else."""
    return content + _JPEG_END if content.startswith(_JPEG) and _JPEG_END not in content[-64:] else None


def orientation_in(exif: bytes) -> int:
    """The orientation (1 … 8) in an EXIF block; 1, upright, where there is none or it cannot be read."""
    block = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (n_entries,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(n_entries):
            at = start + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(f"{order}HHI", block, at)
            if tag == _ORIENTATION and kind in _INTEGERS and count == 1:
                (value,) = struct.unpack_from(order + _INTEGERS[kind], block, at + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass  # the block is cut off
    return 1


def _bare_jpeg(content: bytes) -> tuple[bytes, int | None]:
    kept = [_JPEG]
    orientation = None
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            return content, None
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at:end]
        if marker == 0xE1 and segment[4:10] == b"Exif\x00\x00" and orientation is None:
            orientation = orientation_in(segment[4:])
        if marker == _START_OF_SCAN:
            return b"".join([*kept, content[at:]]), orientation
        dropped = (0xE0 <= marker <= 0xEF and marker not in _KEPT_APPS) or marker == 0xFE
        if not dropped:
            kept.append(segment)
        at = end
    return content, None


def _bare_png(content: bytes) -> tuple[bytes, int | None]:
    kept = [_PNG]
    orientation = None
    at = len(_PNG)
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        kind = content[at + 4 : at + 8]
        if kind in _PIXEL_CHUNKS:
            kept.append(content[at:end])
        elif kind[:1].isupper():  # one that readers must know: not ours to leave out
            return content, None
        elif kind == b"eXIf" and orientation is None:
            orientation = orientation_in(content[at + 8 : end - 4])
        if kind == b"IEND":
            break
        at = end
    return b"".join(kept), orientation
