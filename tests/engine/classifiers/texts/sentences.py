"""Sentences of three classes, told apart by their words: drawn, so that a test can have any number of them."""

from __future__ import annotations

import numpy as np

from mcal_engine.types import IntArray

WORDS = (
    ("card", "payment", "refund", "bank", "transfer", "account", "cash", "fee"),
    ("match", "goal", "team", "coach", "league", "player", "season", "cup"),
    ("rain", "storm", "cloud", "wind", "sunny", "degrees", "snow", "forecast"),
)
FILLING = ("the", "a", "is", "was", "with", "and", "today", "again", "please", "about", "my", "very", "not", "so")
NAMES = ("money", "sport", "weather")


def sentences(n: int, *, noise: float = 0.03, seed: int = 0) -> tuple[list[str], IntArray]:
    """Texts and their classes; a share ``noise`` of them talks of another class's things."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(WORDS), size=n).astype(np.int64)
    topics = np.where(rng.random(n) < noise, rng.integers(len(WORDS), size=n), labels)
    texts = []
    for topic in topics:
        words = [*rng.choice(WORDS[topic], 3, replace=False), *rng.choice(FILLING, 5)]
        texts.append(" ".join(rng.permutation(words)).capitalize() + ".")
    return texts, labels
