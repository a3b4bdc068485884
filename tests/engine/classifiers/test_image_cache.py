"""Users' images: what can be read is read right, what cannot is refused with a reason."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.decoding import decode, image_size
from mcal_engine.classifiers.image_cache import ArrayImages, ImageCache, choose_size
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
    import zlib

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
    with pytest.raises(InvalidValue, match=r"1 of 2 items have no image.*5"):
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
