"""An encoded image, as it came from a user, to RGB pixels of one size; or the reason why not, in plain words.

The one decoder: campaigns, the simulator, pages and the doctor all read images here, so that what one of them can read all can.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mcal_engine.classifiers.base import UInt8Array, UnreadableImage
from mcal_engine.classifiers.containers import ended, orientation_in, what_it_is, without_metadata
from mcal_engine.errors import InvalidValue
from mcal_engine.streams import generator

MAX_PIXELS = 100_000_000
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""What is decoded. Pillow knows many more, some of which call other programs, and none of which people can label in a browser."""
BYTES_PER_PIXEL = 4  # at most, in memory, of whatever kind
LARGE_PIXELS = 8_000_000  # from here on one image at a time
STRIP_PIXELS = 1_000_000  # that are converted at once: floating-point numbers and layers take many bytes for each
SIZES = (32, 64, 128)
LOOKED_AT = 256  # images that the form of a data set is chosen from
_DEEP_MODES = ("I", "F")  # 16-bit, 32-bit and floating-point gray; "I;16" and its kin begin with I too
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that sensors use
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OTHER_SCAN = b"\xaa" * 64  # bytes that would change the picture if any of its pixels were still to come

_one_large = threading.RLock()
_opening = threading.Lock()  # warnings.catch_warnings changes the whole process


@dataclass(frozen=True, slots=True)
class GrayRange:
    """The values of deep gray that become 0 and 255. One for a whole data set, so that brightness means the same in every picture."""

    low: float
    high: float

    @classmethod
    def of(cls, low: float, high: float, *, whole_numbers: bool) -> GrayRange:
        """The range for values between ``low`` and ``high``. Sensors put 10, 12 or 14 bits into 16: the fewest bits that hold ``high``."""
        if whole_numbers:
            return cls(0.0, float(next((2**bits for bits in _DEPTHS if high < 2**bits), 2 ** _DEPTHS[-1]) - 1))
        return cls(min(low, 0.0), max(high, 1.0))

    def to_bytes(self, gray: npt.NDArray[np.generic]) -> UInt8Array:
        """Deep gray of any shape as uint8; values outside the range become 0 and 255."""
        values = np.nan_to_num(gray.astype(np.float64), nan=0.0, posinf=self.high, neginf=self.low)
        scaled = (values - self.low) * (255.0 / (self.high - self.low))
        return np.asarray(np.clip(np.round(scaled), 0, 255), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class ImageForm:
    """How the images of one data set are kept: chosen once, then the same for every image, on every machine.

    Attributes:
        side: of the kept squares, in px.
        gray: the range of deep gray; ``None`` where the data set has no such pictures.
    """

    side: int
    gray: GrayRange | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What :func:`choose_form` needs of one image: width and height in px, and the range of values if it is deep gray."""

    width: int
    height: int
    gray: GrayRange | None = None
    whole_numbers: bool = True


def choose_size(sizes: Sequence[tuple[int, int]]) -> int:
    """The side (32, 64 or 128 px) that images of these (width, height) in px are best kept at: small images are not blown up much."""
    if not sizes:
        raise InvalidValue("choose_size needs the size of at least one image, got none")
    median = float(np.median([max(size) for size in sizes]))
    return next((size for size in SIZES if median <= size * 1.25), SIZES[-1])


def choose_form(measured: Sequence[Measured]) -> ImageForm:
    """The form for a data set, from the images of :func:`sample_of` that can be read."""
    side = choose_size([(one.width, one.height) for one in measured])
    deep = [one for one in measured if one.gray is not None]
    if not deep:
        return ImageForm(side)
    lows = [one.gray.low for one in deep if one.gray is not None]
    highs = [one.gray.high for one in deep if one.gray is not None]
    return ImageForm(side, GrayRange.of(min(lows), max(highs), whole_numbers=all(one.whole_numbers for one in deep)))


def sample_of(n: int) -> npt.NDArray[np.int64]:
    """Which of ``n`` images to look at for their form: all of few, else a random part of the whole, in the order to look in.

    Random rather than the first, or every k-th: projects are filled in batches, and pictures come in pairs.
    """
    return generator(0, "image_form", n).permutation(n).astype(np.int64)


def image_size(content: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in px, from the header alone; raises :class:`UnreadableImage`."""
    with _open(without_metadata(content)[0], max_pixels) as image:
        return image.size


def measure(content: bytes, *, max_pixels: int = MAX_PIXELS) -> Measured:
    """Size and, of deep gray, the range of values; raises :class:`UnreadableImage`."""
    bare = without_metadata(content)[0]
    with _open(bare, max_pixels) as image:
        size = image.size
        if not image.mode.startswith(_DEEP_MODES):
            return Measured(*size)
        with _alone(size), _damage_told(image):
            image.load()
            return Measured(*size, *_gray_range(image))


def range_of(values: npt.NDArray[np.generic]) -> tuple[float, float]:
    """The least and the largest finite value; (0, 0) where there is none."""
    if np.issubdtype(values.dtype, np.floating):
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def decode(content: bytes, size: int, *, gray: GrayRange | None = None, max_pixels: int = MAX_PIXELS) -> UInt8Array:
    """RGB pixels of shape (size, size, 3): turned upright by EXIF, on white where transparent, squashed to a square.

    Of animations and documents the first picture counts. ``gray``: the data set's range of deep gray; without it the picture's own.
    It takes about ``2 * BYTES_PER_PIXEL * max_pixels`` bytes of memory at most, and large images wait for one another.

    Raises:
        UnreadableImage: not an image, damaged, of a kind that cannot be converted, or above ``max_pixels``.
    """
    bare, orientation = without_metadata(content)
    try:
        return _pixels(bare, size, orientation, gray, max_pixels)
    except UnreadableImage:
        whole = ended(bare)
        if whole is None:
            raise
        # What follows the last pixel changes nothing. Where it does, more than the end marker is missing.
        if _digest(whole, max_pixels) != _digest(bare + _OTHER_SCAN + whole[-2:], max_pixels):
            raise
        return _pixels(whole, size, orientation, gray, max_pixels)


def _digest(content: bytes, max_pixels: int) -> bytes:
    """Of all pixels, which are not kept."""
    found = hashlib.blake2b()
    with _open(content, max_pixels) as image, _alone(image.size), _damage_told(image):
        image.load()
        for strip in _strips(image, 1):
            found.update(np.asarray(strip).tobytes())
    return found.digest()


def _pixels(content: bytes, size: int, orientation: int | None, gray: GrayRange | None, max_pixels: int) -> UInt8Array:
    with _open(content, max_pixels) as image, _alone(image.size), _damage_told(image):
        # JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the work. Twice the size keeps the resampling sharp.
        image.draft("RGB" if image.mode == "YCbCr" else image.mode, (2 * size, 2 * size))
        image.load()
        turned = orientation or orientation_in(image.info.get("exif") or b"")
        upright = image.transpose(_TURNS[turned]) if turned in _TURNS else image
        return np.array(_squashed(upright, size, gray), dtype=np.uint8)


def _squashed(image: Image.Image, size: int, gray: GrayRange | None) -> Image.Image:
    """``rgb(image).resize((size, size), BILINEAR, reducing_gap=3.0)``, without ever having all of it as RGB.

    Pillow resizes large images in two steps: blocks of whole pixels are averaged first. This is the first step, strip by strip.
    """
    if gray is None and image.mode.startswith(_DEEP_MODES):
        own, whole_numbers = _gray_range(image)
        gray = GrayRange.of(own.low, own.high, whole_numbers=whole_numbers)
    across, down = (max(int(length / size / 3.0), 1) for length in image.size)
    if across == down == 1:
        return _rgb(image, gray).resize((size, size), Image.Resampling.BILINEAR)
    reduced = Image.new("RGB", (-(-image.width // across), -(-image.height // down)))
    row = 0
    for strip in _strips(image, down):
        part = _rgb(strip, gray).reduce((across, down))
        reduced.paste(part, (0, row))
        row += part.height
    return reduced.resize((size, size), Image.Resampling.BILINEAR, box=(0, 0, image.width / across, image.height / down))


def _strips(image: Image.Image, multiple: int) -> Iterator[Image.Image]:
    """The image from top to bottom, in parts of about ``STRIP_PIXELS`` whose heights are multiples of ``multiple``, but for the last."""
    height = max(STRIP_PIXELS // image.width // multiple, 1) * multiple
    for top in range(0, image.height, height):
        part = image.crop((0, top, image.width, min(top + height, image.height)))
        part.info = image.info  # says which colour is transparent
        yield part


def _gray_range(image: Image.Image) -> tuple[GrayRange, bool]:
    """The range of a deep gray picture's values, and whether they are whole numbers."""
    ranges, whole_numbers = [], True
    for strip in _strips(image, 1):
        values = np.asarray(strip)
        whole_numbers = not np.issubdtype(values.dtype, np.floating)
        ranges.append((values.size and (whole_numbers or bool(np.isfinite(values).any())), range_of(values)))
    known = [found for some, found in ranges if some] or [(0.0, 0.0)]
    return GrayRange(min(low for low, _ in known), max(high for _, high in known)), whole_numbers


@contextmanager
def _alone(size: tuple[int, int]) -> Iterator[None]:
    """Large images wait for one another: several at once would take several times the memory."""
    if size[0] * size[1] < LARGE_PIXELS:
        yield
        return
    with _one_large:
        yield


@contextmanager
def _damage_told(image: Image.Image) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise UnreadableImage(f"the image ({image.width:,} × {image.height:,} pixels) does not fit into memory") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files, and one bad file must not end a round
        raise UnreadableImage(f"the image is damaged or cut off ({_first_line(error)})") from error


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _open(content: bytes, max_pixels: int) -> Image.Image:
    if not content:
        raise UnreadableImage("the file is empty (0 bytes)")
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about size and odd metadata: the limit below is ours, and pixels are what counts
            image = Image.open(io.BytesIO(content), formats=_formats())
    except UnidentifiedImageError:
        raise UnreadableImage(what_it_is(content)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"the image has more pixels than the limit of {max_pixels:,}") from None
    except Exception as error:  # see decode
        raise UnreadableImage(f"the image's header is damaged ({_first_line(error)})") from error
    if image.width * image.height > max_pixels:
        image.close()
        raise UnreadableImage(f"the image has {image.width:,} × {image.height:,} pixels, above the limit of {max_pixels:,}")
    return image


def _rgb(image: Image.Image, gray: GrayRange | None) -> Image.Image:
    if gray is not None and image.mode.startswith(_DEEP_MODES):
        return Image.fromarray(gray.to_bytes(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120] or type(error).__name__
