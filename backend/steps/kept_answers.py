"""What finished trainings said, kept in files, so that the same training asked for again costs nothing.

It is asked for again when T is topped up while B stays, when a certificate sample joins T, and when a worker died between training and
deciding. Without the file everything happens once more; the net is the same one, as its seed is.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from backend.training import Place
from mcal_engine.classifiers import sealed
from mcal_engine.classifiers.answers import Answers, trained_on
from mcal_engine.training import Scored, TrainingRequest

FILES = 8  # at most, the newest: a few campaigns at once, each with a race
LARGEST = 128 * 2**20  # bytes of logits; more are scored again


def find(directory: Path, request: TrainingRequest, place: Place) -> Scored | None:
    """What such a training said of these items; None where that is not known any more.

    Its seconds are those that it took where the whole request is the same one: then its round was lost before it was paid for. For a later
    round they are 0.
    """
    if request.with_features:  # only logits are kept
        return None
    training = _training(request, place)
    content = sealed.read(_file(directory, training))
    if content is None:  # not there, cut short by a full disk, damaged since, or an older version's
        return None
    try:
        with np.load(io.BytesIO(content)) as kept:
            answers = Answers(training, kept["ids"], kept["logits"])
            same = np.array_equal(kept["asked"], request.score_ids)
            told = json.loads(str(kept["told"]))
            seconds, once, device = told["seconds"], told["one_off_seconds"], told["device"]
    except (ValueError, KeyError, zipfile.BadZipFile):  # another version's
        return None
    logits = answers.to(training, request.score_ids)
    if logits is None:
        return None
    paid = seconds if same else dict.fromkeys(seconds, 0.0)
    return Scored.of(request, logits, paid, one_off_seconds=once if same else 0.0, device=device)


def keep(directory: Path, request: TrainingRequest, place: Place, found: Scored) -> None:
    """Remember what was found, whole or not at all; the oldest others are forgotten."""
    if found.test_logits.nbytes + found.pool_logits.nbytes > LARGEST:
        return
    training = _training(request, place)
    answers = Answers.of(training, request.score_ids, np.concatenate([found.test_logits, found.pool_logits]))
    told = {"seconds": dict(found.seconds), "one_off_seconds": found.one_off_seconds, "device": found.device}
    content = io.BytesIO()
    np.savez(content, ids=answers.ids, logits=answers.logits, asked=request.score_ids, told=np.array(json.dumps(told)))
    sealed.write(_file(directory, training), content.getvalue())
    for old in sorted(directory.glob("*.npz"), key=_age)[:-FILES]:
        old.unlink(missing_ok=True)


def _file(directory: Path, training: str) -> Path:
    return directory / f"{training}.npz"


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # forgotten by another worker just now
        return 0.0


def _training(request: TrainingRequest, place: Place) -> str:
    """All that decides about the net: an item of a campaign never changes its image."""
    parts = (str(place.image_directory), place.image_size, request.classifier, request.n_classes, request.seed, place.device)
    return trained_on(request.train_ids, request.train_labels, *parts)
