"""The benchmark: resumable runs, a table beside the paper's, figures from the rows alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from backend.cli.bench import bench
from mcal_engine.bench.paper.claims import claims
from mcal_engine.bench.paper.figures import all_figures
from mcal_engine.bench.paper.runs import Bench, Run, append_row, paper_runs, read_rows
from mcal_engine.bench.paper.table import PAPER, active_learning_costs, made_with, markdown, paper_name, summary
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator import session
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.simulator.machines import Machine
from tests.engine.simulator.toy import RidgeClassifier, toy_data, toy_machines

RUNS = [
    Run("campaign", 0),
    Run("campaign", 1),
    Run("campaign", 0, "paper"),
    Run("campaign", 0, service="satyam"),
    Run("campaign", 0, acquisition="random"),
    Run("campaign", 0, acquisition="k_center"),
    Run("campaign", 0, class_share=0.5),
    Run("campaign", 0, budget_share=0.3),
    Run("campaign", 0, budget_share=0.6),
    Run("active_learning", 0, delta=0.05),
    Run("active_learning", 0, delta=0.2),
]


def make_bench(out: Path) -> Bench:
    data = toy_data(800, noise=80)
    return Bench(data, None, toy_machines(data)[0], 3.6, out / "results.jsonl")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return make_bench(tmp_path_factory.mktemp("bench")).go(RUNS, lambda _: None)


@pytest.mark.slow
def test_a_stopped_benchmark_goes_on_where_it_was(tmp_path: Path) -> None:
    first = make_bench(tmp_path)
    first.go(RUNS[:2], lambda _: None)
    text = first.out.read_text()
    first.out.write_text(text[: len(text) - 40])  # killed while it wrote
    again = make_bench(tmp_path)
    said: list[str] = []
    found = again.go(RUNS[:2], said.append)
    assert len(said) == 1
    assert said[0].startswith("2 of 2: MCAL, default settings")
    classifier = again.machine.classifier
    assert isinstance(classifier, RidgeClassifier)
    fits = classifier.fits
    assert [row["key"] for row in again.go(RUNS[:2], said.append)] == [row["key"] for row in found]
    assert classifier.fits == fits
    assert len(read_rows(again.out)) == 2


def test_a_row_after_a_cut_off_line_stands_on_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    append_row(file, {"key": "a"})
    file.write_text(file.read_text() + '{"key": "cut')
    append_row(file, {"key": "b"})
    assert [row["key"] for row in read_rows(file)] == ["a", "b"]


def test_the_key_depends_on_everything_a_result_depends_on(tmp_path: Path) -> None:
    base = make_bench(tmp_path)
    keys = {base.key(run) for run in paper_runs([0, 1])}
    assert len(keys) == len(paper_runs([0, 1]))
    other_data = Bench(toy_data(800, seed=9), None, base.machine, 3.6, base.out)
    other_price = Bench(base.data, None, base.machine, 0.2, base.out)
    part = Bench(base.data, 400, base.machine, 3.6, base.out)
    assert len({one.key(RUNS[0]) for one in (base, other_data, other_price, part)}) == 4


@pytest.mark.slow
def test_a_row_says_what_was_run_where(rows: list[dict[str, Any]]) -> None:
    assert json.loads(json.dumps(rows[0])) == rows[0]
    assert rows[0]["versions"]["numpy"] == np.__version__
    assert rows[0]["run"]["seed"] == 0
    assert rows[0]["n_items"] == 800
    assert abs(rows[6]["n_items"] - 400) <= 4


@pytest.mark.slow
def test_the_table_has_the_spread_over_seeds_and_the_oracles_best_batch(rows: list[dict[str, Any]]) -> None:
    table = summary(rows)
    ours = next(row for row in table if row["strategy"] == "MCAL, certified" and row["service"] == "amazon")
    savings = [row["result"]["savings"] for row in rows[:2]]
    assert ours["n_runs"] == 2
    assert ours["savings"] == pytest.approx((np.mean(savings), np.std(savings, ddof=1)))
    costs = active_learning_costs(rows, "amazon", 0.05)
    oracle = next(row for row in table if row["strategy"].startswith("active learning") and row["target_error"] == 0.05)
    assert oracle["total_cost"][0] == min(same[0]["total_cost"] for same in costs.values())
    looser = active_learning_costs(rows, "amazon", 0.10)
    assert all(looser[delta][0]["n_train"] <= costs[delta][0]["n_train"] for delta in costs)


@pytest.mark.slow
def test_the_papers_rows_stand_beside_ours_for_its_data_sets(rows: list[dict[str, Any]]) -> None:
    assert [paper_name(name) for name in ("fashion_mnist", "CIFAR-10", "cifar100", "clothing_small")] == [
        "fashion", "cifar10", "cifar100", None,
    ]  # fmt: skip
    named = [{**row, "data": row["data"] | {"name": "fashion_mnist"}} for row in rows]
    text = markdown(named)
    assert "the paper: MCAL, ResNet-18 | amazon | 5% |  |  | 6.1% | 85.0% | 4.00% | 86.0%" in text
    assert "oracle δ = 6.7%" in text
    assert "seeds 0, 1" in made_with(named)
    assert len(PAPER) == 3


@pytest.mark.slow
def test_each_claim_is_judged_by_the_seeds_that_both_sides_have(rows: list[dict[str, Any]]) -> None:
    found = {claim.statement: claim for claim in claims(rows)}
    share = {row["run"]["acquisition"]: row["result"]["n_machine"] / 800 for row in rows[:1] + rows[5:6]}
    selection = next(claim for name, claim in found.items() if name.startswith("M = margin"))
    assert selection.holds == (share["margin"] >= share["k_center"])
    assert f"{share['margin']:.1%} against {share['k_center']:.1%} of X" in selection.figures
    assert "over 1 seeds" in selection.figures
    budget = next(claim for name, claim in found.items() if name.startswith("budgets"))
    assert budget.holds
    assert "30% of human-only: predicted" in budget.figures
    assert sum("(Table 2)" in name for name in found) == 3
    worse = [{**row, "result": row["result"] | {"n_machine": 0}} if row["run"]["acquisition"] == "margin" else row for row in rows]
    assert not next(claim for claim in claims(worse) if claim.statement.startswith("M = margin")).holds
    assert not any("Fig. 13" in claim.statement for claim in claims([row for row in rows if row["run"]["class_share"] == 1]))


@pytest.mark.slow
def test_every_figure_can_be_drawn_from_the_rows_alone(rows: list[dict[str, Any]]) -> None:
    figures = all_figures(json.loads(json.dumps(rows)))
    assert len(figures) == 12
    assert all(len(figure.data) > 0 for figure in figures.values())
    assert set(all_figures(rows[9:10])) == {
        "fig08_active_learning_amazon",
        "fig16_active_learning_satyam",
        "fig19_training_cost_by_batch",
    } | {"fig07_total_cost"}


@pytest.mark.slow
def test_the_command_writes_results_table_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = toy_data(600, noise=80)
    np.savez(tmp_path / "toy.npz", images=data.images, labels=data.labels)

    def open_toys(found: LabelledImages, names: list[str], cache_dir: Path, device: str) -> list[Machine]:
        return toy_machines(found, *names)

    monkeypatch.setattr(session, "open_machines", open_toys)
    command = ["paper", "--data", str(tmp_path / "toy.npz"), "--out", str(tmp_path / "out"), "--seeds", "3", "--only", "δ = 20"]
    result = CliRunner().invoke(bench, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert len(read_rows(tmp_path / "out" / "results.jsonl")) == 1
    assert "active learning, oracle" in (tmp_path / "out" / "table.md").read_text()
    assert (tmp_path / "out" / "plotly.min.js").exists()
    with pytest.raises(InvalidValue, match="no run's description contains 'nothing'"):
        CliRunner().invoke(bench, [*command[:-1], "nothing"], catch_exceptions=False)
    with pytest.raises(InvalidValue, match="seeds must be integers"):
        CliRunner().invoke(bench, [*command, "--seeds", "one"], catch_exceptions=False)
