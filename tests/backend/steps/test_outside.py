"""Campaigns whose candidate is asked, not trained: its answers are kept, its silence is people's work, and its end loses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from backend.campaign.state import Phase
from backend.outside.allowed import Allowed
from backend.outside.answers import ModelError, OutsideModel, Question, Reply, Subject
from backend.outside.ml_backend import MLBackend
from backend.steps.outside import OutsideTrainer, Trainers
from backend.store import Event, NewEvent
from mcal_engine.errors import InvalidValue
from tests.backend.outside import digits
from tests.backend.world import Killed, World, noise

NAME = "backend:http://model.test"
ALLOWED = Allowed({"http://model.test": None})


@dataclass
class Told:
    """A model that is mostly right, surer where it is, and has no answer to every ``silent``-th task."""

    silent: int = 10**9
    price: float = 0.0  # of an answer
    right: float = 0.95  # of its answers
    shift: int = 0  # added to each answer: what a model says after it was changed
    at_once: int = 16
    together: int = 1
    asked: Counter[int] = field(default_factory=Counter)
    before: Callable[[], None] = lambda: None
    closed: int = 0

    def identity(self, subject: Subject) -> str:
        return "told"

    def ready(self, subject: Subject) -> str:
        assert "Choices" in subject.label_config
        return "v1"

    def ask(self, subject: Subject, questions: Sequence[Question]) -> list[Reply]:
        self.before()
        self.asked.update(each.task_id for each in questions)
        return [self._reply(each.task_id) for each in questions]

    def close(self) -> None:
        self.closed += 1

    def _reply(self, task: int) -> Reply:
        if task % self.silent == 0:
            return Reply(None, price=self.price)
        random = noise(task + 10**6)
        right = random.random() < self.right
        confidence = 0.5 + 0.5 * random.random() if right else 0.6 * random.random()
        return Reply((World.truth(task) + (not right) + self.shift) % 3, confidence, self.price)


def campaign(tmp_path: Path, model: OutsideModel, **settings: object) -> World:
    world = World(tmp_path, n=300, start=False, **{"classifiers": NAME, **settings})
    asked = OutsideTrainer(world.store, world.label_studio, lambda candidate, prompt: model, world.now, pause_seconds=0)
    world.fresh_services(trainer=Trainers(ALLOWED, world.trainer, asked))
    world.begin()
    return world


@pytest.mark.slow
def test_a_campaign_ends_with_the_labels_of_a_model_that_is_asked_once_for_each_task(tmp_path: Path) -> None:
    model = Told()
    world = campaign(tmp_path, model)
    state = world.run()
    assert state.report is not None and state.report["certified"] and state.report["n_machine"] > 100
    assert set(model.asked.values()) == {1}
    wrong = sum(annotation.choice != world.right(task) for task, annotation in world.machine_annotations().items())
    assert wrong <= 0.05 * 300
    assert model.closed == len(state.observations)
    assert world.store.answers_paid(world.campaign.id) == {NAME: (299, 0.0)}  # all but the sentinel


@pytest.mark.slow
def test_what_answers_cost_is_in_the_bill_once_also_where_a_round_was_killed_after_they_were_bought(tmp_path: Path) -> None:
    model = Told(price=0.002)
    world = campaign(tmp_path, model, machine_price_per_hour=0)
    world.advance()
    world.label()
    keep, seen = world.store.append, 0

    def die(campaign_id: int, rows: Sequence[NewEvent], **more: object) -> list[Event]:
        nonlocal seen
        seen += any(row.kind == "observation" for row in rows)
        if seen == 2:
            raise Killed
        return keep(campaign_id, rows, **more)

    world.store.append = die
    with pytest.raises(Killed):
        world.advance()
    world.store.append = keep
    bought = len(model.asked) * 0.002
    assert bought > 0.5
    state = world.run()
    assert state.report is not None
    assert state.report["training_cost"] == pytest.approx(bought)
    assert state.report["total_cost"] == pytest.approx(bought + state.report["human_cost"])
    assert [row.bought for row in state.observations] == pytest.approx([40 * 0.002, bought - 40 * 0.002])  # T, then the pool
    assert set(model.asked.values()) == {1}


@pytest.mark.slow
def test_answers_that_cost_more_than_they_save_are_bought_for_the_test_items_alone(tmp_path: Path) -> None:
    model = Told(price=0.039)
    world = campaign(tmp_path, model, machine_price_per_hour=0)
    state = world.run()
    assert len(model.asked) == 40
    assert state.report is not None and state.report["n_machine"] == 0
    assert state.report["total_cost"] == pytest.approx(300 * 0.04 + 40 * 0.039)


@pytest.mark.slow
def test_a_race_begins_with_test_items_alone_and_goes_on_with_random_training_items(tmp_path: Path) -> None:
    model = Told(price=0.039)
    world = campaign(tmp_path, model, classifiers=f"frozen,{NAME}", machine_price_per_hour=0)
    state = world.run()
    assert [len(row.measurements) for row in state.observations[:2]] == [1, 2]
    assert [row.n_train for row in state.observations[:2]] == [0, 12]
    assert len(model.asked) == 40
    assert state.report is not None and state.report["classifier"] == "frozen" and state.report["n_machine"] > 0


@pytest.mark.slow
def test_a_learned_order_buys_what_it_learns_from_once_and_its_answers_are_the_model_s(tmp_path: Path) -> None:
    model = Told(price=0.0005, right=0.6)
    race = f"frozen,{NAME},ordered:{NAME}"
    world = campaign(tmp_path, model, classifiers=race, machine_price_per_hour=0, batch_size=6)
    state = world.run()
    measured = {one.classifier for row in state.observations for one in row.measurements}
    assert f"ordered:{NAME}" in measured
    assert set(model.asked.values()) == {1}
    assert state.report is not None
    assert state.report["training_cost"] == pytest.approx(0.0005 * len(model.asked))
    assert world.store.answers_paid(world.campaign.id)[NAME][1] == pytest.approx(0.0005 * len(model.asked))


def test_the_order_of_answers_that_the_operator_has_not_listed_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"MCAL_ML_BACKENDS, which lists http://model\.test"):
        ALLOWED.check(["frozen", "ordered:backend:http://169.254.169.254"])


@pytest.mark.slow
def test_what_the_model_has_no_answer_for_is_people_s(tmp_path: Path) -> None:
    world = campaign(tmp_path, Told(silent=4), target_error=0.2)
    world.run()
    machine = world.machine_annotations()
    assert machine
    assert not any(task % 4 == 0 for task in machine)


@pytest.mark.slow
def test_a_model_that_dies_and_comes_back_with_other_answers_is_asked_no_task_twice(tmp_path: Path) -> None:
    model = Told()
    world = campaign(tmp_path, model)
    calls = 0

    def die() -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise ModelError("the ML backend http://model.test cannot be reached: connection refused", retryable=True)

    model.before = die
    world.advance()
    world.label()
    with pytest.raises(ModelError, match="cannot be reached"):
        world.advance()
    assert (calls, len(model.asked)) == (5 + 3, 40 + 2 * 16)  # three batches for the test items; the sixth is tried three times
    model.before, model.shift = lambda: None, 1
    state = world.run(until={Phase.CERTIFYING, Phase.RESIDUAL})
    assert set(model.asked.values()) == {1}
    assert len(state.observations) >= 1


@pytest.mark.slow
def test_people_take_over_from_a_model_that_stays_away_where_the_admin_wants_that(tmp_path: Path) -> None:
    model = Told()

    def gone() -> None:
        raise ModelError("the ML backend http://model.test did not answer /predict within 100 s", retryable=True)

    model.before = gone
    world = campaign(tmp_path, model, classifiers=f"frozen,{NAME}", when_model_fails="people")
    state = world.run()
    assert state.report is not None and state.report["classifier"] == "frozen"
    assert world.store.answers_paid(world.campaign.id) == {}


@pytest.mark.slow
def test_another_campaign_on_the_same_tasks_asks_nothing_again(tmp_path: Path) -> None:
    model = Told()
    world = campaign(tmp_path, model)
    world.run()
    world.act("rollback")
    world.advance()
    asked = set(model.asked)
    for task in world.tasks[:100]:
        for annotation in world.annotations()[task]:
            world.label_studio.delete_annotation(annotation.id)
    first = world.campaign
    world.begin()
    world.run()
    assert world.campaign.id != first.id
    assert set(model.asked.values()) == {1}
    assert len(set(model.asked) - asked) <= 1  # the first campaign's sentinel


def test_a_candidate_that_the_operator_has_not_listed_does_not_begin_a_campaign(tmp_path: Path) -> None:
    world = World(tmp_path, start=False, classifiers="backend:http://169.254.169.254")
    world.fresh_services(check_race=ALLOWED.check)
    with pytest.raises(InvalidValue, match=r"MCAL_ML_BACKENDS, which lists http://model\.test"):
        world.begin()


@pytest.mark.slow
def test_label_studio_ml_s_own_server_labels_digits_in_a_campaign(tmp_path: Path) -> None:
    """The library's server of PyPI 1.0.9 with nearest means in it: right for four digits of five, so people keep the less sure ones."""
    app = digits.hosted()
    images, labels = digits.digits()
    world = World(tmp_path, n=400, start=False, classifiers=NAME, target_error=0.1, test_size=80)
    world.label_studio = type(world.label_studio)()
    world.label_studio.now = world.now
    world.people = [world.label_studio.add_user(f"{name}@example.com") for name in ("ann", "bob")]
    world.project = world.label_studio.add_project(digits.CONFIG, [digits.as_data_url(image) for image in images[:400]])
    world.tasks = world.label_studio.task_ids(world.project)
    truth = {task: digits.CHOICES[labels[place]] for place, task in enumerate(world.tasks)}
    world.right = truth.__getitem__
    model = lambda candidate, prompt: MLBackend(candidate.arguments["address"], transport=httpx.WSGITransport(app=app))  # noqa: E731
    asked = OutsideTrainer(world.store, world.label_studio, model, world.now)
    world.fresh_services(trainer=Trainers(ALLOWED, world.trainer, asked))
    world.begin()
    state = world.run()
    assert state.report is not None and state.report["n_machine"] > 0
    machine = world.machine_annotations()
    assert sum(annotation.choice != truth[task] for task, annotation in machine.items()) <= 0.1 * 400
