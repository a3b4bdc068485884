"""Candidate classifiers with a stopwatch: each fit is timed once, and a repeated campaign is charged what the first one measured."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcal_engine import streams
from mcal_engine.acquisition import Distances, Features, by_numpy
from mcal_engine.classifiers.answers import Answers, trained_on
from mcal_engine.classifiers.base import fit
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import FloatArray, IntArray

if TYPE_CHECKING:
    from mcal_engine.classifiers.base import Classifier, ProgressCallback


class Stopwatch:
    """Measured seconds, remembered by what was done.

    Training time is money and so part of every decision. Without a memory the same seed could end differently on a busier machine,
    and a data set whose embeddings are kept from an earlier run would look cheaper than it is.
    """

    def __init__(self, file: Path | None = None) -> None:
        """``file``: JSON lines of ``[key, seconds]``, read now and appended to; ``None`` remembers for this process only."""
        self._file = file
        self._seconds: dict[str, float] = {}
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                try:
                    key, seconds = json.loads(line)
                except ValueError:  # the last line of a killed run
                    continue
                self._seconds.setdefault(str(key), float(seconds))

    def time(self, key: str, work: Callable[[], float | None]) -> float:
        """Do ``work``; return the seconds that the first run with this ``key`` took.

        ``work`` may return its seconds itself where it knows better than the clock around it.
        """
        began = time.perf_counter()
        told = work()
        seconds = time.perf_counter() - began if told is None else told
        if key not in self._seconds:
            self._seconds[key] = seconds
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a") as stream:
                    stream.write(json.dumps([key, seconds]) + "\n")
        return self._seconds[key]


@dataclass
class Machine:
    """One candidate classifier of a simulated campaign."""

    name: str
    classifier: Classifier
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    on_progress: ProgressCallback | None = None
    distances: Distances = by_numpy
    price: float = 0.0  # of an answer for one item, paid once
    _answers: Answers | None = None  # of the last fit
    _bought: set[int] = field(default_factory=set)
    _before: tuple[int, int] = (-1, 0)  # the last round, and how many answers were bought before it

    @property
    def learns(self) -> bool:
        """Whether labels change what it says; see :class:`~mcal_engine.classifiers.base.Classifier`."""
        return bool(getattr(self.classifier, "learns", True))

    def prepare(self, ids: IntArray) -> float:
        """Seconds of what is done once per item (embedding it), at the rate that was measured when it was really done."""

        def work() -> float:
            return self.classifier.prepare(ids, progress=self.on_progress) / max(len(ids), 1)

        return len(ids) * self.stopwatch.time(f"{self.name} prepare per item", work)

    def fit_and_score(self, request: TrainingRequest, *, once: float = 0.0) -> Scored:
        """Train on B and score T and the pool; ``once`` is charged to this round on top.

        The same B as last time, where T was topped up or V has joined it, keeps its net: its items were all scored then.
        """
        unbought = 0 if request.buys or not self.price else len(set(request.pool_ids.tolist()) - self._bought)
        if unbought:
            request = replace(request, pool_ids=request.pool_ids[:0])
        key = _digest(request.train_ids, request.train_labels, request.test_ids, request.pool_ids)
        features: list[Features] = []
        logits: list[FloatArray] = []
        asked, training = request.score_ids, trained_on(request.train_ids, request.train_labels, request.n_classes)
        known = self._answers.to(training, asked) if self._answers is not None and not request.with_features else None

        def work() -> None:
            if known is not None:
                logits.append(known)
                return
            labels, seed = request.train_labels, request.seed
            fit(self.classifier, request.train_ids, labels, request.n_classes, request.parts, seed=seed, progress=self.on_progress)
            logits.append(self.classifier.logits(asked, progress=self.on_progress))
            if request.with_features:
                features.append(self._features(np.concatenate([asked, request.train_ids])))

        seconds = self.stopwatch.time(f"{self.name} round {request.seed} {key}", work)
        self._answers = Answers.of(training, asked, logits[0])
        parts = {"train": seconds, "embed": once}
        found = Scored.of(request, logits[0], parts, one_off_seconds=once, features=features[0] if features else None)
        return replace(found, bought=self._pay(request.round, asked), price=self.price, n_unbought=unbought, learns=self.learns)

    def _pay(self, round: int, ids: IntArray) -> float:
        """What the answers cost that were not had before this round."""
        if not self.price:
            return 0.0
        if self._before[0] != round:
            self._before = (round, len(self._bought))
        self._bought.update(ids.tolist())
        return self.price * (len(self._bought) - self._before[1])

    def _features(self, ids: IntArray) -> Features:
        """In single precision and piece by piece: a large pool's features are most of what a campaign holds in memory."""
        pieces = [self.classifier.features(ids[start : start + 2048]).astype(np.float32) for start in range(0, len(ids), 2048)]
        return np.concatenate(pieces) if pieces else np.zeros((0, 1), dtype=np.float32)


def seed_of(campaign_seed: int, round: int) -> int:
    """A classifier's seed for one round: its own stream, as round 0 of seed 7 must not be seed 7 itself."""
    return int(streams.sequence(campaign_seed, "training", round).generate_state(1)[0])


def _digest(*arrays: IntArray) -> str:
    hasher = hashlib.blake2b(digest_size=10)
    for array in arrays:
        hasher.update(f"{len(array)};".encode())
        hasher.update(np.ascontiguousarray(array, dtype=np.int64).data)
    return hasher.hexdigest()
