"""Which encoder frozen stands on: the best one whose weights are here, as a race of a new campaign records it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from mcal_engine.classifiers import catalog, make, parse, race_of
from mcal_engine.classifiers.catalog import ENCODERS, LITE0, best, fetch, whereabouts
from mcal_engine.errors import InvalidValue

DINO2 = next(one for one in ENCODERS if one.name == "dinov2-small")
SIGLIP = next(one for one in ENCODERS if one.name == "siglip2-base")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The hub's cache: empty, and not the one of whoever runs the tests."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(catalog, "IMAGE_FOLDER", tmp_path / "image")
    return tmp_path / "hub"


def put(cache: Path, encoder: catalog.Encoder, weights: Path | None = None) -> Path:
    """Weights in the layout that the hub's own client leaves behind: a blob, and a link to it under the revision that main names."""
    folder = cache / f"models--timm--{encoder.net}"
    blob, revision = folder / "blobs" / "e3b0c4", folder / "snapshots" / "0123abcd"
    for place in (blob.parent, revision, folder / "refs"):
        place.mkdir(parents=True)
    blob.write_bytes(b"weights" if weights is None else weights.read_bytes())
    (revision / catalog.WEIGHTS).symlink_to("../../blobs/e3b0c4")
    (folder / "refs" / "main").write_text("0123abcd")
    return revision / catalog.WEIGHTS


def test_without_any_weights_frozen_is_lite0_as_ever_and_what_is_missing_is_said():
    assert best(1_000, "cuda").name == LITE0
    assert race_of(("auto",), 1_000, "cpu") == ("frozen",)
    assert f"mcal encoders --fetch {DINO2.name} has them from timm/{DINO2.net}" in whereabouts(DINO2).missing


def test_weights_in_the_hubs_cache_are_found_and_the_first_of_the_list_wins(cache):
    put(cache, SIGLIP)
    assert best(1_000, "cuda") == SIGLIP
    file = put(cache, DINO2)
    assert whereabouts(DINO2) == catalog.Whereabouts(DINO2, file, "")
    assert best(1_000, "cuda") == DINO2


def test_weights_that_an_image_was_built_with_are_found():
    catalog.IMAGE_FOLDER.mkdir()
    (catalog.IMAGE_FOLDER / f"{DINO2.name}.safetensors").write_bytes(b"weights")
    assert best(1_000, "cuda") == DINO2


def test_a_cpu_takes_only_an_encoder_that_gets_through_all_images_in_an_hour(cache):
    put(cache, DINO2)
    most = int(catalog.MOST_CPU_SECONDS / DINO2.cpu_seconds)
    assert [best(n, "auto").name for n in (most, most + 1)] == [DINO2.name, LITE0]
    assert best(most + 1, "cuda:1") == DINO2


def test_a_race_names_the_encoder_and_keeps_what_names_one_already(cache):
    put(cache, DINO2)
    assert race_of(("auto",), 1_000, "cpu") == (f"frozen:{DINO2.name}", f"frozen:{LITE0}")
    assert race_of(("frozen", "cnn"), 1_000, "cpu") == (f"frozen:{DINO2.name}", "cnn")
    kept = ("frozen:resnet50", f"frozen:{LITE0}", "finetune")
    assert race_of(kept, 1_000, "cpu") == kept
    assert parse("frozen").arguments == {}  # of a campaign that recorded this, whatever is here now


def test_what_cannot_be_fetched_is_refused_by_name():
    with pytest.raises(InvalidValue, match="must be one of dinov3-small, dinov2-small, siglip2-base, got 'efficientnet-lite0'"):
        fetch(LITE0)


def test_a_fetched_encoder_is_copied_to_where_an_image_keeps_it(tmp_path, monkeypatch):
    weights = tmp_path / "downloaded"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *asked: {(DINO2.repository, catalog.WEIGHTS): weights}[asked])
    assert fetch(DINO2.name) == weights
    assert fetch(DINO2.name, catalog.IMAGE_FOLDER).read_bytes() == b"weights"
    assert not whereabouts(DINO2).missing


@pytest.fixture
def small(tmp_path, monkeypatch) -> tuple[catalog.Encoder, Path]:
    """An encoder of the list that is quick, and random weights of its net at another size of images than the list's."""
    timm, safetensors = pytest.importorskip("timm"), pytest.importorskip("safetensors.torch")
    torch = pytest.importorskip("torch")
    encoder = replace(DINO2, name="small", net="test_vit.r160_in1k", side=64)
    monkeypatch.setattr(catalog, "ENCODERS", (encoder, *ENCODERS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = timm.create_model(encoder.net, pretrained=False)
    safetensors.save_file(net.state_dict(), tmp_path / "small.safetensors")
    return encoder, tmp_path / "small.safetensors"


@pytest.mark.slow
def test_frozen_embeds_with_a_vit_of_the_list_from_the_cache_or_a_file_alike(cache, small, tmp_path):
    from mcal_engine.classifiers.images.image_cache import ArrayImages
    from mcal_engine.classifiers.images.shapes import shapes

    encoder, weights = small
    put(cache, encoder, weights)
    images, labels = shapes(20, side=20)
    found = []
    for name in (*race_of(("frozen",), 20, "cpu"), f"frozen:{encoder.name}:weights={weights}"):
        assert name.startswith("frozen:small")
        classifier = make(name, ArrayImages(images), cache_dir=tmp_path / "rows", device="cpu")
        classifier.fit(np.arange(12), labels[:12], 3, seed=0)
        found.append(classifier.logits(np.arange(12, 20)))
    assert np.isfinite(found[0]).all() and np.ptp(found[0]) > 0
    assert np.array_equal(found[0], found[1])
    assert len(list((tmp_path / "rows").glob("features-small-*"))) == 1


@pytest.mark.slow
def test_other_weights_in_the_same_place_are_not_taken_for_the_rows_of_the_earlier_ones(small):
    from mcal_engine.classifiers import encoders

    safetensors = pytest.importorskip("safetensors.torch")
    encoder, weights = small
    before = encoders.load(encoder.name, 32, weights).name
    safetensors.save_file({name: value + 1 for name, value in safetensors.load_file(weights).items()}, weights)
    assert encoders.load(encoder.name, 32, weights).name != before
    weights.write_bytes(b"cut short")
    with pytest.raises(encoders.EncoderUnavailable, match="does not hold the weights of small"):
        encoders.load(encoder.name, 32, weights)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS[:2], ids=lambda one: one.name)
def test_the_lists_nets_exist_and_take_weights_of_their_own_size_at_the_lists(encoder, tmp_path):
    from mcal_engine.classifiers import encoders

    timm, safetensors = pytest.importorskip("timm"), pytest.importorskip("safetensors.torch")
    file = tmp_path / "random.safetensors"
    safetensors.save_file(timm.create_model(encoder.net, pretrained=False).state_dict(), file)
    assert abs(file.stat().st_size / 1e6 - encoder.megabytes) < 2
    assert timm.get_pretrained_cfg(encoder.net).license.split("-")[0] == encoder.licence.lower().replace(" ", "-").split("-")[0]
    found = encoders.load(encoder.name, 32, file)
    assert found.side == encoder.side
    assert found.shapes() == ((3, 224, 224), 384)
