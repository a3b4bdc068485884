"""The generated data sets of ``../shared/cases`` through both readers: right counts and classes, or the exact refusal.

Skipped loudly where that folder is absent; ``test_layouts.py`` holds the same layouts in small.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from backend.demo.data import load
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.data import read

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CASES.is_dir(), reason=f"SKIPPED: no generators in {CASES}")]

ALL = {"disc": 80, "square": 80, "triangle": 80}
NUMBERED = {"0": 80, "1": 80, "2": 80}
READ: dict[str, dict[str, int]] = {
    **dict.fromkeys([f"folders/{name}" for name in ("split", "deeper", "alldeep", "partly", "jfif", "upper", "avif", "nosuffix")], ALL),
    **dict.fromkeys([f"folders/{name}" for name in ("mac", "jupyter", "zipped")], ALL),
    "folders/kaggle": {"disc": 67, "square": 67, "triangle": 66},
    **{key: {"disc": 120, "square": 120, "triangle": 120} for key in ["lost_class/jfif", "lost_class/deeper"]},
    **dict.fromkeys([f"csvs/{name}.csv" for name in ("words", "lsexport", "onehot")], ALL),
    **dict.fromkeys(
        [f"csvs/{name}.csv" for name in ("floats", "semicolon", "header", "capital", "spaces", "backslash", "utf16")], NUMBERED
    ),
    **dict.fromkeys([f"csvs/{name}.csv" for name in ("bom_crlf_blank", "noheader", "quoted", "fileuri", "utf16")], NUMBERED),
    **dict.fromkeys([f"arrays/{name}.npz" for name in ("medmnist", "keras", "column", "chw", "chw1", "float01", "float255")], NUMBERED),
    **dict.fromkeys([f"arrays/{name}.npz" for name in ("onehot", "floatlabels", "rgba", "uint16", "identical", "blank")], NUMBERED),
    **dict.fromkeys([f"arrays/{name}.npz" for name in ("mixedcase", "arr", "duplicates")], NUMBERED),
    **dict.fromkeys([f"arrays/{name}.npz" for name in ("words", "names_1based")], ALL),
    "arrays/boollabels.npz": {"False": 160, "True": 80},
    "arrays/rare.npz": {"0": 238, "1": 2},
    **dict.fromkeys([f"arrays/{name}.parquet" for name in ("cifar_hf", "large_binary", "struct_large", "floatlabel", "uint8")], NUMBERED),
    **dict.fromkeys([f"arrays/{name}.parquet" for name in ("strings", "dict")], ALL),
    "arrays/repo": NUMBERED,
    "arrays/splits": {"0": 67, "1": 67, "2": 66},
    "arrays/nulls.parquet": {"0": 77, "1": 77, "2": 76},
    **{key: {"dead": 150, "live": 150} for key in ["deepgray/eight", "deepgray/sixteen"]},
}
NOT_USED = {
    "folders/kaggle": {"in test/ without a class folder": 240, "in unlabeled/ without a class folder": 240},
    "folders/mac": {"leavings of macOS, Windows or Jupyter": 486},
    "folders/jupyter": {"leavings of macOS, Windows or Jupyter": 120},
    "arrays/splits": {"without a label (−1, empty or NaN)": 40},
    "arrays/nulls.parquet": {"rows without an image": 10},
}
REFUSED = {
    "csvs/allmissing.csv": "names 240 images, of which none is there: the first, images/0.png (allmissing.csv line 2), was looked for in",
    "csvs/url.csv": "names 240 images, of which none is there: they are addresses (http://127.0.0.1:9/img/0.png, url.csv line 2); fetch",
    "csvs/twice.csv": "twice.csv line 242: img/0.png has the label '1' here and '0' in line 2; one label per image is needed",
    "csvs/missing.csv": "has 163 (not used: 77 images that are not there; 60 rows that name an image again)",
    "csvs/minus1.csv": "has 180 (not used: 60 without a label (−1, empty or NaN))",
    "arrays/minus1.npz": "has 180 (not used: 60 without a label (−1, empty or NaN))",
    "arrays/object.npz": "it holds Python objects, which could run code when read; save them with np.savez(",
    "arrays/flat.npz": "images must be of shape (n, H, W[, 1, 3 or 4]) or (n, 1, 3 or 4, H, W), got uint8 (240, 1024). They look flattened",
    "arrays/X.npy": "got X.npy; it holds no labels; save them with np.savez(",
    "arrays/fine.parquet": "fine_label, coarse_label could all be the label; name one with --label-column",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("cases")

    @cache
    def generate(kind: str) -> Path:
        (root / kind).mkdir()
        environment = os.environ | {"PYTHONPATH": str(CASES)}
        subprocess.run([sys.executable, str(CASES / kind / "make.py")], cwd=root / kind, env=environment, check=True)
        return root / kind / "data"

    def path_of(case: str) -> Path:
        kind, _, name = case.partition("/")
        return generate(kind) / name

    return path_of


@pytest.mark.parametrize("case", READ)
def test_a_case_is_read_with_its_items_and_classes_by_simulate_and_demo(case: str, made: Callable[[str], Path]) -> None:
    simulated, demo = read(made(case)), load(made(case), None, 0)
    found = dict(zip(simulated.class_names, np.bincount(simulated.labels, minlength=simulated.n_classes).tolist(), strict=True))
    assert found == READ[case]
    assert found == dict(zip(demo.choices, np.bincount(demo.labels, minlength=len(demo.choices)).tolist(), strict=True))
    assert simulated.unused == NOT_USED.get(case, {})
    assert simulated.n_skipped == 0


@pytest.mark.parametrize("case", REFUSED)
def test_a_case_that_is_not_plain_is_refused_with_the_rule_by_simulate_and_demo(case: str, made: Callable[[str], Path]) -> None:
    for reader in (read, lambda path: load(path, None, 0)):
        with pytest.raises(InvalidValue) as raised:
            reader(made(case))
        assert REFUSED[case] in str(raised.value)


def test_the_same_cells_in_8_and_in_16_bits_give_the_same_pixels(made: Callable[[str], Path]) -> None:
    eight, sixteen = (read(made(f"deepgray/{kind}")).images.astype(int) for kind in ("eight", "sixteen"))
    assert np.abs(eight - sixteen).max() <= 1  # of 255: what 8 bits leave out
