"""Every bad input that ``mcal simulate`` can be given: one sentence, exit code 2; and data that is mended, which is said."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.cli.app import run as mcal
from mcal_engine.simulator import session
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.simulator.machines import Machine
from tests.engine.simulator.toy import toy_data, toy_machines

PRICED = ("--target-error", "0.05", "--price", "0.04")


def npz(path: Path, **arrays: Any) -> Path:
    data = toy_data(800, noise=70)
    np.savez(path, **({"images": data.images, "labels": data.labels} | arrays))
    return path


def png(side: int, value: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def csv_of(path: Path, labels: list[str], header: str = "path,label") -> Path:
    (path.parent / "a.png").write_bytes(png(32))
    path.write_text("\n".join([header, *(f"a.png,{label}" for label in labels)]) + "\n")
    return path


def folder(root: Path, sizes: list[int], corrupt: int = 0) -> Path:
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(110):
            (root / label / f"{number:03}.png").write_bytes(png(sizes[number % len(sizes)], 60 if label == "cat" else 180))
        for number in range(corrupt):
            (root / label / f"broken{number}.png").write_bytes(b"not an image")
    return root


BAD = {
    "data that is not there": (lambda t: t / "none.npz", PRICED, "does not exist"),
    "data of no known shape": (lambda t: _bytes(t / "a.zip", b"x"), PRICED, "data must be an .npz file"),
    "an unreadable npz": (lambda t: _bytes(t / "a.npz", b"no zip at all"), PRICED, "is not a readable .npz file"),
    "an unreadable csv": (lambda t: _bytes(t / "a.csv", b"\xff\xfe\x00\x00\xff"), PRICED, "is not a readable .csv file"),
    "an unreadable parquet": (lambda t: _bytes(t / "a.parquet", b"PAR?"), PRICED, "is not a readable .parquet file"),
    "an empty npz": (lambda t: npz(t / "a.npz", images=np.zeros((0, 8, 8), np.uint8), labels=np.zeros(0, int)), PRICED, "holds no images"),
    "an empty csv": (lambda t: csv_of(t / "a.csv", []), PRICED, "lists no images"),
    "an empty folder": (lambda t: _made(t / "empty"), PRICED, "holds no sub-folder with images"),
    "an npz without labels": (lambda t: _saved(t / "a.npz", images=np.zeros((300, 8, 8), np.uint8)), PRICED, "no array named labels"),
    "a csv without labels": (lambda t: csv_of(t / "a.csv", ["1,2"] * 300, "path,animal,colour"), PRICED, "name one with --label-column"),
    "a csv without one label": (lambda t: csv_of(t / "a.csv", [""] * 300), PRICED, "(−1, empty and NaN are no label)"),
    "an image with two labels": (
        lambda t: csv_of(t / "a.csv", ["0", "cat"]),
        PRICED,
        "line 3: a.png has the label 'cat' here and '0' in line 2",
    ),
    "labels that are fractions": (lambda t: npz(t / "a.npz", labels=np.full(800, 0.5)), PRICED, "label must be a whole number or a word"),
    "one class": (lambda t: npz(t / "a.npz", labels=np.zeros(800, int)), PRICED, "needs at least 2 classes"),
    "too few items": (lambda t: _few(t / "a.npz"), PRICED, "at least 200 items"),
    "nothing but corrupt images": (lambda t: _corrupt(t / "all"), PRICED, "none of the 220 images"),
    "too little money": (lambda t: npz(t / "a.npz"), (*PRICED, "--budget", "1"), "budget must pay for the 120 test and 20 training items"),
    "a negative budget": (lambda t: npz(t / "a.npz"), (*PRICED, "--budget", "-5"), "budget must be above 0, got -5"),
    "a candidate there is not": (lambda t: npz(t / "a.npz"), (*PRICED, "--classifier", "resnet9000"), "known: frozen"),
    "a candidate twice": (lambda t: npz(t / "a.npz"), (*PRICED, *("--classifier", "frozen") * 2), "classifiers must differ"),
}


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _few(path: Path) -> Path:
    data = toy_data(199)
    return _saved(path, images=data.images, labels=data.labels)


def _corrupt(path: Path) -> Path:
    folder(path, [32])
    for file in path.rglob("*.png"):
        file.write_bytes(b"not an image")
    return path


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, arguments, sentence = BAD[case]
    code = mcal(["simulate", "--data", str(make(tmp_path)), *arguments, "--cache-dir", str(tmp_path / "cache")])
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert sentence in printed.err
    assert "Traceback" not in printed.err


@pytest.fixture
def toy_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_toys(data: LabelledImages, names: tuple[str, ...], cache_dir: Path, device: str) -> list[Machine]:
        return toy_machines(data, *names)

    monkeypatch.setattr(session, "open_machines", open_toys)


@pytest.mark.usefixtures("toy_classifiers")
class TestMended:
    """What can be worked with is worked with, and the report says what was done."""

    @pytest.mark.slow
    def test_images_of_several_sizes_are_resized_and_corrupt_ones_skipped_and_both_are_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = folder(tmp_path / "pets", [32, 48], corrupt=2)
        code = mcal(["simulate", "--data", str(data), *PRICED, "--json", str(tmp_path / "out.json")])
        assert code == 0
        found = json.loads((tmp_path / "out.json").read_text())
        assert (found["n_items"], found["data"]["n_skipped"]) == (220, 4)
        said = " ".join(capsys.readouterr().out.split())
        assert "images of 2 sizes (32×32 to 48×48) were resized" in said
        assert "4 of 224 images could not be read and were left out" in said

    @pytest.mark.slow
    def test_a_budget_is_kept_and_both_errors_are_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = npz(tmp_path / "a.npz")
        errors = []
        for budget in ("9", "14", "30"):
            code = mcal(["simulate", "--data", str(data), *PRICED, "--budget", budget, "--json", str(tmp_path / "out.json")])
            assert code == 0
            found = json.loads((tmp_path / "out.json").read_text())
            assert found["budget"] == float(budget)
            assert found["total_cost"] <= float(budget) + 1e-9
            assert not found["certified"]
            errors.append((found["error_estimate"], found["true_overall_error"]))
        assert errors[0][1] > errors[1][1] > errors[2][1] >= 0
        assert all(abs(predicted - true) < 0.06 for predicted, true in errors)
        assert "30.00 USD" in capsys.readouterr().out

    @pytest.mark.slow
    def test_several_classifiers_make_a_race(self, tmp_path: Path) -> None:
        data = npz(tmp_path / "a.npz")
        race = ("--classifier", "frozen", "--classifier", "cnn")
        code = mcal(["simulate", "--data", str(data), *PRICED, "--quiet", "--json", str(tmp_path / "out.json"), *race])
        assert code == 0
        assert set(json.loads((tmp_path / "out.json").read_text())["rounds"][0]["candidates"]) == {"frozen", "cnn"}

    @pytest.mark.slow
    def test_shuffled_labels_end_with_people_labelling_everything(self, tmp_path: Path) -> None:
        data = npz(tmp_path / "a.npz")
        code = mcal(["simulate", "--data", str(data), *PRICED, "--shuffle-labels", "--quiet", "--json", str(tmp_path / "out.json")])
        found = json.loads((tmp_path / "out.json").read_text())
        assert code == 0
        assert found["n_machine"] == 0
        assert found["training_cost"] <= 0.10 * found["human_only_cost"]
        assert "labels were shuffled among the items" in found["data"]["notes"]
