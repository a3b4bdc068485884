"""What finished trainings said, kept in files, so that the same training asked for again costs nothing.

It is asked for again when T is topped up while B stays, when a certificate sample joins T, and when a worker died between training and
deciding. Without the file everything happens once more; the net is the same one, as its seed is.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from backend.training import TrainingJob, TrainingResult
from mcal_engine.classifiers.answers import Answers, trained_on
from mcal_engine.classifiers.base import FitReport

FILES = 8  # at most, the newest: a few campaigns at once, each with a race
LARGEST = 128 * 2**20  # bytes of logits; more are scored again


def find(directory: Path, job: TrainingJob) -> TrainingResult | None:
    """What such a training said of these items; None where that is not known any more.

    Its seconds are those that it took where the whole job is the same one: then its round was lost before it was paid for. For a later
    round they are 0.
    """
    if job.with_features:  # only logits are kept
        return None
    training = _training(job)
    try:
        with (directory / f"{training}.npz").open("rb") as file, np.load(file) as kept:
            answers = Answers(training, kept["ids"], kept["logits"])
            same = np.array_equal(kept["asked"], job.score_ids)
            told = json.loads(str(kept["told"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # not there, or cut short by a full disk
        return None
    logits = answers.to(training, job.score_ids)
    if logits is None:
        return None
    report = FitReport(**told["report"] | {"notes": tuple(told["report"]["notes"])})
    seconds = told["seconds"] if same else dict.fromkeys(told["seconds"], 0.0)
    return TrainingResult(logits, seconds, told["one_off_seconds"] if same else 0.0, report.device, report)


def keep(directory: Path, job: TrainingJob, result: TrainingResult) -> None:
    """Remember ``result``, whole or not at all; the oldest others are forgotten."""
    if result.logits.nbytes > LARGEST:
        return
    directory.mkdir(parents=True, exist_ok=True)
    training = _training(job)
    answers = Answers.of(training, job.score_ids, result.logits)
    told: dict[str, Any] = {"seconds": dict(result.seconds), "one_off_seconds": result.one_off_seconds, "report": asdict(result.report)}
    fresh = directory / f"{training}.new"
    with fresh.open("wb") as file:
        np.savez(file, ids=answers.ids, logits=answers.logits, asked=job.score_ids, told=np.array(json.dumps(told)))
    fresh.replace(directory / f"{training}.npz")
    for old in sorted(directory.glob("*.npz"), key=_age)[:-FILES]:
        old.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # forgotten by another worker just now
        return 0.0


def _training(job: TrainingJob) -> str:
    """All that decides about the net: an item of a campaign never changes its image."""
    parts = (str(job.image_directory), job.image_size, job.classifier, job.n_classes, job.seed, job.device)
    return trained_on(job.train_ids, job.train_labels, *parts)
