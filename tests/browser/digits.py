"""A project of drawn digits with two people in it, a worker's hand to take it forward, and a clock that people's work moves."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.backend.world import NoisyTruth, World, noise

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="digit" toName="image">'
    + "".join(f'<Choice value="{name}"/>' for name in DIGITS)
    + "</Choices></View>"
)


class SlowLearner(NoisyTruth):
    """Needs a few hundred labels to become good: campaigns with it take a dozen rounds."""

    def _logits(self, task: int, skill: float, n_classes: int) -> list[float]:
        return super()._logits(task, 0.9 * skill - 1.6, n_classes)


class DigitWorld(World):
    """As :class:`World`, with ten choices, real pictures and a clock of its own."""

    def __init__(self, directory: Path, *, n: int = 600, title: str = "Digits", start: bool = True, **settings: Any) -> None:
        self.clock = datetime.now(UTC) - timedelta(hours=6)
        super().__init__(directory, n=n, start=False, **settings)
        self.trainer = SlowLearner(self.truth)
        self.fresh_services()
        self.label_studio.set_project(self.project, label_config=CONFIG, title=title)
        self.label_studio.fetch_media = lambda reference, *, task_id, max_bytes: picture(task_id, self.truth(task_id))  # type: ignore[method-assign]
        if start:
            self.begin()

    def now(self) -> datetime:
        self.clock += timedelta(microseconds=1)
        return self.clock

    @staticmethod
    def truth(task: int) -> int:
        return int(noise(task).integers(0, 10**6)) % len(DIGITS)

    def right(self, task: int) -> str:
        self.clock += timedelta(seconds=float(np.random.default_rng(task).gamma(4.0, 0.6)))  # what the last one took
        return DIGITS[self.truth(task)]


def picture(task: int, digit: int) -> bytes:
    """A light digit on dark ground, shifted, turned and blurred a little, as PNG."""
    random = np.random.default_rng([3, task])
    image = Image.new("L", (84, 84), 0)
    font = ImageFont.load_default(size=int(random.integers(50, 68)))
    ImageDraw.Draw(image).text((42, 42), str(digit), 255, font=font, anchor="mm")
    image = image.rotate(float(random.normal(0, 11)), translate=(int(random.integers(-7, 8)), int(random.integers(-7, 8))))
    image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.6, 2.0))))
    pixels = np.clip(np.asarray(image, dtype=np.float64) + random.normal(0, 9, (84, 84)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
