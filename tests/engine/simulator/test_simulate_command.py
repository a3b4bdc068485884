"""``mcal simulate`` from the command line: its files, its settings, and bad input in one sentence with exit code 2."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from backend.cli.simulate import simulate
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator import session
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.simulator.machines import Machine
from tests.engine.simulator.toy import toy_data, toy_machines


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    data = toy_data(800, noise=70)
    np.savez(tmp_path / "toy.npz", images=data.images, labels=data.labels, class_names=np.array(data.class_names))
    return tmp_path / "toy.npz"


@pytest.fixture(autouse=True)
def nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MCAL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def toy_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_toys(data: LabelledImages, names: tuple[str, ...], cache_dir: Path, device: str) -> list[Machine]:
        return toy_machines(data, *names)

    monkeypatch.setattr(session, "open_machines", open_toys)


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(simulate, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.slow
def test_a_campaign_is_played_and_reported_on_screen_as_json_and_as_a_page(data_file: Path, tmp_path: Path) -> None:
    written, page = tmp_path / "out.json", tmp_path / "report.html"
    result = run("--data", data_file, "--target-error", 0.05, "--price", 0.04, "--json", written, "--html", page)
    assert result.exit_code == 0
    assert "savings" in result.output
    found = json.loads(written.read_text())
    assert found["n_items"] == 800
    assert found["data"]["class_names"] == ["class 0", "class 1", "class 2", "class 3"]
    text = page.read_text()
    assert "Content-Security-Policy" in text
    assert text.count("Plotly.newPlot") >= 4
    assert "<script src" not in text
    assert f"{found['savings']:.1%}" in text
    assert text.count(f"<td>{found['classifier']}</td>") == len(found["rounds"])


@pytest.mark.slow
def test_baselines_are_played_on_request(data_file: Path, tmp_path: Path) -> None:
    result = run("--data", data_file, "--target-error", 0.05, "--price", 0.04, "--baselines", "--json", tmp_path / "out.json")
    assert result.exit_code == 0
    assert "oracle" in result.output
    assert len(json.loads((tmp_path / "out.json").read_text())["baselines"]) == 13


def test_a_preset_gives_what_is_not_given_and_a_service_is_a_price(data_file: Path, tmp_path: Path) -> None:
    result = run("--data", data_file, "--preset", "paper", "--price", "satyam", "--quiet", "--json", tmp_path / "out.json", "--seed", 3)
    assert result.exit_code == 0
    assert result.output == ""
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["price_per_label"], found["target_error"], found["machine_price_per_hour"]) == (0.003, 0.05, 3.6)
    assert (found["n_test"], found["rounds"][0]["n_train"], found["certified"], found["seed"]) == (40, 8, False, 3)


@pytest.mark.slow
def test_settings_come_from_the_environment_and_its_file_under_all_their_names(
    data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("MCAL_TARGET_ERROR=0.2\nMCAL_SEED=5\nMCAL_CONFIDENCE_LEVEL=0.9\nMCAL_QUORUM=0.8\n")
    monkeypatch.setenv("MCAL_PRICE", "0.03")
    monkeypatch.setenv("MCAL_TARGET_ERROR", "0.1")
    run("--data", data_file, "--items", 300, "--quiet", "--json", tmp_path / "a.json", "--confidence-level", 0.8)
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["target_error"], found["price_per_label"], found["seed"]) == (0.1, 0.03, 5)
    assert found["confidence_level"] == pytest.approx(0.8)  # one look has the whole confidence
    run("--data", data_file, "--preset", "paper", "--items", 300, "--quiet", "--json", tmp_path / "b.json")
    found = json.loads((tmp_path / "b.json").read_text())
    assert (found["target_error"], found["price_per_label"], found["seed"]) == (0.05, 0.04, 5)  # a preset is asked for, the rest is not


@pytest.mark.slow
def test_part_of_the_data_can_be_played(data_file: Path, tmp_path: Path) -> None:
    run("--data", data_file, "--target-error", 0.05, "--price", 0.04, "--items", 300, "--quiet", "--json", tmp_path / "a.json")
    run("--data", data_file, "--target-error", 0.05, "--price", 0.04, "--per-class", 60, "--quiet", "--json", tmp_path / "b.json")
    assert json.loads((tmp_path / "a.json").read_text())["n_items"] == 300
    assert json.loads((tmp_path / "b.json").read_text())["n_items"] == 240


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--target-error", 5, "--price", 0.04), "did you mean 0.05"),
        (("--target-error", 0.05, "--price", "free"), "price_per_label must be a number"),
        (("--target-error", 0.05), "price_per_label is required"),
        (("--price", 0.04, "--target-error", 0.05, "--acquisition", "luck"), "acquisition"),
        (("--price", 0.04, "--target-error", 0.05, "--preset", "mine"), "preset must be default or paper, got 'mine'"),
        (("--price", 0.04, "--target-error", 0.05, "--items", 100), "items must be at least 200"),
        (("--price", 0.04, "--target-error", 0.05, "--seed", "x"), "seed"),
        (("--price", 0.04, "--target-error", 0.05, "--json", "/nowhere/at/all.json"), "the folder /nowhere/at of all.json does not exist"),
    ],
)
def test_bad_settings_get_one_sentence(data_file: Path, arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        run("--data", data_file, *arguments)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_installed_command_prints_one_line_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from backend.cli.app import run as mcal

    code = mcal(["simulate", "--data", str(tmp_path / "nowhere.npz"), "--target-error", "0.05", "--price", "0.04"])
    assert code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.strip().splitlines() == [f"mcal: data: {tmp_path / 'nowhere.npz'} does not exist"]
