"""The benchmark of recorded answers: its command, and models that are worse than they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from backend.cli.bench import bench
from backend.cli.bench.outside import KINDS, RACES
from mcal_engine.bench import outside
from mcal_engine.spec import CampaignSpec


def recorded(folder: Path, n: int = 600) -> Path:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 3, n)
    wrong = draw.random(n) < 0.1
    said, sure = np.where(wrong, (truth + 1) % 3, truth), np.where(wrong, 0.5, 0.9)
    file = folder / "answers.csv"
    rows = [f"{t},{s},{c}" for t, s, c in zip(truth, said, sure, strict=True)]
    file.write_text("\n".join(["label,predicted,confidence", *rows]) + "\n")
    return file


def test_the_command_tells_what_answers_save_at_each_price(tmp_path: Path) -> None:
    file, out = recorded(tmp_path), tmp_path / "rows.json"
    found = CliRunner().invoke(
        bench, ["outside", str(file), "--answer-price", "0", "--answer-price", "0.039", "--seeds", "1", "--json", str(out)]
    )
    assert found.exit_code == 0, found.output
    free, dear = json.loads(out.read_text())
    assert free["savings"][0] > 0.3
    assert dear["human_share"][0] == 1.0
    assert dear["savings"][0] == pytest.approx(-dear["bought_share"][0])


def test_the_worse_models_are_what_they_are_called(tmp_path: Path) -> None:
    data = outside.read(recorded(tmp_path))
    right = data.labels == data.truth
    assert outside.KINDS == KINDS and tuple(outside.RACES) == RACES
    wrong, inverted = data.as_kind("wrong", 0), data.as_kind("inverted", 0)
    assert wrong.confidences[~right].min() > wrong.confidences[right].max()
    assert (np.argsort(inverted.confidences, kind="stable")[:5] != np.argsort(data.confidences, kind="stable")[:5]).any()
    assert (data.as_kind("fickle", 0).labels != data.as_kind("fickle", 1).labels).any()


def test_a_promise_that_is_broken_too_often_is_red() -> None:
    row = {"data": "x", "model": "wrong", "race": "model", "price": 0.0, "seeds": 100, "broken": 15, "chance": 1e-4}
    assert len(outside.findings([row])) == 1
    assert outside.findings([row | {"chance": 0.1}]) == []


@pytest.mark.parametrize("kind", ["as it is", "wrong", "inverted"])
def test_in_a_race_every_answer_is_in_the_bill_once(tmp_path: Path, kind: str) -> None:
    data = outside.read(recorded(tmp_path)).as_kind(kind, 0)
    features = np.eye(3)[data.truth] + np.random.default_rng(1).normal(size=(600, 3))
    race = CampaignSpec(
        target_error=0.05, price_per_label=0.04, machine_price_per_hour=0, max_looks=1, classifiers=outside.RACES["ordered"], seed=0
    )
    found = outside.play(data, race, 0.002, features.astype(np.float32))
    n_test = 49  # 2·√600
    assert 0.05 * n_test / 600 - 1e-9 <= found["bought_share"] <= 0.05 + 1e-9  # the test items at least, and no item twice
    assert found["savings"] == pytest.approx(1 - found["human_share"] - found["bought_share"])


def test_a_free_candidate_needs_texts_and_a_place_for_their_features(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    asked = ["outside", str(file), "--race", "free", "--seeds", "1"]
    assert "--cache must be given" in str(CliRunner().invoke(bench, asked).exception)
    assert "no column named text" in str(CliRunner().invoke(bench, [*asked, "--cache", str(tmp_path)]).exception)
