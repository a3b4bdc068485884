"""Users' images: what can be read is read right, what cannot is refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.images.decoding import GrayRange, ImageForm, Measured, choose_form, choose_size, decode, image_size, measure
from mcal_engine.classifiers.images.image_cache import ArrayImages, ImageCache
from mcal_engine.errors import InvalidValue

RED, GREEN, BLUE, WHITE = (200, 20, 20), (20, 200, 20), (20, 20, 200), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def halves(mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


def near(pixel: np.ndarray, colour: tuple[int, int, int], tolerance: int = 25) -> bool:
    return bool((np.abs(pixel.astype(int) - colour) <= tolerance).all())


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("GIF", "P"),
        ("BMP", "RGB"),
        ("TIFF", "CMYK"),
        ("WEBP", "RGB"),
    ],
)
def test_colours_survive_every_kind_and_mode(kind, mode):
    pixels = decode(encoded(halves(mode), kind), 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert near(pixels[16, 4], RED)
    assert near(pixels[16, 28], BLUE)


def test_exif_orientation_is_honoured():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees: left becomes top
    pixels = decode(encoded(halves(), "JPEG", exif=exif), 32)
    assert near(pixels[4, 16], RED)
    assert near(pixels[28, 16], BLUE)


def test_transparent_parts_are_white():
    image = Image.new("RGBA", (16, 16), (*GREEN, 255))
    image.paste((0, 0, 0, 0), (8, 0, 16, 16))
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([0, 0, 0, *GREEN])
    palette.paste(1, (0, 0, 8, 16))
    for content in (encoded(image), encoded(palette, transparency=0)):
        pixels = decode(content, 16)
        assert near(pixels[8, 2], GREEN)
        assert near(pixels[8, 14], WHITE)


def test_one_bit_and_gray_images_become_gray_rgb():
    for mode in ("1", "L", "LA"):
        pixels = decode(encoded(Image.new(mode, (20, 20), "white")), 16)
        assert (pixels == 255).all()


def png_chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + (zlib.crc32(kind + body) if crc is None else crc).to_bytes(4, "big")


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    return png[:33] + chunk + png[33:]  # after IHDR


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def exif_block(orientation: int, *entries: bytes) -> bytes:
    """Little-endian EXIF with the orientation and more entries as they are."""
    rows = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0), *entries]
    return b"II*\0\x08\0\0\0" + len(rows).to_bytes(2, "little") + b"".join(rows) + bytes(4)


HUGE = bytes(range(256)) * 8000  # 2 MB
MISTYPED = struct.pack("<HHII", 0x8769, 2, 900_000_000, 4_000_000_000)  # the EXIF offset, as a text of 900 MB beyond the end
BAD_METADATA = {
    "PNG with a damaged eXIf chunk": lambda: with_chunk(encoded(halves()), png_chunk(b"eXIf", b"II*\0\xff\xff")),
    "PNG with a wrong checksum of eXIf": lambda: with_chunk(encoded(halves()), png_chunk(b"eXIf", exif_block(1), crc=1)),
    "PNG with XMP above 1 MB": lambda: with_chunk(
        encoded(halves()), png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + zlib.compress(bytes(3_000_000)))
    ),
    "PNG with text above 1 MB": lambda: with_chunk(encoded(halves()), png_chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(3_000_000)))),
    "PNG with a profile above 1 MB": lambda: with_chunk(
        encoded(halves()), png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(3_000_000)))
    ),
    "PNG with a profile that is no zlib": lambda: with_chunk(encoded(halves()), png_chunk(b"iCCP", b"icc\0\0 nothing")),
    "JPEG with a damaged EXIF block": lambda: with_segment(encoded(halves(), "JPEG"), 0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "JPEG with a mistyped tag": lambda: with_segment(encoded(halves(), "JPEG"), 0xE1, b"Exif\0\0" + exif_block(1, MISTYPED)),
    "JPEG with an ICC profile in pieces that do not fit": lambda: with_segment(
        encoded(halves(), "JPEG"), 0xE2, b"ICC_PROFILE\0\x07\x02" + HUGE[:60_000]
    ),
    "JPEG with a comment and Photoshop's block": lambda: with_segment(
        with_segment(encoded(halves(), "JPEG"), 0xFE, HUGE[:60_000]), 0xED, b"Photoshop 3.0\0" + b"8BIM" * 99
    ),
    "JPEG with a damaged list of pictures": lambda: with_segment(encoded(halves(), "JPEG"), 0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
    "WebP with a damaged EXIF block": lambda: encoded(halves(), "WEBP", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "WebP with a profile above 1 MB": lambda: encoded(halves(), "WEBP", icc_profile=HUGE),
}


@pytest.mark.parametrize("case", BAD_METADATA)
def test_metadata_never_makes_a_picture_unreadable(case):
    content = BAD_METADATA[case]()
    pixels = decode(content, 32)
    assert near(pixels[16, 4], RED)
    assert near(pixels[16, 28], BLUE)
    assert image_size(content) == (64, 64)
    assert measure(content) == Measured(64, 64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_is_turned_upright_whatever_the_other_tags_hold(kind):
    block = exif_block(6, MISTYPED)
    plain = encoded(halves(), kind)
    content = with_segment(plain, 0xE1, b"Exif\0\0" + block) if kind == "JPEG" else with_chunk(plain, png_chunk(b"eXIf", block))
    pixels = decode(content, 32)
    assert near(pixels[4, 16], RED)
    assert near(pixels[28, 16], BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_are_turned_as_pillow_turns_them(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
    content = encoded(image, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=3.0)
    assert np.array_equal(decode(content, 32), np.asarray(expected))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_jpeg_may_lack_its_end_marker_but_nothing_more(options, size):
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 240, 3), dtype=np.uint8)), "JPEG", **options)
    assert whole.endswith(b"\xff\xd9")
    assert np.array_equal(decode(whole[:-2], size), decode(whole, size))
    for missing in (10, 100, len(whole) // 2):
        with pytest.raises(UnreadableImage, match="damaged or cut off"):
            decode(whole[:-missing], size)


def test_deep_gray_has_one_range_for_a_data_set():
    dark, bright = (np.full((8, 8), value, dtype=np.uint16) for value in (9_000, 36_000))
    form = choose_form([measure(encoded(Image.fromarray(each))) for each in (dark, bright)])
    assert form == ImageForm(32, GrayRange(0, 65535))
    shades = [int(decode(encoded(Image.fromarray(each)), 32, gray=form.gray)[0, 0, 0]) for each in (dark, bright)]
    assert shades == [35, 140]  # a browser shows the same: the value divided by 257


@pytest.mark.parametrize(("top", "bits"), [(200, 8), (1000, 10), (4095, 12), (4096, 14), (20_000, 16), (70_000, 24)])
def test_the_range_is_the_fewest_bits_of_a_sensor_that_hold_the_brightest_pixel(top, bits):
    assert GrayRange.of(0, top, whole_numbers=True) == GrayRange(0, 2**bits - 1)


def test_what_lies_outside_the_range_is_black_or_white():
    assert GrayRange(0, 4095).to_bytes(np.array([-5, 0, 4095, 65535])).tolist() == [0, 0, 255, 255]
    assert GrayRange(0, 1).to_bytes(np.array([np.nan, np.inf, -np.inf, 0.5])).tolist() == [0, 255, 0, 128]


@pytest.mark.parametrize("top", [4095, 65535])
def test_deep_gray_uses_the_range_that_the_sensor_used(top):
    ramp = np.tile(np.linspace(0, top, 64).astype(np.uint16), (64, 1))
    pixels = decode(encoded(Image.fromarray(ramp)), 64)
    assert pixels[0, 0, 0] == 0
    assert pixels[0, 63, 0] == 255
    assert abs(int(pixels[0, 32, 0]) - 129) <= 2


def test_float_images_with_holes_in_them_are_read():
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[0, 0] = np.nan
    pixels = decode(encoded(Image.fromarray(values), "TIFF"), 8)
    assert pixels[7, 7, 0] == 255
    assert pixels[0, 0, 0] == 0


def test_tall_images_are_squashed_not_cropped():
    tall = Image.new("RGB", (20, 200), RED)
    tall.paste(BLUE, (0, 150, 20, 200))
    pixels = decode(encoded(tall), 32)
    assert near(pixels[2, 16], RED)
    assert near(pixels[30, 16], BLUE)


def test_a_large_photo_looks_like_itself_after_the_fast_decoding():
    pixels = decode(encoded(halves(size=(3000, 2000)), "JPEG"), 32)
    assert near(pixels[16, 4], RED)
    assert near(pixels[16, 28], BLUE)


def test_of_an_animation_the_first_picture_counts():
    content = encoded(Image.new("RGB", (16, 16), RED), "GIF", save_all=True, append_images=[Image.new("RGB", (16, 16), BLUE)])
    assert near(decode(content, 16)[8, 8], RED)


def photo() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), "JPEG")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        (b'{"detail": "Not found"}', "JSON"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer.*git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC photo.*convert it to JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0heic", "HEIC photo"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"hello, this is a text file", "not an image"),
        (bytes(5000), "not an image"),
        (photo()[: len(photo()) // 2], "damaged or cut off"),
        (encoded(halves("RGB"), "PNG")[:60], "damaged"),
        (encoded(halves("RGB"), "PNG")[:20], "damaged|not an image"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason_in_plain_words(content, reason):
    with pytest.raises(UnreadableImage, match=reason) as raised:
        decode(content, 32)
    assert raised.value.reason == str(raised.value)
    assert "Traceback" not in raised.value.reason


def test_random_damage_never_raises_anything_else():
    draw = np.random.default_rng(1)
    contents = [
        photo(),
        encoded(halves("P")),
        encoded(halves(), "TIFF", compression="tiff_lzw"),
        encoded(halves(), "GIF"),
        encoded(halves(), "WEBP"),
    ]
    for content in contents * 30:
        damaged = bytearray(content)
        for at in draw.integers(0, len(damaged), 20):
            damaged[at] = draw.integers(0, 256)
        try:
            assert decode(bytes(damaged), 16).shape == (16, 16, 3)
        except UnreadableImage:
            continue


def bomb() -> bytes:
    """A PNG that says it has 40,000 × 40,000 pixels."""
    content = bytearray(encoded(Image.new("1", (8, 8))))
    content[16:24] = (40_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def test_too_many_pixels_are_refused_before_they_are_decoded():
    with pytest.raises(UnreadableImage, match="limit of 100,000,000"):
        decode(bomb(), 32)
    with pytest.raises(UnreadableImage, match="64 × 64 pixels, above the limit of 1,000"):
        decode(encoded(halves()), 32, max_pixels=1000)


def test_image_size_reads_the_header_only():
    assert image_size(encoded(halves(size=(300, 200)), "JPEG")) == (300, 200)


@pytest.mark.parametrize(
    ("sizes", "chosen"), [([(28, 28)], 32), ([(32, 32)], 32), ([(64, 48)], 64), ([(100, 90)], 128), ([(4000, 3000)], 128)]
)
def test_the_size_fits_the_images(sizes, chosen):
    assert choose_size(sizes) == chosen


def test_choosing_a_size_of_nothing_is_an_error():
    with pytest.raises(InvalidValue, match="at least one"):
        choose_size([])


def test_a_cache_keeps_images_by_item_across_restarts(tmp_path):
    cache = ImageCache(tmp_path, 32)
    cache.add(70, encoded(Image.new("RGB", (40, 40), RED)))
    cache.add(9, encoded(Image.new("RGB", (40, 40), BLUE)))
    with pytest.raises(UnreadableImage):
        cache.add(5, b"")
    again = ImageCache(tmp_path, 32)
    assert len(again) == 2
    assert again.has([5, 9, 70]).tolist() == [False, True, True]
    assert again.missing([70, 5, 6, 9]) == [5, 6]
    assert again.rows([70, 9]).tolist() == [0, 1]
    assert near(again.batch(again.rows([9]))[0, 0, 0], BLUE)
    assert again.shape == (32, 32)
    with pytest.raises(InvalidValue, match=r"1 of 2 items has no image.*5"):
        again.rows([70, 5])


def test_an_item_keeps_its_image_and_its_row(tmp_path):
    cache = ImageCache(tmp_path, 16)
    first = cache.add(1, encoded(Image.new("RGB", (16, 16), RED)))
    assert cache.add(1, encoded(Image.new("RGB", (16, 16), BLUE))) == first
    assert near(cache.batch(cache.rows([1]))[0, 0, 0], RED)


def test_threads_may_add_together(tmp_path):
    cache = ImageCache(tmp_path, 16)
    content = encoded(halves())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda item: cache.add(item % 50, content), range(200)))
    assert len(cache) == 50
    assert cache.missing(list(range(50))) == []


def test_each_size_has_its_own_images(tmp_path):
    ImageCache(tmp_path, 16).add(1, encoded(halves()))
    assert ImageCache(tmp_path, 32).missing([1]) == [1]


def test_gray_and_colour_arrays_are_sources_of_the_same_shape():
    gray = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    colour = np.repeat(gray[..., None], 3, axis=3)
    for array in (gray, gray[..., None], colour):
        source = ArrayImages(array)
        assert len(source) == 2
        assert source.shape == (4, 4)
        assert np.array_equal(source.batch(np.array([1, 0])), colour[[1, 0]])
        assert np.array_equal(source.keys(np.array([1, 0])), ArrayImages(colour).keys(np.array([0, 1]))[::-1])


def test_an_array_and_a_cache_of_the_same_pixels_have_the_same_keys(tmp_path):
    cache = ImageCache(tmp_path, 32)
    cache.add(1, encoded(halves()))
    rows = np.array([0])
    assert np.array_equal(cache.keys(rows), ArrayImages(cache.batch(rows)).keys(rows))


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 5), (2, 4, 4, 2)])
def test_arrays_of_another_shape_are_refused(shape):
    with pytest.raises(InvalidValue, match="shape"):
        ArrayImages(np.zeros(shape, dtype=np.uint8))
