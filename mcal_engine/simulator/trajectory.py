"""Fixed-batch training runs with the truth beside them: what each batch size δ leads to, for Table 2 and the paper's figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mcal_engine import round as rounds
from mcal_engine.acquisition import NEEDS_FEATURES
from mcal_engine.certificates.uniform import allowance
from mcal_engine.simulator.labelled_images import LabelledData
from mcal_engine.simulator.machines import Machine, seed_of
from mcal_engine.simulator.truth import true_error_curve, true_largest_machine_set, true_wrong
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import TrainingRequest
from mcal_engine.types import FloatArray, IntArray

Step = dict[str, Any]
THETAS = np.round(np.arange(1, 21) * 0.05, 2)
TARGETS = (0.05, 0.10)  # error targets whose largest machine set is noted


def true_steps(
    data: LabelledData,
    ids: IntArray,
    spec: CampaignSpec,
    machine: Machine,
    delta: float,
    enough: Callable[[Step], bool],
    thetas: FloatArray = THETAS,
) -> list[Step]:
    """Train on δ, 2δ, 3δ … items, each batch acquired by ``spec.acquisition``, until ``enough`` or the pool is empty.

    Returns:
        One row per fit: |B|, seconds, errors on all the rest, the largest machine set for each of ``TARGETS``, ε_θ.
    """
    step = max(round(delta * len(ids)), 1)
    train = rounds.draw_random(spec, "train", 0, ids, min(step, len(ids)))
    none = ids[:0]
    steps: list[Step] = []
    while True:
        pool = np.setdiff1d(ids, train, assume_unique=True)
        if len(pool) == 0:
            return steps
        request = TrainingRequest(
            len(steps),
            machine.name,
            data.n_classes,
            train,
            data.labels[train],
            none,
            pool,
            seed_of(spec.seed, len(steps)),
            with_features=spec.acquisition in NEEDS_FEATURES,
            parts=data.parts,
        )
        scored = machine.fit_and_score(request, once=machine.prepare(ids) if not steps else 0.0)
        wrong = true_wrong(data.labels, pool, scored.pool_logits, spec.surety)
        steps.append(
            {
                "n_train": len(train),
                "n_pool": len(pool),
                "seconds": scored.training_seconds,
                "true_pool_errors": int(wrong.sum()),
                "true_largest_machine_set": {
                    f"{target:g}": true_largest_machine_set(wrong, allowance(target, len(ids))) for target in TARGETS
                },
                "true_error_curve": [None if np.isnan(error) else float(error) for error in true_error_curve(wrong, len(ids), thetas)],
            }
        )
        if enough(steps[-1]):
            return steps
        ranking = rounds.rank_for_people(spec, scored, pool, none, step, round=len(steps), distances=machine.distances)
        train = np.concatenate([train, ranking.ids])
