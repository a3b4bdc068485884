"""The self-test of a device, on a small scale."""

from __future__ import annotations

import json

import pytest

from mcal_engine.bench.device import measure
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.labelled_images import LabelledImages


@pytest.fixture
def data():
    images, labels = shapes(260, side=16)
    return LabelledImages("shapes", images, labels, ("across", "down", "square"))


@pytest.mark.slow
def test_the_device_bench_reports_speed_ratios_a_cache_hit_and_a_campaign(data):
    said: list[str] = []
    found = measure(data, ["cnn", "frozen", "finetune"], device="cpu", images=64, campaign_items=240, seed=0, tell=said.append)
    cnn, frozen, finetune = found["candidates"]
    for row in (cnn, finetune):
        for key in ("train_images_per_second", "score_images_per_second", "train_ratio", "score_ratio"):
            assert row[key] > 0
    assert frozen["embed_ratio"] == pytest.approx(frozen["embed_images_per_second"] / frozen["plain_score_images_per_second"])
    for row in (frozen, finetune):
        assert row["embed_seconds_after_restart"] == 0  # all of them were kept
    assert found["campaign"]["n_items"] == 240
    assert found["decides_as_the_cpu"] is None  # it is the CPU
    assert len(said) == 4
    json.dumps(found)


@pytest.mark.slow
def test_the_bench_gives_every_candidate_the_same_work(data):
    with pytest.raises(InvalidValue, match=r"'cnn:epochs=3'.*leave epochs out"):
        measure(data, ["frozen", "cnn:epochs=3"], device="cpu", images=64, campaign_items=240, seed=0, tell=print)
