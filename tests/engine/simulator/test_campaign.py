"""Simulated campaigns: who sees which label, what is paid, what repeats, and what the report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcal_engine import codec
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator import truth
from mcal_engine.simulator.campaign import RoundView, SimulatedCampaign, simulate
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.simulator.machines import Machine, Stopwatch
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.report import report
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Certify, HumanLabelAll, IntArray, LabelByMachine
from tests.engine.simulator.toy import RidgeClassifier, toy_data, toy_machines

SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04)


def play(data: LabelledImages, spec: CampaignSpec = SPEC, **options: Any) -> SimulatedCampaign:
    machines = options.pop("machines", None) or toy_machines(data, *spec.classifiers)
    people = options.pop("people", None) or Annotators(data.labels)
    return simulate(np.arange(len(data)), data.n_classes, people, spec, machines, **options)


class Listener(Annotators):
    """People who remember what they were asked."""

    def __init__(self, labels: IntArray) -> None:
        super().__init__(labels)
        self.asked: list[int] = []

    def ask(self, ids: IntArray) -> IntArray:
        self.asked += ids.tolist()
        return super().ask(ids)


@pytest.mark.slow
def test_every_item_is_labelled_once_and_every_answer_is_paid() -> None:
    data = toy_data()
    people = Listener(data.labels)
    campaign = play(data, people=people)
    by_people = np.concatenate([campaign.test_ids, campaign.train_ids, campaign.certificate_ids, campaign.residual_ids])
    assert np.array_equal(np.sort(np.concatenate([by_people, campaign.machine_ids])), np.arange(len(data)))
    assert sorted(people.asked) == sorted(by_people.tolist())
    assert campaign.n_labels_paid == len(by_people)
    assert isinstance(campaign.decision, LabelByMachine)
    assert campaign.decision.n_machine == len(campaign.machine_ids) > 0.5 * len(data)
    assert campaign.total_cost == pytest.approx(0.04 * len(by_people) + campaign.training_seconds / 3600 * 0.20)


@pytest.mark.slow
def test_a_bound_per_class_holds_of_the_machine_s_labels_and_the_report_can_tell() -> None:
    data = toy_data(2400)
    campaign = play(data, SPEC.model_copy(update={"min_class_precision": 0.8}))
    found = report(campaign, data.labels)
    assert isinstance(campaign.decision, LabelByMachine)
    assert len(campaign.machine_ids) == campaign.decision.n_machine > 0
    kept = np.flatnonzero(campaign.decision.class_cuts)
    assert found["true_class_precision"].keys() == {str(place) for place in np.unique(campaign.machine_classes)}
    assert set(np.unique(campaign.machine_classes)) <= set(kept)
    assert min(found["true_class_precision"].values()) >= 0.8
    assert found["true_overall_error"] <= 0.05
    assert found["min_class_precision"] == 0.8
    assert codec.to_json(codec.from_json(codec.to_json(campaign.decision))) == codec.to_json(campaign.decision)


@pytest.mark.slow
def test_second_labels_are_paid_and_planned_and_change_no_answer() -> None:
    data = toy_data()
    spec = SPEC.model_copy(update={"overlap_share": 0.5})
    people = Listener(data.labels)
    campaign = play(data, spec, people=people)
    asked, times = np.unique(people.asked, return_counts=True)
    twice = asked[times == 2]
    assert times.max() == 2 and set(twice.tolist()) <= {*campaign.test_ids.tolist(), *campaign.certificate_ids.tolist()}
    assert len(np.intersect1d(twice, campaign.certificate_ids)) == int(0.5 * len(campaign.certificate_ids) + 0.5) > 0
    found = report(campaign, data.labels)
    assert found["second_labels"] == len(twice) and found["duplicates"] == 0
    assert found["human_labels"] == found["human_items"] + len(twice)
    asked_for = next(row for row in campaign.history if isinstance(row, Certify))
    by_hand = len(data) - asked_for.plan.n_machine + len(np.intersect1d(twice, campaign.test_ids)) + 0.5 * asked_for.plan.n_certificate
    assert asked_for.plan.human_cost == pytest.approx(0.04 * by_hand)


@pytest.mark.slow
def test_a_campaign_depends_on_no_label_that_was_not_asked_for() -> None:
    """Scrambling the truth of all items the machine labels must change nothing but the true error."""
    data = toy_data()
    first = play(data)
    other = data.labels.copy()
    other[first.machine_ids] = (other[first.machine_ids] + 1) % data.n_classes
    second = play(data.with_labels(other, "other"))
    assert [codec.to_json(row) for row in first.history] == [codec.to_json(row) for row in second.history]
    assert np.array_equal(first.machine_classes, second.machine_classes)
    assert truth.true_overall_error(other, second) > truth.true_overall_error(data.labels, first)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_campaign_and_another_seed_another() -> None:
    data = toy_data()
    first, again, other = play(data), play(data), play(data, SPEC.model_copy(update={"seed": 1}))
    assert [codec.to_json(row) for row in first.history] == [codec.to_json(row) for row in again.history]
    assert np.array_equal(first.machine_ids, again.machine_ids)
    assert not np.array_equal(first.test_ids, other.test_ids)


@pytest.mark.slow
def test_the_certified_error_holds_on_the_toy_world() -> None:
    broken = 0
    for seed in range(12):
        data = toy_data(seed=seed, noise=75)
        campaign = play(data, SPEC.model_copy(update={"seed": seed}))
        broken += truth.true_overall_error(data.labels, campaign) > 0.05
    assert broken <= 2


def test_a_machine_label_at_an_estimate_needs_no_certificate_sample() -> None:
    campaign = play(toy_data(), SPEC.model_copy(update={"guarantee": "estimate"}))
    assert len(campaign.certificate_ids) == 0
    assert isinstance(campaign.decision, LabelByMachine)
    assert not campaign.decision.certified


@pytest.mark.slow
def test_hopeless_labels_end_with_people_labelling_everything() -> None:
    data = toy_data()
    shuffled = data.with_labels(np.random.default_rng(0).permutation(data.labels), "shuffled")
    campaign = play(shuffled)
    assert isinstance(campaign.decision, HumanLabelAll)
    assert len(campaign.machine_ids) == 0
    assert campaign.n_labels_paid == len(data)
    assert truth.true_overall_error(shuffled.labels, campaign) == 0.0


@pytest.mark.slow
def test_random_acquisition_leaves_every_test_item_a_survivor() -> None:
    campaign = play(toy_data(), SPEC.model_copy(update={"acquisition": "random"}))
    assert all(row.survivors.all() for row in campaign.observations)


@pytest.mark.slow
def test_survivors_estimate_the_pools_error_where_the_whole_test_set_would_not() -> None:
    """Acquisition takes the hard items out of the pool, so T as it was drawn is harder than the pool."""
    with_survivors, with_all = [], []
    for seed in range(8):
        data = toy_data(2400, noise=90, seed=seed)

        def look(view: RoundView, data: LabelledImages = data) -> None:
            if view.observation.round >= 4:
                wrong = truth.true_wrong(data.labels, view.pool_ids, view.scored[0].pool_logits)
                correct = view.observation.measurements[0].correct
                with_survivors.append(np.mean(~correct[view.observation.survivors]) - wrong.mean())
                with_all.append(np.mean(~correct) - wrong.mean())

        play(data, SPEC.model_copy(update={"seed": seed, "test_size": 600}), observers=[look])
    assert abs(np.mean(with_survivors)) < 0.01
    assert np.mean(with_all) > 2 * abs(np.mean(with_survivors))


@pytest.mark.slow
def test_a_race_trains_every_candidate_and_pays_for_all_of_them() -> None:
    data = toy_data()
    spec = SPEC.model_copy(update={"classifiers": ("frozen", "cnn")})
    campaign = play(data, spec)
    assert {m.classifier for m in campaign.observations[0].measurements} == {"frozen", "cnn"}
    assert campaign.observations[0].training_seconds == pytest.approx(2 * (0.5 + 0.001 * len(data)))


@pytest.mark.slow
def test_a_first_draw_of_one_class_only_is_followed_by_more_random_labels() -> None:
    data = toy_data(1000, n_classes=2)
    rare = np.where(np.arange(1000) < 15, 1, 0)
    images = data.images[np.concatenate([np.flatnonzero(data.labels == 1)[:15], np.flatnonzero(data.labels == 0).repeat(3)[:985]])]
    unbalanced = LabelledImages("unbalanced", images, rare, ("common", "rare"))
    sizes = []
    for seed in range(6):
        campaign = play(unbalanced, SPEC.model_copy(update={"seed": seed, "batch_size": 10}))
        sizes.append(campaign.observations[0].n_train)
        assert len(campaign.ids) == 1000
    assert max(sizes) > 10
    assert all(size % 10 == 0 for size in sizes)


def test_a_missing_machine_is_named() -> None:
    with pytest.raises(InvalidValue, match="no machine was given for the classifiers cnn"):
        play(toy_data(), SPEC.model_copy(update={"classifiers": ("cnn",)}), machines=toy_machines(toy_data(), "frozen"))


@pytest.mark.slow
def test_the_report_has_every_key_and_its_counts_and_costs_add_up() -> None:
    data = toy_data()
    campaign = play(data)
    found = json.loads(json.dumps(report(campaign, data.labels)))
    assert found["human_items"] + found["n_machine"] + found["n_set_aside"] == found["n_items"] == len(data)
    assert found["n_test"] + found["n_train"] + found["n_certificate"] + found["n_residual"] == found["human_items"]
    assert found["total_cost"] == pytest.approx(found["human_cost"] + found["training_cost"])
    assert found["savings"] == pytest.approx(1 - found["total_cost"] / found["human_only_cost"])
    assert found["certified"] and found["looks"][0]["n_certificate"] == found["n_certificate"]
    assert found["true_overall_error"] == pytest.approx(found["true_machine_error"] * found["n_machine"] / found["n_items"])
    assert len(found["rounds"]) == len(campaign.observations)
    assert found["rounds"][-1]["decision"] == "Certify"
    assert found["stop_reason"] in {"no_gain", "optimum_reached"}
    wanted = (
        "n_items n_test n_train n_certificate n_machine n_residual n_set_aside n_preexisting human_items human_labels duplicates "
        "second_labels price_per_label human_cost machine_price_per_hour training_cost total_cost human_only_cost savings currency "
        "target_error "
        "error_estimate error_upper_bound confidence_level looks certified stop_reason classifier rounds wall_seconds training_seconds "
        "seed versions true_overall_error true_machine_error"
    )
    assert set(wanted.split()) <= set(found)


def test_a_stopwatch_charges_a_repeated_fit_what_the_first_one_took(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "seconds.jsonl"
    assert Stopwatch(file).time("fit", lambda: 2.5) == 2.5
    assert Stopwatch(file).time("fit", lambda: 0.01) == 2.5
    file.write_text(file.read_text() + '["cut off')
    assert Stopwatch(file).time("fit", lambda: 0.01) == 2.5
    assert 0 <= Stopwatch(file).time("real", lambda: None) < 1


def test_embedding_is_charged_by_item_also_where_it_was_done_before() -> None:
    data = toy_data()
    machine = Machine("ridge", RidgeClassifier(toy_machines(data)[0].classifier._images))  # type: ignore[attr-defined]
    assert machine.prepare(np.arange(500)) == pytest.approx(0.5)
    assert machine.prepare(np.arange(300)) == pytest.approx(0.3)
    assert machine.prepare(np.arange(1000)) == pytest.approx(1.0)
