"""Encoders by name: what each needs, what is said where its weights cannot be had, and both families of candidates on one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models

from mcal_engine.classifiers import encoders, make
from mcal_engine.classifiers.encoders import EncoderUnavailable
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.errors import InvalidValue

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A small net's weights in a local file; random ones do for what is tested here."""
    file = tmp_path_factory.mktemp("weights") / "shufflenet.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(models.get_model("shufflenet_v2_x0_5", weights=None).state_dict(), file)
    return file


@pytest.mark.parametrize("name", ["resnet", "torchvision/nothing", "timm/nothing_at_all", "hub/resnet50", "torchvision/"])
def test_an_encoder_that_does_not_exist_is_refused_by_name(name):
    with pytest.raises(InvalidValue, match="unknown encoder"):
        encoders.load(name, 32)


def test_weights_that_are_missing_broken_or_of_another_net_are_told_apart(tmp_path, weights):
    with pytest.raises(EncoderUnavailable, match="is not a file"):
        encoders.load("torchvision/resnet18", 32, tmp_path / "none.pth")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not weights")
    with pytest.raises(EncoderUnavailable, match="is not a state dict"):
        encoders.load("torchvision/resnet18", 32, broken)
    with pytest.raises(EncoderUnavailable, match="another net"):
        encoders.load("torchvision/resnet18", 32, weights)
    with pytest.raises(InvalidValue, match="weights of its own"):
        encoders.load("efficientnet-lite0", 32, weights)


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet10t"])
def test_without_a_network_the_message_names_the_fix(name, tmp_path):
    script = f"""
from mcal_engine.classifiers import encoders
try:
    encoders.load({name!r}, 32)
except encoders.EncoderUnavailable as error:
    print(error)
"""
    # A proxy that nobody listens on: a machine without a network, and nothing in the caches.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    env = (
        os.environ
        | nowhere
        | {"TORCH_HOME": str(tmp_path), "HF_HOME": str(tmp_path), "NO_PROXY": "", "no_proxy": "", "HF_HUB_OFFLINE": "1"}
    )
    found = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert f"{name}:weights=FILE" in found.stdout, found.stderr
    assert "efficientnet-lite0, which needs no network" in found.stdout


def test_both_families_work_with_a_torchvision_net_and_local_weights(tmp_path, weights):
    images, labels = shapes(20, side=20)
    for family, options in (("frozen", ""), ("finetune", ":epochs=1")):
        classifier = make(
            f"{family}:torchvision/shufflenet_v2_x0_5:weights={weights}{options}", ArrayImages(images), cache_dir=tmp_path, device="cpu"
        )
        classifier.fit(np.arange(12), labels[:12], 3, seed=0)
        logits = classifier.logits(np.arange(12, 20))
        assert np.isfinite(logits).all()
        assert np.allclose(logits[2:4], classifier.logits(np.arange(14, 16)), atol=1e-4)
        assert classifier.features(np.arange(3)).shape == (3, 1024)


def test_a_residual_net_is_cut_and_its_halves_make_the_whole(tmp_path):
    whole = models.resnet18(weights=None).eval()
    file = tmp_path / "resnet18.pth"
    torch.save(whole.state_dict(), file)
    found = encoders.load("torchvision/resnet18", 32, file)
    assert found.is_cut
    assert found.shapes() == ((128, 12, 12), 512)
    whole.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(found.upper(found.lower(x)), whole(x), atol=1e-4)


def test_the_default_encoder_is_cut_in_its_middle():
    found = encoders.load(None, 32)
    assert found.is_cut
    assert found.shapes() == ((40, 12, 12), 1280)


def test_loading_an_encoder_leaves_the_callers_random_state_alone(weights):
    state = torch.random.get_rng_state()
    encoders.load("torchvision/shufflenet_v2_x0_5", 32, weights)
    encoders.load(None, 32)
    assert torch.equal(state, torch.random.get_rng_state())
