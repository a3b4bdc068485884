"""The validity benchmark: green as the product is, red as soon as one of its rules is broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from backend.cli.bench import bench
from mcal_engine.bench.validity import bench as validity_bench
from mcal_engine.bench.validity import findings as validity_findings
from mcal_engine.bench.validity import table as validity_table
from mcal_engine.bench.validity.mutations import MUTATIONS, mutated
from mcal_engine.bench.validity.price import true_oracle_labels
from mcal_engine.bench.validity.reading import true_fixed_campaign
from mcal_engine.bench.validity.worlds import Task, World, fixed_trajectory, key
from mcal_engine.certificates import uniform
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.truth import true_certified_machine_set, true_largest_machine_set
from mcal_engine.types import CertificateOutcome
from tests.engine.simulator.toy import toy_data

ITEMS = 800


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("features") / "features.npy", 200)


def make_world(file: Path, noise: float) -> World:
    data = toy_data(4000, noise=noise)
    pixels = data.images[..., 0].reshape(len(data), -1)
    np.save(file, pixels.astype(np.float32) / 64 - 2)
    return World("toy", data.digest, data.labels, data.n_classes, file)


def rows_of(world: World, task: Task, campaigns: int) -> list[dict[str, Any]]:
    return [validity_bench.play(world, replace(task, seed=seed)) for seed in range(campaigns)]


def red(rows: list[dict[str, Any]], name: str) -> bool:
    return any(not finding.good and finding.sentence.startswith(name) for finding in validity_findings.findings(rows))


TASK = Task("fixed", 0, ITEMS, 0.1, (0.05,))


def test_a_campaign_is_a_function_of_its_task(world: World) -> None:
    first, second = (true_fixed_campaign(world, TASK) for _ in range(2))
    assert first | {"seconds": 0} == second | {"seconds": 0}
    assert true_fixed_campaign(world, replace(TASK, seed=1)) | {"seconds": 0} != first | {"seconds": 0}


@pytest.mark.slow
def test_a_reading_adds_up(world: World) -> None:
    row = true_fixed_campaign(world, replace(TASK, targets=(0.02, 0.05, 0.1)))
    assert row["n_test"] + row["n_train"] + row["n_pool"] == row["n_items"] == ITEMS
    assert row["n_train"] == 80
    oracle = [reading["n_oracle"] for reading in row["readings"]]
    assert oracle == sorted(oracle)
    for reading in row["readings"]:
        for n_machine, errors in reading["rules"].values():
            assert 0 <= errors <= n_machine <= row["n_pool"]
            assert errors <= row["pool_errors"]


def test_the_fixed_schedule_does_not_look_at_the_test_labels(world: World) -> None:
    honest = fixed_trajectory(world, Annotators(world.labels), TASK)
    lies = world.labels.copy()
    lies[honest.observation.test_ids] = (lies[honest.observation.test_ids] + 1) % world.n_classes
    fooled = fixed_trajectory(world, Annotators(lies), TASK)
    assert np.array_equal(honest.train, fooled.train)
    assert np.array_equal(honest.frozen, fooled.frozen)
    assert np.array_equal(honest.observation.survivors, fooled.observation.survivors)


@pytest.mark.slow
def test_the_benchmark_is_green_as_the_product_is(world: World) -> None:
    rows = rows_of(world, TASK, 30)
    assert all(finding.good for finding in validity_findings.findings(rows))
    shares = validity_findings.broken(rows)
    assert validity_findings.pooled(shares["survivors"]).k >= 6  # the plug-in estimate breaks ε in about half of all runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutation", "rule"),
    [
        ("plug_in_count", "uniform certificate"),
        ("skips_dropped", "uniform certificate, people skip"),
    ],
)
def test_a_broken_rule_turns_the_benchmark_red(world: World, mutation: str, rule: str) -> None:
    assert red(rows_of(world, replace(TASK, items=3000, targets=(0.1,), mutation=mutation), 20), rule)


@pytest.mark.slow
def test_all_of_the_test_set_in_place_of_its_survivors_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity_findings, "ESTIMATE_ITEMS", 4000)
    world, task, cell = make_world(tmp_path / "features.npy", 150), Task("fixed", 0, 4000, 0.3, (0.05,)), ("toy", 4000, 0.05)
    kept = validity_findings.estimates(rows_of(world, task, 30), "fixed")[cell]
    rows = rows_of(world, replace(task, mutation="all_of_T"), 30)
    skimmed = validity_findings.estimates(rows, "fixed")[cell]
    assert kept.binds
    assert abs(kept.ratio - 1) < 3 * kept.error
    assert abs(skimmed.ratio - 1) > 3 * skimmed.error
    assert red(rows, "survivors")


def test_a_mutation_ends_with_its_block() -> None:
    before = [getattr(where, attribute) for where, attribute, _ in MUTATIONS.values()]
    for name in MUTATIONS:
        with mutated(name):
            assert [getattr(where, attribute) for where, attribute, _ in MUTATIONS.values()] != before
    assert [getattr(where, attribute) for where, attribute, _ in MUTATIONS.values()] == before
    with pytest.raises(InvalidValue, match="mutation must be one of plug_in_count"), mutated("none such"):
        pass


@pytest.mark.slow
def test_the_price_of_the_promise_stands_beside_the_papers_and_an_oracles(world: World) -> None:
    row = validity_bench.play(world, Task("price", 0, ITEMS, 0.1, (0.05,)))
    reading = row["result"]["readings"][0]
    for preset in ("default", "paper"):
        assert reading[preset]["human_labels"] + reading[preset]["n_machine"] == ITEMS
    assert 0 < reading["oracle"] < reading["certified_oracle"] < ITEMS
    assert reading["oracle"] <= reading["default"]["human_labels"]
    assert "| toy | 800 | 5% | 1 |" in validity_table.price_table([row])
    assert json.loads(json.dumps(row)) == row


def test_the_oracle_needs_no_fewer_labels_for_a_stricter_target(world: World) -> None:
    ids = world.items(ITEMS, 0)
    plain, proven = true_oracle_labels(world, ids, Task("price", 0, ITEMS, 0.1, (0.02, 0.1)))
    assert 0 < plain[1] < plain[0] < ITEMS
    assert proven[0] >= proven[1]
    assert all(least < with_proof for least, with_proof in zip(plain, proven, strict=True))


@pytest.mark.slow
def test_what_an_oracle_pays_for_its_proof_is_the_mean_over_draws_of_the_best_sample() -> None:
    """Against the rule itself, played: no size of V does better, and the best one does as well."""
    generator = np.random.default_rng(4)
    wrong = generator.random(6000) < 0.4 * (np.arange(6000) / 6000) ** 3
    allowed, level = 300, 0.04
    promised = true_certified_machine_set(wrong, allowed, level)
    means = []
    for n in (100, 200, 300, 400, 600, 900):
        sizes = []
        for _ in range(200):
            ranks = np.sort(generator.permutation(len(wrong))[:n])
            sizes.append(uniform.certify(CertificateOutcome(1, len(wrong), ranks, wrong[ranks], n), allowed=allowed, level=level).n_machine)
        means.append((np.mean(sizes), np.std(sizes) / np.sqrt(len(sizes))))
    assert all(mean < promised + 4 * error for mean, error in means)
    assert max(mean for mean, _ in means) == pytest.approx(promised, rel=0.03)
    assert promised < true_largest_machine_set(wrong, allowed)
    assert true_certified_machine_set(wrong[:200], allowed, level) == 200


def test_the_plan_has_every_size_the_data_allows() -> None:
    def sizes(n_data: int, **given: Any) -> dict[tuple[str, int | None], int]:
        tasks = validity_bench.plan(n_data, campaigns=30, price_campaigns=2, **given)
        assert len({(task.kind, task.items, task.seed) for task in tasks}) == len(tasks)
        kinds = [(task.kind, task.items) for task in tasks]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    assert sizes(70_000) == {("fixed", 1500): 30, ("fixed", 10_000): 30, ("fixed", 70_000): 20, ("price", 1500): 2, ("price", 10_000): 2}
    assert sizes(3781) == {("fixed", 1500): 30, ("price", 1500): 2}
    assert sizes(900) == {("fixed", 900): 30, ("price", 900): 2}
    assert sizes(70_000, items=700) == {("fixed", 700): 30, ("price", 700): 2}


@pytest.mark.slow
def test_a_stopped_benchmark_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    tasks = [replace(TASK, items=400, seed=seed) for seed in range(3)]
    out, said = tmp_path / "validity.jsonl", list[str]()
    first = validity_bench.go(world, tasks[:2], out, 1, said.append)
    text = out.read_text()
    out.write_text(text[: len(text) - 30])  # killed while it wrote
    again = validity_bench.go(world, tasks, out, 1, said.append)
    assert said == ["2 of 2 campaigns", "2 of 2 campaigns"]
    assert [row["key"] for row in again] == [key(world, task) for task in tasks]
    assert again[0] == first[0]


@pytest.mark.slow
def test_several_processes_find_what_one_finds(world: World, tmp_path: Path) -> None:
    tasks = [replace(TASK, items=400, seed=seed) for seed in range(2)]
    alone = validity_bench.go(world, tasks, tmp_path / "one.jsonl", 1, lambda _: None)
    together = validity_bench.go(world, tasks, tmp_path / "two.jsonl", 2, lambda _: None)
    for one, two in zip(alone, together, strict=True):
        assert one["result"] | {"seconds": 0} == two["result"] | {"seconds": 0}


@pytest.mark.slow
def test_the_command_says_red_or_green_and_keeps_the_rows(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = toy_data(1000)
    np.savez(tmp_path / "toy.npz", images=data.images, labels=data.labels)
    monkeypatch.setattr(validity_bench, "open_world", lambda *_: world)
    command = ["validity", "--data", str(tmp_path / "toy.npz"), "--out", str(tmp_path / "out"), "--items", "400", "--campaigns", "16"]
    command += ["--price-campaigns", "0", "--target-error", "0.05", "--workers", "1", "--json", str(tmp_path / "summary.json")]
    green = CliRunner().invoke(bench, command, catch_exceptions=False)
    assert green.exit_code == 0, green.output
    assert "| toy | 400 | 5% | 16 |" in green.stdout
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["green"]
    assert {found["n"] for found in summary["broken"] if found["rule"] == "survivors"} == {16}
    broken = CliRunner().invoke(bench, [*command, "--mutation", "plug_in_count"], catch_exceptions=False)
    assert broken.exit_code == 1
    assert "RED  uniform certificate" in broken.stdout
    assert len((tmp_path / "out" / "validity.jsonl").read_text().splitlines()) == 32
    with pytest.raises(InvalidValue, match="mutation must be one of"):
        CliRunner().invoke(bench, [*command, "--mutation", "?"], catch_exceptions=False)
    with pytest.raises(InvalidValue, match="items must be at most the 1,000"):
        CliRunner().invoke(bench, [*command, "--items", "2000"], catch_exceptions=False)


def test_other_labels_of_the_same_items_are_another_world(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table.csv"
    table.write_text("text,kind,size\n" + "".join(f"item {place},{'ab'[place % 2]},{'xyz'[place % 3]}\n" for place in range(1000)))
    opened: list[Any] = []
    played: list[World] = []

    def go(world: World, *_: object) -> list[Any]:
        played.append(world)
        raise InvalidValue("enough")

    monkeypatch.setattr(validity_bench, "open_world", lambda data, *_: (opened.append(data), world)[1])
    monkeypatch.setattr(validity_bench, "go", go)
    command = ["validity", "--data", str(table), "--items", "400", "--out", str(tmp_path / "out")]
    for columns in (["kind"], ["kind", "size"]):
        options = [part for name in columns for part in ("--label-column", name)]
        with pytest.raises(InvalidValue, match="enough"):
            CliRunner().invoke(bench, [*command, *options], catch_exceptions=False)
    assert [data.n_classes for data in opened] == [2, 6]
    assert [one.name for one in played] == ["toy: kind", "toy: kind and size"]
    assert len({key(one, validity_bench.plan(1000, campaigns=2, price_campaigns=0, items=400)[0]) for one in played}) == 2
