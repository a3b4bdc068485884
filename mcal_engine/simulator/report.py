"""The report of a simulated campaign: the JSON shape that every report of the project has, with what only the truth can tell."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np

from mcal_engine import __version__
from mcal_engine.looks import confidence_kept
from mcal_engine.simulator.campaign import SimulatedCampaign
from mcal_engine.simulator.truth import true_class_errors, true_machine_error, true_overall_error
from mcal_engine.types import Acquire, CertificateOutcome, Certify, Decision, IntArray, LabelByMachine, Observation, PeelBatch, PeelOrder


def report(campaign: SimulatedCampaign, labels: IntArray) -> dict[str, Any]:
    """JSON values only; ``labels`` are the truth, for the two ``true_…`` figures and nothing else."""
    spec, decision = campaign.spec, campaign.decision
    machine = decision if isinstance(decision, LabelByMachine) else None
    n_human = len(campaign.ids) - len(campaign.machine_ids)
    search = next((row.verdict for row in campaign.history if isinstance(row, Certify)), decision.verdict)
    verdict = search if machine else decision.verdict
    return {
        "n_items": len(campaign.ids),
        "n_test": len(campaign.test_ids),
        "n_train": len(campaign.train_ids),
        "n_certificate": len(campaign.certificate_ids),
        "n_machine": len(campaign.machine_ids),
        "n_residual": len(campaign.residual_ids),
        "n_set_aside": 0,
        "n_preexisting": 0,
        "human_items": n_human,
        "human_labels": campaign.n_labels_paid,
        "duplicates": 0,
        "second_labels": campaign.n_labels_paid - n_human,
        "price_per_label": spec.price_per_label,
        "human_cost": campaign.human_cost,
        "machine_price_per_hour": spec.machine_price_per_hour,
        "training_cost": campaign.training_cost,
        "total_cost": campaign.total_cost,
        "human_only_cost": campaign.human_only_cost,
        "savings": campaign.savings,
        "currency": spec.currency,
        "target_error": spec.target_error,
        "min_class_precision": spec.min_class_precision,
        "budget": spec.budget,
        "error_estimate": machine.error_estimate if machine else 0.0,
        "error_upper_bound": machine.error_upper_bound if machine else 0.0,
        "confidence_level": confidence_kept(spec, campaign.history),
        "looks": _looks(campaign),
        "certified": machine.certified if machine else False,
        "stop_reason": str(verdict.reason),
        "sentence": verdict.sentence,
        "classifier": machine.classifier if machine else None,
        "rounds": [_round(row, after) for row, after in _rounds(campaign)],
        "wall_seconds": campaign.wall_seconds,
        "decision_seconds": campaign.decision_seconds,
        "training_seconds": campaign.training_seconds,
        "peak_memory_mb": peak_memory_mb(),
        "seed": spec.seed,
        "versions": versions(),
        "true_overall_error": true_overall_error(labels, campaign),
        "true_machine_error": true_machine_error(labels, campaign),
        "true_class_precision": {str(place): 1 - wrong / n for place, (n, wrong) in true_class_errors(labels, campaign).items()},
    }


def versions() -> dict[str, str]:
    """What was run on what: a figure without this is worth little."""
    found = {"mcal": __version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {"machine": f"{platform.machine()}, {_cpu()}, {os.cpu_count()} cores"}


def peak_memory_mb() -> float:
    """The most memory this process has held so far; the kernel counts it in kilobytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123 (a device, not a file)
            return next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def _looks(campaign: SimulatedCampaign) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for place, (asked, outcome) in enumerate(zip(campaign.history, campaign.history[1:], strict=False)):
        if isinstance(asked, Certify) and isinstance(outcome, CertificateOutcome):
            then = next(row for row in campaign.history[place + 2 :] if not isinstance(row, PeelBatch | PeelOrder))
            taken = then.n_machine if isinstance(then, LabelByMachine) and then.look == asked.look else 0
            rows.append(
                {
                    "look": asked.look,
                    "level": asked.level,
                    "n_certificate": len(outcome.ranks),
                    "n_pool": outcome.n_pool,
                    "errors_in_sample": int(outcome.errors.sum()),
                    "n_machine": taken,
                    "certified": taken > 0,
                }
            )
    return rows


def _rounds(campaign: SimulatedCampaign) -> Sequence[tuple[Observation, Decision]]:
    pairs = zip(campaign.history, campaign.history[1:], strict=False)
    return [
        (row, after)
        for row, after in pairs
        if isinstance(row, Observation) and not isinstance(after, Observation | CertificateOutcome | PeelOrder)
    ]


def _round(row: Observation, decision: Decision) -> dict[str, Any]:
    return {
        "round": row.round,
        "n_train": row.n_train,
        "n_pool": row.n_pool,
        "n_labels_paid": row.n_labels_paid,
        "n_survivors": int(row.survivors.sum()),
        "candidates": {
            one.classifier: {
                "test_accuracy": float(np.mean(one.correct)) if len(one.correct) else None,
                "training_seconds": one.training_seconds,
            }
            for one in row.measurements
        },
        "training_seconds": row.training_seconds,
        "decision": type(decision).__name__,
        "n_asked": decision.n_train if isinstance(decision, Acquire) else 0,
        "plan": None if decision.plan is None else asdict(decision.plan),
        "sentence": decision.sentence if isinstance(decision, Acquire) else decision.verdict.sentence,
    }
