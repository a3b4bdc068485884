"""Small files can hold large pictures: what decoding takes of memory is bounded before it begins, and the result is the same."""

from __future__ import annotations

import io
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.images import decoding
from mcal_engine.classifiers.images.decoding import GrayRange, decode, measure


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    made = io.BytesIO()
    image.save(made, kind, **options)
    return made.getvalue()


def picture(mode: str, width: int = 701, height: int = 503) -> Image.Image:
    random = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 4000, (height, width), dtype=np.uint16))
    if mode == "F":
        values = random.normal(size=(height, width)).astype(np.float32)
        values[0] = np.nan
        return Image.fromarray(values)
    noise = Image.fromarray(random.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
    if mode == "P":
        made = noise.convert("RGB").quantize(16)
        made.info["transparency"] = 3
        return made
    return noise.convert(mode)


@pytest.mark.parametrize("size", [16, 128, 400])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
@pytest.mark.slow
def test_strip_by_strip_a_picture_comes_out_as_it_does_whole(monkeypatch: pytest.MonkeyPatch, mode: str, size: int) -> None:
    kind = "TIFF" if mode in ("CMYK", "F") else "PNG"
    content = encoded(picture(mode), kind, **({"transparency": 3} if mode == "P" else {}))
    with Image.open(io.BytesIO(content)) as image:
        found = np.asarray(image)
        gray = None
        if mode in ("I;16", "F"):
            finite = found[np.isfinite(found)]
            gray = GrayRange.of(float(finite.min()), float(finite.max()), whole_numbers=mode == "I;16")
        whole = decoding._rgb(image, gray).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    for strip_pixels in (5_000, 10**9):
        monkeypatch.setattr(decoding, "STRIP_PIXELS", strip_pixels)
        assert np.array_equal(decode(content, size), np.asarray(whole))
        assert measure(content).gray == (None if gray is None else GrayRange(float(finite.min()), float(finite.max())))


@pytest.mark.slow
def test_deep_gray_takes_little_more_than_the_picture_itself() -> None:
    content = encoded(Image.fromarray(np.zeros((4000, 4000), dtype=np.uint16)))
    tracemalloc.start()
    try:
        decode(content, 128)
        measure(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000, "as floating-point numbers all at once it would take 128 MB, several times over"


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 1)
    inside, most, first, squashed = 0, 0, threading.Barrier(4), decoding._squashed

    def watched(*arguments: Any) -> Image.Image:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        found = squashed(*arguments)
        inside -= 1
        return found

    monkeypatch.setattr(decoding, "_squashed", watched)
    content = encoded(picture("RGB"))

    def work() -> None:
        first.wait()
        decode(content, 32)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.parametrize("kind", ["EPS", "PCX", "TGA", "SGI", "PDF"])
def test_kinds_that_browsers_do_not_show_are_not_even_tried(kind: str) -> None:
    with pytest.raises(UnreadableImage):
        decode(encoded(picture("RGB", 40, 40), kind), 32)


def test_more_pixels_than_allowed_are_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    for read in (decode, lambda content, _size, **limits: measure(content, **limits)):
        with pytest.raises(UnreadableImage, match="above the limit of 1,000"):
            read(encoded_before, 32, max_pixels=1_000)


encoded_before = encoded(picture("RGB", 40, 40))
