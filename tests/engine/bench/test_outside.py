"""The benchmark of recorded answers: its command, and models that are worse than they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from backend.cli.bench import bench
from backend.cli.bench.outside import KINDS
from mcal_engine.bench import outside


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
    assert outside.KINDS == KINDS
    wrong, inverted = data.as_kind("wrong", 0), data.as_kind("inverted", 0)
    assert wrong.confidences[~right].min() > wrong.confidences[right].max()
    assert (np.argsort(inverted.confidences, kind="stable")[:5] != np.argsort(data.confidences, kind="stable")[:5]).any()
    assert (data.as_kind("fickle", 0).labels != data.as_kind("fickle", 1).labels).any()


def test_a_promise_that_is_broken_too_often_is_red() -> None:
    row = {"data": "x", "model": "wrong", "price": 0.0, "seeds": 100, "broken": 15, "chance": 1e-4}
    assert len(outside.findings([row])) == 1
    assert outside.findings([row | {"chance": 0.1}]) == []
