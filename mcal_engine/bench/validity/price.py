"""What the promise costs: certified campaigns on the engine's own schedule, the paper's preset, and an oracle, on the same items."""

from __future__ import annotations

import time

import numpy as np

from mcal_engine import round as rounds
from mcal_engine.bench.validity import rules
from mcal_engine.bench.validity.worlds import Row, Task, World, spec_for
from mcal_engine.certificates.uniform import allowance, level_of_look
from mcal_engine.simulator.campaign import RoundView, simulate
from mcal_engine.simulator.machines import seed_of
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.truth import true_certified_machine_set, true_largest_machine_set, true_machine_errors, true_wrong
from mcal_engine.spec import CampaignSpec, preset_values
from mcal_engine.training import TrainingRequest
from mcal_engine.types import IntArray

ORACLE_STEP = 0.02  # of X: the oracle's batch
PRESETS = ("default", "paper")


def true_price_campaign(world: World, task: Task) -> Row:
    """Play one campaign of kind ``price``: both presets and the oracle at every target."""
    began = time.perf_counter()
    ids = world.items(task.items, task.seed)
    oracle, proven = true_oracle_labels(world, ids, task)
    readings: list[Row] = []
    for number, target in enumerate(task.targets):
        reading: Row = {"target_error": target, "allowed": allowance(target, len(ids)), "oracle": oracle[number]}
        reading["certified_oracle"] = proven[number]
        for preset in PRESETS:
            reading[preset] = true_outcome(world, ids, _spec(preset, len(ids), target, task.seed))
        readings.append(reading)
    return {"n_items": len(ids), "readings": readings, "seconds": round(time.perf_counter() - began, 3)}


def _spec(preset: str, n_items: int, target: float, seed: int) -> CampaignSpec:
    fixed = {name: value for name, value in preset_values(preset, n_items).items() if name not in {"target_error", "price_per_label"}}
    return spec_for(target, seed, **fixed)


def true_outcome(world: World, ids: IntArray, spec: CampaignSpec) -> Row:
    people, last = Annotators(world.labels), list[RoundView]()

    def keep(view: RoundView) -> None:
        last[:] = [view]

    campaign = simulate(ids, world.n_classes, people, spec, [world.machine], [keep])
    found: Row = {
        "human_labels": campaign.n_labels_paid,
        "n_machine": len(campaign.machine_ids),
        "errors": true_machine_errors(world.labels, campaign),
        "n_test": len(campaign.test_ids),
        "n_train": len(campaign.train_ids),
        "n_certificate": len(campaign.certificate_ids),
        "n_rounds": len(campaign.observations),
        "reason": str(campaign.decision.verdict.reason),
    }
    if spec.certifies:
        # What the survivors would have said at this stop, which was chosen by them: its optimism is what the engine's schedule adds.
        view = last[0]
        frozen, classes, sureties = rounds.freeze(view.pool_ids, view.scored[0].pool_logits)
        wrong = np.asarray(world.labels[frozen] != classes)
        # The machine has not been fitted since: these are the logits that the observation was measured on, by ascending test id.
        places = rules.places_in(sureties, world.machine.classifier.logits(view.observation.test_ids))
        cut = rules.survivors_cut(spec.target_error, view.observation, places)
        found |= {"estimate_ranked": cut, "estimate_errors": int(wrong[:cut].sum()), "pool_errors": int(wrong.sum())}
    return found


def true_oracle_labels(world: World, ids: IntArray, task: Task) -> tuple[list[int], list[int]]:
    """Fewest human labels, per target, of somebody who knows every pool label: no T, the best B and S* in steps of 2 % of X.

    Returns:
        Without any certificate; and with one, as it comes out in the mean, V being of the best size. The second is what no engine that
        certifies by a uniform V can go below.
    """
    spec = spec_for(task.targets[0], task.seed)
    step = max(round(ORACLE_STEP * len(ids)), 1)
    allowed = [allowance(target, len(ids)) for target in task.targets]
    level = level_of_look(spec.confidence_level, 1, spec.max_looks)
    plain, proven = [len(ids)] * len(allowed), [len(ids)] * len(allowed)
    train = rounds.draw_random(spec, "train", 0, ids, step)
    number = 0
    while len(train) < max(proven):
        pool = np.setdiff1d(ids, train, assume_unique=True)
        seed = seed_of(spec.seed, number)
        scored = world.machine.fit_and_score(
            TrainingRequest(number, world.machine.name, world.n_classes, train, world.labels[train], ids[:0], pool, seed)
        )
        wrong = true_wrong(world.labels, pool, scored.pool_logits)
        plain = [min(least, len(ids) - true_largest_machine_set(wrong, errors)) for least, errors in zip(plain, allowed, strict=True)]
        certified = [round(len(ids) - true_certified_machine_set(wrong, errors, level)) for errors in allowed]
        proven = [min(pair) for pair in zip(proven, certified, strict=True)]
        number += 1
        train = np.concatenate([train, rounds.rank_for_people(spec, scored, pool, ids[:0], step, round=number).ids])
    return plain, proven
