"""The headline: resumable campaigns, and a table beside the paper's own figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.cli.bench import bench
from mcal_engine.bench.headline import HeadlineRun, key_of, markdown, play_all, prices_of, summary
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator import session
from tests.engine.simulator.toy import toy_data, toy_machines

DATA = toy_data(800)
RUNS = [HeadlineRun(seed, 0.04, ("frozen",)) for seed in (0, 1)]


def played(out: Path, runs=RUNS, said=None) -> list[dict[str, Any]]:
    heard = [] if said is None else said
    return play_all(DATA, None, runs, lambda names: toy_machines(DATA, *names), out, heard.append)


@pytest.mark.slow
def test_a_stopped_headline_goes_on_where_it_was(tmp_path):
    out = tmp_path / "headline.jsonl"
    first = played(out, RUNS[:1])
    said: list[str] = []
    rows = played(out, said=said)
    assert [row["run"]["seed"] for row in rows] == [0, 1]
    assert rows[0]["key"] == first[0]["key"]
    assert rows[0]["result"]["total_cost"] == first[0]["result"]["total_cost"]
    assert said[0] == "toy: 0.04 per label, frozen, seed 1"
    assert len(out.read_text().splitlines()) == 2
    other_price = played(out, [HeadlineRun(0, 0.003, ("frozen",))])
    assert other_price[0]["result"]["price_per_label"] == 0.003
    assert len(out.read_text().splitlines()) == 3


@pytest.mark.slow
def test_every_item_is_paid_or_labelled_by_machine_and_the_spread_is_that_of_the_seeds(tmp_path):
    rows = played(tmp_path / "headline.jsonl")
    (row,) = summary(rows)
    results = [one["result"] for one in rows]
    assert (row["n_runs"], row["n_items"]) == (2, 800)
    assert row["savings"][1:] == (min(one["savings"] for one in results), max(one["savings"] for one in results))
    for one in results:
        assert one["human_items"] + one["n_machine"] == 800
        assert one["total_cost"] == pytest.approx(0.04 * one["human_labels"] + one["training_cost"])
    assert row["n_certified"] + sum(not one["certified"] for one in results) == 2
    assert row["paper_claims"] is None
    assert "| toy | 800 | 0.04 | frozen | 2 |" in markdown([row])


@pytest.mark.slow
def test_the_paper_s_figures_stand_beside_its_own_data_only(tmp_path):
    rows = played(tmp_path / "headline.jsonl", RUNS[:1])
    (fashion,) = summary([rows[0] | {"data": "fashion_mnist"}])
    (cifar,) = summary([rows[0] | {"data": "cifar10"}])
    assert (fashion["paper_claims"], fashion["paper_by_its_eq_1"]) == (0.86, 0.84)
    assert (cifar["paper_claims"], cifar["paper_by_its_eq_1"]) == (0.67, 0.64)
    assert "67% / 64%" in markdown([cifar])


def test_fashion_is_priced_at_both_services_and_the_rest_at_amazon_s():
    assert prices_of(DATA) == (0.04,)
    assert prices_of(DATA.with_labels(DATA.labels, "fashion_mnist")) == (0.04, 0.003)


@pytest.mark.slow
def test_a_broken_promise_cannot_be_overlooked(tmp_path):
    row = played(tmp_path / "headline.jsonl", RUNS[:1])[0]
    (found,) = summary([row | {"result": row["result"] | {"true_overall_error": 0.2}}])
    assert found["n_broken"] == 1
    assert "1 BROKE ε" in markdown([found])


def test_settings_that_break_a_rule_are_refused():
    with pytest.raises(InvalidValue, match="unknown setting 'batch'"):
        HeadlineRun(0, 0.04, ("frozen",), settings=(("batch", "100"),)).spec()
    assert HeadlineRun(0, 0.04, ("frozen",), settings=(("batch_size", "100"),)).spec().batch_size == 100


def test_a_run_is_the_same_run_however_its_settings_are_written():
    written = [
        (("batch_size", 100), ("test_size", "50")),
        (("test_size", 50), ("batch_size", "100")),
        (("batch_size", 101), ("test_size", 50)),
    ]
    keys = [key_of(DATA, None, HeadlineRun(0, 0.04, ("frozen",), settings=settings)) for settings in written]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.slow
def test_the_command_writes_rows_and_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr("mcal_engine.simulator.data.read", lambda _: DATA)
    monkeypatch.setattr(session, "open_machines", lambda data, names, *_: toy_machines(data, *names))
    given = ["headline", "--data", str(tmp_path), "--classifier", "frozen", "--set", "batch_size=40", "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(bench, given, catch_exceptions=False)
    assert found.exit_code == 0
    assert "everything is paid" in found.output
    table = (tmp_path / "out" / "headline.md").read_text()
    assert "frozen, batch_size 40" in table
    assert len((tmp_path / "out" / "headline.jsonl").read_text().splitlines()) == 1
    with pytest.raises(InvalidValue, match="NAME=VALUE"):
        CliRunner().invoke(bench, [*given, "--set", "x"], catch_exceptions=False)
