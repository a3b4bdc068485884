"""After the sample in two bands is read, people label the least trusted items batch by batch; then the machine's labels are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.campaign import events, history
from backend.campaign.state import Phase
from backend.steering.control import change_settings
from backend.views.campaign import campaign_view
from backend.views.certificate import certificate
from backend.views.predictions import predictions
from backend.views.report import make_report
from backend.views.review import review
from mcal_engine import codec, engine, peeling
from mcal_engine.certificates import peel
from mcal_engine.types import HumanLabelAll, LabelByMachine, PeelBatch
from tests.backend.kills import Snapshot
from tests.backend.steps.audited import another
from tests.backend.steps.test_crash import die, strike_everywhere
from tests.backend.world import World

pytestmark = pytest.mark.slow

BANDS: dict[str, Any] = {"certificate_rule": "two_bands", "max_looks": 1, "max_rounds": 4, "test_size": 20, "batch_size": 10}


def unsure(folder: Path, **settings: Any) -> World:
    """A classifier that is often wrong: the sample holds errors, and some must be peeled away."""
    world = World(folder, n=settings.pop("n", 260), **BANDS | settings)
    world.trainer.skill = lambda request: 0.9
    return world


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Snapshot]]:
    """A campaign whose people are asked to peel, and the moment before they do."""
    world = unsure(tmp_path_factory.mktemp("peel") / "world")
    assert world.run(until=[Phase.PEELING]).stage == Phase.PEELING
    before = Snapshot.of(world)
    yield world, before
    before.close()


@pytest.fixture
def world(begun: tuple[World, Snapshot]) -> World:
    world, before = begun
    before.restore(world)
    world.trainer.requests.clear()
    return world


def frozen_tasks(world: World) -> list[int]:
    return [row.task_id for row in world.store.frozen(world.campaign.id, 1)]


def inside(world: World) -> set[int]:
    """Tasks that are still inside, as the history alone says."""
    standing, tasks = peeling.standing(world.state().history).state, frozen_tasks(world)
    return {tasks[rank] for rank in np.flatnonzero(standing.inside).tolist()}


def test_the_sample_is_drawn_in_two_bands_by_bits_made_after_the_freeze_and_served_in_an_order_that_tells_nothing(tmp_path: Path) -> None:
    world = unsure(tmp_path)
    state = world.run(until=[Phase.CERTIFYING])
    frozen = history.read(world.store, world.campaign.id, events.PoolFrozen)[-1].event
    assert frozen.bands is not None
    assert frozen.bands == state.bands
    tasks = np.array(frozen_tasks(world))
    drawn = tasks[peel.draw(frozen.bands, int(frozen.entropy, 16))].tolist()
    assert sorted(drawn) == sorted(state.sample)
    assert drawn != list(state.sample)


def test_people_label_the_least_trusted_items_and_what_stays_inside_becomes_the_machine_s(world: World) -> None:
    state = world.state()
    sample, n_batches = set(state.sample), 0
    view = campaign_view(state, world.campaign, history.entries(world.store.events(1)), world.now())
    assert view["stage"] == "peeling"
    while state.stage == Phase.PEELING:
        assert state.queue is not None
        assert state.queue.kind == "peel"
        assert not set(state.queue.ids) & (sample | inside(world))
        assert not state.queue.suggestions
        assert not world.machine_annotations()
        assert not review(world.store, state)["errors"]  # the sample stays hidden until the peel has ended
        assert predictions(world.store, world.label_studio.url, world.project, world.tasks, world.now()) == {}
        assert certificate(state, make_report(state, world.now()))["status"] == "running"
        before = inside(world)
        world.label()
        n_trained = len(world.trainer.requests)
        state = world.advance()
        for request in world.trainer.requests[n_trained:]:
            assert not set(request.train_ids.tolist()) & before  # the ranker learns from nothing that is inside, V's items above all
            assert set(request.pool_ids.tolist()) <= before
            assert set(request.pool_ids.tolist()) & sample
        n_batches += 1
    assert n_batches >= 2
    left = inside(world) if state.stage == Phase.PEELING else set()
    assert not left
    state = world.run()
    decision = state.decision
    assert isinstance(decision, LabelByMachine)
    tasks = frozen_tasks(world)
    expected = {tasks[rank] for rank in range(decision.n_ranked) if rank not in set(decision.peeled)} - sample
    assert set(world.machine_annotations()) == expected
    assert len(expected) == decision.n_machine
    assert state.report is not None
    assert state.report["certified"] is True
    assert state.report["training_seconds"] > sum(row.training_seconds for row in state.observations)
    assert state.report["looks"][0]["n_machine"] == decision.n_machine
    assert [row["errors_in_sample"] for row in state.report["looks"]] == [int(state.outcomes[0].errors.sum())]
    assert review(world.store, state)["errors"]
    told = certificate(state, make_report(state, world.now()))
    assert told["status"] == "certified"
    assert f"So the machine labels the {decision.n_machine:,} items" in " ".join(told["steps"])


def test_a_worker_that_dies_anywhere_in_a_peel_is_followed_by_one_that_ends_it_with_the_same_set(tmp_path: Path) -> None:
    world = unsure(tmp_path, n=205)
    world.run(until=[Phase.CERTIFYING])
    world.label()
    struck = strike_everywhere(world, die, stride=2)
    assert sum(queue.kind == "peel" for queue in world.state().queues) >= 2
    assert {"trainer", "store.append"} <= set(struck)


def test_tasks_that_are_deleted_skipped_or_labelled_meanwhile_change_no_order_and_are_nobody_s_machine_label(world: World) -> None:
    def after_a_batch() -> list[int]:
        world.label()
        world.advance()
        return history.read(world.store, world.campaign.id, events.PeelRanked)[-1].event.order.order.tolist()

    before = Snapshot.of(world)
    before.restore(world)
    undisturbed = after_a_batch()
    before.restore(world)
    before.close()
    sample = set(world.state().sample)
    within = [task for task in frozen_tasks(world) if task in inside(world)]
    deleted, of_sample = [task for task in within if task not in sample][-2:], [task for task in within if task in sample][-1]
    by_hand = [task for task in within if task not in sample][-12]
    for task in (*deleted, of_sample):
        world.label_studio.delete_task(task)
    world.label_studio.annotate(by_hand, world.people[0], another(world.right(by_hand)))
    assert after_a_batch() == undisturbed
    ended = world.run()
    assert not {*deleted, of_sample, by_hand} & {row.task_id for row in ended.machine_labels}
    assert isinstance(ended.decision, LabelByMachine)


def test_where_an_image_is_nowhere_any_more_people_label_the_band_and_the_sure_one_stays_the_machine_s(world: World) -> None:
    state = world.state()
    lost = [task for task in frozen_tasks(world) if task in inside(world)][-1]
    world.label_studio.delete_task(lost)
    world.shelf.there.discard(lost)
    world.label()
    state = world.advance()
    assert state.bands is not None
    decision = state.decision
    assert not isinstance(decision, PeelBatch)
    if isinstance(decision, LabelByMachine):
        assert decision.n_ranked <= state.bands.n_sure


def test_in_a_peel_settings_are_those_of_the_draw_the_search_cannot_be_stopped_again_and_people_may_take_over(world: World) -> None:
    notes = change_settings(world.store, world.campaign.id, {"target_error": 0.3, "certificate_rule": "uniform"}, world.now(), by="ann")
    assert "the certificate sample was drawn for the settings before" in " ".join(notes)
    assert world.state().settings.target_error == 0.05
    assert "is not searching any more: it is peeling" in world.act("stop")
    world.act("label-all")
    state = world.advance()
    assert isinstance(state.decision, HumanLabelAll)
    assert state.stage == Phase.RESIDUAL


def test_a_look_that_was_drawn_uniformly_is_finished_so_whatever_the_setting_has_become(tmp_path: Path) -> None:
    world = World(tmp_path, n=260, certificate_rule="uniform")
    state = world.run(until=[Phase.CERTIFYING])
    assert state.bands is None
    change_settings(world.store, world.campaign.id, {"certificate_rule": "two_bands", "max_looks": 1}, world.now(), by="ann")
    state = world.run()
    assert isinstance(state.decision, LabelByMachine)
    assert state.decision.peeled == ()
    assert not any(queue.kind == "peel" for queue in state.queues)


def test_every_decision_of_a_peel_follows_from_the_rows_before_it(world: World) -> None:
    state = world.run()
    for place, row in enumerate(state.history):
        if isinstance(row, PeelBatch | LabelByMachine):
            again = engine.decide(state.settings, state.history[:place])
            assert codec.to_json(again) == codec.to_json(row)
