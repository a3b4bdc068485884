"""An encoded image, as it came from a user, to RGB pixels of one size; or the reason why not, in plain words."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mcal_engine.classifiers.base import UInt8Array, UnreadableImage
from mcal_engine.errors import InvalidValue

MAX_PIXELS = 100_000_000
SIZES = (32, 64, 128)
_DEEP_MODES = ("I", "F")  # 16-bit, 32-bit and floating-point gray; "I;16" and its kin begin with I too

_opening = threading.Lock()  # warnings.catch_warnings changes the whole process


def choose_size(sizes: Sequence[tuple[int, int]]) -> int:
    """The side (32, 64 or 128 px) that a sample of (width, height) in px is best kept at: small images are not blown up much."""
    if not sizes:
        raise InvalidValue("choose_size needs the size of at least one image, got none")
    median = float(np.median([max(size) for size in sizes]))
    return next((size for size in SIZES if median <= size * 1.25), SIZES[-1])


def image_size(content: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in px, from the header alone; raises :class:`UnreadableImage`."""
    with _open(content, max_pixels) as image:
        return image.size


def decode(content: bytes, size: int, *, max_pixels: int = MAX_PIXELS) -> UInt8Array:
    """RGB pixels of shape (size, size, 3): turned upright by EXIF, on white where transparent, squashed to a square.

    Of animations and documents the first picture counts.

    Raises:
        UnreadableImage: not an image, damaged, of a kind that cannot be converted, or above ``max_pixels``.
    """
    with _open(content, max_pixels) as image:
        try:
            # JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the work. Twice the size keeps the resampling sharp.
            image.draft("RGB" if image.mode == "YCbCr" else image.mode, (2 * size, 2 * size))
            image.load()
            upright = ImageOps.exif_transpose(image)
            small = _rgb(upright).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
            return np.array(small, dtype=np.uint8)
        except MemoryError:
            raise UnreadableImage(f"the image ({image.width:,} × {image.height:,} pixels) does not fit into memory") from None
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files, and one bad file must not end a round
            raise UnreadableImage(f"the image is damaged or cut off ({_first_line(error)})") from error


def _open(content: bytes, max_pixels: int) -> Image.Image:
    if not content:
        raise UnreadableImage("the file is empty (0 bytes)")
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about size and odd metadata: the limit below is ours, and pixels are what counts
            image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise UnreadableImage(_what_it_is(content)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"the image has more pixels than the limit of {max_pixels:,}") from None
    except Exception as error:  # see decode
        raise UnreadableImage(f"the image's header is damaged ({_first_line(error)})") from error
    if image.width * image.height > max_pixels:
        image.close()
        raise UnreadableImage(f"the image has {image.width:,} × {image.height:,} pixels, above the limit of {max_pixels:,}")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(_DEEP_MODES):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")


def _eight_bits(gray: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> UInt8Array:
    """Deep gray to 8 bits. Sensors put 10 or 12 bits into 16: the range is the power of two that holds the brightest pixel."""
    values = np.nan_to_num(gray.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if np.issubdtype(gray.dtype, np.floating):
        values = values - min(values.min(), 0.0)
        top = max(1.0, values.max())
    else:
        values = np.maximum(values, 0.0)
        top = max(2.0 ** np.ceil(np.log2(values.max() + 1.0)), 256.0) - 1.0
    return np.asarray(np.round(values * (255.0 / top)), dtype=np.uint8)


def _what_it_is(content: bytes) -> str:
    start = content[:512].lstrip().lower()
    if b"<svg" in start:
        return "an SVG drawing, which cannot be read as pixels; convert it to PNG"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "not an image: the address answered with a web page"
    if start.startswith((b"{", b"[")):
        return "not an image: the address answered with JSON"
    if start.startswith(b"%pdf"):
        return "a PDF document, not an image"
    return "not an image, or of a format that cannot be read (JPEG, PNG, WebP, GIF, BMP and TIFF can)"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120] or type(error).__name__
