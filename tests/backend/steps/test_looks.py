"""A certificate sample that falls short by bad luck: the campaign goes on, it joins T, and a fresh sample decides."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from backend.campaign.state import Phase
from mcal_engine.types import Acquire, CertificateOutcome, Certify, LabelByMachine, Observation
from tests.backend.world import CHOICES, World

pytestmark = pytest.mark.slow

N, SLIPS = 800, 2


def unlucky(tmp_path: Path) -> World:
    """V is answered, with slips of the finger on the items that the machine is surest of."""
    world = World(tmp_path, n=N, test_size=60)
    state = world.run(until=[Phase.CERTIFYING])
    assert isinstance(state.decision, Certify)
    rank = {row.task_id: row.rank for row in world.store.frozen(world.campaign.id, 1)}
    for task in sorted(state.sample, key=rank.__getitem__)[: state.decision.n_certificate // 12 + SLIPS]:
        wrong = next(choice for choice in CHOICES if choice != world.right(task))
        world.label_studio.annotate(task, world.people[0], wrong)
    world.label()
    return world


@cache
def played(tmp_path: Path) -> World:
    world = unlucky(tmp_path)
    world.first = world.state()
    world.second = world.advance()
    world.run()
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return played(tmp_path_factory.mktemp("looks"))


def test_a_sample_that_certifies_too_little_becomes_part_of_the_test_set(world: World) -> None:
    sample, state = set(world.first.sample), world.second
    kinds = [type(row) for row in state.history]
    place = kinds.index(CertificateOutcome)
    assert kinds[place : place + 2] == [CertificateOutcome, Acquire]
    again = world.trainer.requests[place // 2]
    assert not sample & set(again.train_ids)
    assert sample <= set(again.score_ids)
    after = next(row for row in state.history[place + 1 :] if isinstance(row, Observation))
    assert sample <= set(after.test_ids.tolist())
    assert np.all(after.survivors[np.isin(after.test_ids, list(sample))])


def test_the_fresh_sample_is_disjoint_and_is_judged_at_its_own_share_of_the_level(world: World) -> None:
    final = world.state()
    assert final.report is not None
    looks = final.report["looks"]
    assert [look["look"] for look in looks] == [1, 2]
    assert [look["level"] for look in looks] == pytest.approx([0.04, 0.008])
    assert not set(final.sample) & set(world.first.sample)
    assert looks[0]["certified"] is False and looks[1]["certified"] is True
    assert isinstance(final.decision, LabelByMachine) and final.decision.look == 2
    wrong = sum(row.label != world.truth(row.task_id) for row in final.machine_labels if row.state == "written")
    assert wrong <= 0.05 * N


def test_every_item_is_counted_once_also_after_two_looks(world: World) -> None:
    report = world.state().report
    assert report is not None
    assert report["n_certificate"] == len(world.state().sample)
    assert report["human_items"] + report["n_machine"] + report["n_set_aside"] == N
    assert report["n_test"] + report["n_train"] + report["n_certificate"] + report["n_residual"] == report["human_items"]


def test_a_worker_that_restarts_at_every_step_comes_to_the_same_ledger(world: World, tmp_path: Path) -> None:
    other = unlucky(tmp_path)
    while not other.state().ended:
        other.fresh_services()
        other.advance()
        other.label()
    assert other.ledger() == world.ledger()


def test_where_the_admin_has_asked_to_stop_the_first_look_decides(tmp_path: Path) -> None:
    world = World(tmp_path, n=N, test_size=60)
    state = world.run(until=[Phase.TRAINING_DUE, Phase.COLLECTING])
    while len(state.observations) < 4:
        world.label()
        state = world.advance()
    world.act("stop", by="admin")
    report = world.run().report
    assert report is not None
    assert len(report["looks"]) <= 1
