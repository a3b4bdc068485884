"""Distances by torch: the same picks as by NumPy, and only on a GPU."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from mcal_engine import round as rounds
from mcal_engine.acquisition import Closest, by_numpy, diverse_margin, k_center
from mcal_engine.classifiers import devices, distances, distances_on
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import Scored
from mcal_engine.types import FloatArray

pytestmark = pytest.mark.slow

by_torch_on_cpu = partial(distances.by_torch, device=torch.device("cpu"))


def features_with_twins(seed: int, n: int = 600, d: int = 96) -> FloatArray:
    """As a last layer's: correlated and not negative; a third of the items are exact copies of others, so that distances tie."""
    generator = np.random.default_rng(seed)
    made = np.maximum(generator.normal(size=(n, 12)) @ generator.normal(size=(12, d)) + 0.1 * generator.normal(size=(n, d)), 0.0)
    made[generator.permutation(n)[: n // 3]] = made[generator.integers(0, n, n // 3)]
    return made.astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_torch_picks_the_items_that_numpy_picks_ties_by_id_included(seed: int) -> None:
    features = features_with_twins(seed)
    order = np.random.default_rng(seed).permutation(600)
    test, train, pool = np.sort(order[:100]), order[100:230], order[230:]
    margins = np.random.default_rng(seed + 50).random(600)
    found = [
        (
            k_center(features[pool], features[test], features[train], pool, test, 120, how),
            diverse_margin(features[pool], features[test], margins[pool], margins[test], pool, test, 120, how),
        )
        for how in (by_numpy, by_torch_on_cpu)
    ]
    for numpy_picks, torch_picks in zip(*found, strict=True):
        assert np.array_equal(pool[numpy_picks.positions], pool[torch_picks.positions])
        assert np.array_equal(numpy_picks.entry, torch_picks.entry)


def test_among_exact_copies_torch_too_takes_the_lowest_id_first() -> None:
    copies = np.repeat(features_with_twins(1, 10)[:10], 20, axis=0)  # ten pictures, each twenty times
    ids = np.random.default_rng(0).permutation(200)
    picks = k_center(copies, copies[:0], copies[:0], ids, ids[:0], 200, by_torch_on_cpu)
    picked = ids[picks.positions]
    pictures = picks.positions // 20
    for picture in range(10):
        assert np.all(np.diff(picked[pictures == picture]) > 0)


def test_a_gpu_measures_where_there_is_one_with_room_and_numpy_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    features, norms, used = np.eye(3, dtype=np.float32), np.ones(3), list[str]()

    def on_gpu(points: FloatArray, norms: FloatArray, device: torch.device) -> Closest:
        used.append(str(device))
        return by_numpy(points, norms)

    monkeypatch.setattr(distances, "by_torch", on_gpu)
    assert distances_on("cpu")(features, norms)(features[:1]).tolist() == [0.0, 2.0, 2.0]
    assert used == []
    monkeypatch.setattr(devices, "pick", lambda name: torch.device("cuda:1"))
    monkeypatch.setattr(devices, "room", lambda device: features.nbytes + 1)
    distances_on("auto")(features, norms)
    assert used == ["cuda:1"]
    monkeypatch.setattr(devices, "room", lambda device: features.nbytes)
    distances_on("auto")(features, norms)
    assert used == ["cuda:1"]


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(InvalidValue, match="'gpu'"):
        distances_on("gpu")(np.eye(3, dtype=np.float32), np.ones(3))


def test_ranking_for_people_measures_by_what_it_is_given() -> None:
    features = features_with_twins(3)
    logits, calls = np.zeros((600, 4)), list[int]()

    def counted(points: FloatArray, norms: FloatArray) -> Closest:
        calls.append(len(points))
        return by_torch_on_cpu(points, norms)

    spec = CampaignSpec.parse({"target_error": 0.05, "price_per_label": 0.04, "acquisition": "k_center"})
    test, pool = np.arange(50), np.arange(50, 500)
    scored = Scored("frozen", logits[test], logits[pool], {"fit": 1.0}, features=(features[test], features[pool], features[500:]))
    given = rounds.rank_for_people(spec, scored, pool, test, 30, distances=counted)
    plain = rounds.rank_for_people(spec, scored, pool, test, 30)
    assert calls == [500]
    assert np.array_equal(given.ids, plain.ids)
    assert np.array_equal(given.test_scores, plain.test_scores)


@pytest.mark.slow
def test_asking_for_distances_brings_no_torch_before_the_first_one() -> None:
    """The server asks when it starts, and most campaigns never measure a distance."""
    code = "import sys; from mcal_engine.classifiers import distances_on; distances_on('auto'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
