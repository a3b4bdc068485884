"""One campaign read at several error targets by every rule, with the truth beside it: who would have kept ε, and with how many labels.

The size of V, its reading, the peel and the decision are the product's.
"""

from __future__ import annotations

import time

import numpy as np

from mcal_engine import peeling, streams
from mcal_engine import round as rounds
from mcal_engine.bench.validity import rules
from mcal_engine.bench.validity.worlds import Row, Task, Trajectory, World, fixed_trajectory, spec_for
from mcal_engine.certificates import peel, uniform
from mcal_engine.engine import decide
from mcal_engine.simulator.machines import seed_of
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.truth import true_largest_machine_set
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import TrainingRequest
from mcal_engine.types import BoolArray, Certify, Decision, IntArray, LabelByMachine, PeelBatch, PeelOrder
from mcal_engine.types import Row as HistoryRow

UNIFORM = {"certificate_rule": "uniform", "max_looks": 3}
DELETED = 0.02  # of the pool: tasks that are gone after V was drawn, V's among them
SKIPPED_IF_WRONG, SKIPPED_IF_RIGHT = 0.3, 0.02  # people skip what is hard, and what is hard the machine gets wrong


def true_fixed_campaign(world: World, task: Task) -> Row:
    """Play one campaign of kind ``fixed`` and read it at every target."""
    began = time.perf_counter()
    people = Annotators(world.labels)
    trajectory = fixed_trajectory(world, people, task)
    wrong = np.asarray(world.labels[trajectory.frozen] != trajectory.classes)
    readings = [_true_reading(world, people, task, trajectory, wrong, number) for number in range(len(task.targets))]
    observation = trajectory.observation
    return {
        "n_items": len(trajectory.ids),
        "n_test": len(observation.test_ids),
        "n_survivors": int(observation.survivors.sum()),
        "n_train": observation.n_train,
        "n_pool": observation.n_pool,
        "pool_errors": int(wrong.sum()),
        "readings": readings,
        "seconds": round(time.perf_counter() - began, 3),
    }


def _true_reading(world: World, people: Annotators, task: Task, trajectory: Trajectory, wrong: BoolArray, number: int) -> Row:
    """One target: what each rule gives to the machine, and how much of that is wrong."""
    # V gets a seed of its own at each target: given the trajectory, the targets' certificates then fail independently of each other.
    seed = seed_of(task.seed, 1000 + number) >> 1
    spec = spec_for(task.targets[number], seed, **UNIFORM)
    observation = trajectory.observation
    found: dict[str, list[int]] = {}

    def note(rule: str, n_ranked: int, sample: IntArray) -> None:
        machine = ~np.isin(trajectory.frozen[:n_ranked], sample)
        found[rule] = [int(machine.sum()), int(wrong[:n_ranked][machine].sum())]

    nothing = trajectory.frozen[:0]
    target, places = spec.target_error, trajectory.places
    note("plug_in_all_of_T", rules.plug_in_cut(target, observation, places), nothing)
    note("theta_grid", rules.theta_grid_cut(spec, observation), nothing)
    note("survivors", rules.survivors_cut(target, observation, places), nothing)
    note("engine_estimate", rules.engine_estimate_cut(spec, observation), nothing)
    reading: Row = {
        "target_error": spec.target_error,
        "allowed": uniform.allowance(spec.target_error, observation.n_items),
        "rules": found,
    }
    reading["n_oracle"] = true_largest_machine_set(wrong, reading["allowed"])
    found |= _true_bands(world, spec_for(task.targets[number], seed), trajectory, wrong)
    asked = rules.certify_request(spec, observation)
    if asked is None:
        found["certificate"] = [0, 0]
        return reading
    sample = rounds.draw_random(spec, "certificate", 1, trajectory.frozen, asked.n_certificate)
    answers: dict[int, int | None] = {int(item): int(label) for item, label in zip(sample, people.ask(sample), strict=True)}
    outcome = rounds.outcome(1, trajectory.frozen, trajectory.classes, answers, people.n_labels_paid)
    history: list[HistoryRow] = [observation, asked]
    note("certificate", rules.certified_cut(spec, [*history, outcome]), sample)
    for rule, n_ranked in rules.cross_checks(outcome, reading["allowed"], asked.level).items():
        note(rule, n_ranked, sample)
    for item in _true_skips(spec, trajectory, wrong, sample):
        answers[item] = None
    skipped = rounds.outcome(1, trajectory.frozen, trajectory.classes, answers, people.n_labels_paid)
    note("certificate_with_skips", rules.certified_cut(spec, [*history, skipped]), sample)
    tolerated = uniform.tolerated_errors(n_pool=outcome.n_pool, n_sample=len(outcome.ranks), allowed=reading["allowed"], level=asked.level)
    return reading | {
        "n_certificate": asked.n_certificate,
        "level": asked.level,
        "tolerated": tolerated,
        "sample_errors": int(outcome.errors.sum()),
    }


def _true_bands(world: World, spec: CampaignSpec, trajectory: Trajectory, wrong: BoolArray) -> dict[str, list[int]]:
    """Machine labels and errors of the default certificate: as people answer everything, and with items that are skipped or deleted."""
    asked = rules.certify_request(spec, trajectory.observation)
    bands = None if asked is None else rounds.bands_of(spec, asked, len(trajectory.frozen))
    if asked is None or bands is None:
        return {"two_bands": [0, 0]}
    ranks = peel.draw(bands, streams.entropy(spec.seed, "certificate", asked.look))
    skipped = _true_skips(spec, trajectory, wrong, trajectory.frozen[ranks])
    deleted = rounds.draw_random(spec, "skips", 1, trajectory.frozen, round(DELETED * len(trajectory.frozen)))
    found = {}
    for rule, absent in (("two_bands", trajectory.frozen[:0]), ("two_bands_with_skips", np.union1d(skipped, deleted).astype(np.int64))):
        machine = _true_peel(world, spec, asked, trajectory, wrong, ranks, absent)
        machine &= ~np.isin(trajectory.frozen, deleted) | (len(absent) == 0)
        found[rule] = [int(machine.sum()), int(wrong[machine].sum())]
    return found


def _true_peel(
    world: World, spec: CampaignSpec, asked: Certify, trajectory: Trajectory, wrong: BoolArray, ranks: IntArray, absent: IntArray
) -> BoolArray:
    """Which places of the frozen order the machine gets once V of these ``ranks`` is read and the peel has ended.

    ``absent``: items that nobody labels; V's among them count as errors, and the ranker learns from none of them.
    """
    frozen, classes = trajectory.frozen, trajectory.classes
    bands = rounds.bands_of(spec, asked, len(frozen))
    gone = set(absent.tolist())
    answers = {item: None if item in gone else int(world.labels[item]) for item in frozen[ranks].tolist()}
    outcome = rounds.outcome(asked.look, frozen, classes, answers, 0, bands=bands)
    history: list[HistoryRow] = [trajectory.observation, asked, outcome]
    decision: Decision = decide(spec, history)
    while isinstance(decision, PeelBatch):
        history.append(decision)
        state = peeling.standing(history).state
        left = np.setdiff1d(frozen[state.reading.n_sure :], frozen[state.peelable])
        learnt = np.concatenate([trajectory.train, trajectory.observation.test_ids, np.setdiff1d(left, absent)])
        request = TrainingRequest(
            len(history), world.machine.name, world.n_classes, learnt, world.labels[learnt], frozen[:0], frozen[state.peelable], spec.seed
        )
        scored = world.machine.fit_and_score(request)
        order = peel.least_trusted_first(state.peelable, scored.pool_logits, classes[state.peelable])
        history.append(PeelOrder(asked.look, order[: peeling.batch_size(trajectory.observation.n_items)], 0, scored.training_seconds))
        decision = decide(spec, history)
    machine: BoolArray = np.zeros(len(frozen), dtype=np.bool_)
    if isinstance(decision, LabelByMachine):
        machine = rounds.in_machine_set(decision, classes)
    machine[ranks] = False
    return machine


def _true_skips(spec: CampaignSpec, trajectory: Trajectory, wrong: BoolArray, sample: IntArray) -> list[int]:
    """Items of V that people skip: more often those that are hard, told by the machine being wrong about them."""
    generator = streams.generator(spec.seed, "skips")
    of_sample = np.isin(trajectory.frozen, sample)
    chance = np.where(wrong, SKIPPED_IF_WRONG, SKIPPED_IF_RIGHT)
    return [int(item) for item in trajectory.frozen[of_sample & (generator.random(len(wrong)) < chance)]]
