"""The self-test of a device, on a small scale."""

from __future__ import annotations

import json

import pytest

from mcal_engine.simulator.data import LabelledImages
from mcal_engine.simulator.device_bench import measure
from tests.engine.classifiers.pictures import shapes


@pytest.mark.slow
def test_the_device_bench_reports_speed_ratios_a_cache_hit_and_a_campaign():
    images, labels = shapes(260, side=16)
    data = LabelledImages("shapes", images, labels, ("across", "down", "square"))
    said: list[str] = []
    found = measure(data, ["cnn", "frozen"], device="cpu", images=64, campaign_items=240, seed=0, tell=said.append)
    cnn, frozen = found["candidates"]
    for key in ("train_images_per_second", "score_images_per_second", "train_ratio", "score_ratio"):
        assert cnn[key] > 0
    assert frozen["embed_images_per_second"] > 0
    assert frozen["embed_seconds_after_restart"] == 0  # all of them were kept
    assert found["campaign"]["n_items"] == 240
    assert found["decides_as_the_cpu"] is None  # it is the CPU
    assert len(said) == 3
    json.dumps(found)
