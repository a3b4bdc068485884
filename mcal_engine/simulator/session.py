"""From a data set and settings to a finished, reported campaign: what ``mcal simulate`` and the benchmark call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcal_engine.certificates.uniform import allowance
from mcal_engine.round import freeze
from mcal_engine.simulator.campaign import Observer, RoundView, SimulatedCampaign, simulate
from mcal_engine.simulator.labelled_images import LabelledData
from mcal_engine.simulator.machines import Machine, Stopwatch
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.report import report
from mcal_engine.simulator.truth import TrueTrajectory, true_question_errors
from mcal_engine.spec import CampaignSpec, check_whole_answers
from mcal_engine.types import BoolArray, IntArray, LabelByMachine


def open_machines(data: LabelledData, names: Sequence[str], cache_dir: Path, device: str = "auto") -> list[Machine]:
    """Candidates by name; embeddings and measured seconds are kept below ``cache_dir``, one folder per set of images.

    Raises:
        InvalidValue: a name that does not exist; the text lists those that do.
    """
    from mcal_engine.classifiers import devices, distances_on, make

    devices.keep_memory()
    place = cache_dir / f"{data.name}-{data.digest}"
    items, beside = data.source(), data.source_beside()
    stopwatch = Stopwatch(place / f"seconds-{device}.jsonl")
    distances = distances_on(device)
    made = (make(name, items, cache_dir=place, device=device, reads=data.reads, beside=beside) for name in names)
    return [Machine(name, classifier, stopwatch, distances=distances) for name, classifier in zip(names, made, strict=True)]


@dataclass(frozen=True)
class Played:
    """A finished campaign, what really happened at each round, and the last classifier's mistakes along the frozen order."""

    campaign: SimulatedCampaign
    report: dict[str, Any]
    trajectory: list[dict[str, float]]
    wrong: BoolArray
    n_ranked: int


def play(data: LabelledData, ids: IntArray, spec: CampaignSpec, machines: Sequence[Machine], observers: Sequence[Observer] = ()) -> Played:
    """Simulate one campaign on the rows ``ids`` of ``data`` and report it."""
    trajectory = TrueTrajectory(data.labels, allowance(spec.target_error, len(ids)), len(ids))
    last: list[RoundView] = []

    def keep(view: RoundView) -> None:
        last[:] = [view]

    if data.questions is not None:
        check_whole_answers(spec)
    campaign = simulate(ids, data.n_classes, Annotators(data.labels), spec, machines, [trajectory, keep, *observers], parts=data.parts)
    found = report(campaign, data.labels)
    if data.questions is not None:
        found["true_question_errors"] = true_question_errors(data.questions, data.class_names, data.labels, campaign)
    found["data"] = {
        "name": data.name,
        "notes": list(data.notes),
        "n_skipped": data.n_skipped,
        "unused": dict(data.unused),
        "class_names": list(data.class_names),
        "questions": [] if data.questions is None else [question.name for question in data.questions],
    }
    decision = campaign.decision
    name = decision.classifier if isinstance(decision, LabelByMachine) else last[0].scored[0].classifier
    logits = next(one for one in last[0].scored if one.classifier == name).pool_logits
    frozen, classes, _ = freeze(last[0].pool_ids, logits, spec.surety)
    wrong = np.asarray(data.labels[frozen] != classes)
    n_ranked = decision.n_ranked if isinstance(decision, LabelByMachine) else 0
    return Played(campaign, found, trajectory.rows, wrong, n_ranked)
