"""The self-test of a device: how fast every candidate trains and scores there, and whether a campaign decides as on the CPU."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.data import subset
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.simulator.session import open_machines, play
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import IntArray

BATCH = 64
EPOCHS = 2
FIXED = {"epochs": str(EPOCHS), "batch": str(BATCH), "flip": "yes", "nets": "1", "frozen": "no"}  # one work for all that train a net


def measure(
    data: LabelledImages,
    names: Sequence[str],
    *,
    device: str,
    images: int,
    campaign_items: int,
    seed: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Everything the bench reports, as one JSON value.

    Args:
        names: candidates; the net of each is also run in a plain torchvision loop.
        images: trained on and scored, per candidate.
        campaign_items: size of the simulated campaign.
        tell: told what is being done.

    Raises:
        InvalidValue: a name that does not exist, or with an option that the bench sets for all.
    """
    from mcal_engine.classifiers import devices, parse

    for name in names:
        given = [option for option in FIXED if option in parse(name).arguments]
        if given:
            raise InvalidValue(f"classifier {name!r}: the bench gives every candidate the same {', '.join(FIXED)}; leave {given[0]} out")
    devices.keep_memory()  # the plain loop has it too: the ratios are about loops
    rows = np.random.default_rng(seed).permutation(len(data))[:images]
    found = []
    with tempfile.TemporaryDirectory(prefix="mcal-device-") as folder:
        for name in names:
            tell(f"{name}: training and scoring {len(rows)} images")
            found.append(_candidate(data, name, rows, device, Path(folder)))
        tell(f"a campaign of {campaign_items} items")
        here = _campaign(data, device, campaign_items, seed, Path(folder) / "here")
        there = None if device == "cpu" else _campaign(data, "cpu", campaign_items, seed, Path(folder) / "cpu")
    return {
        "device": devices.describe(device),
        "machine": f"{platform.machine()} {platform.system()}",
        **devices.versions(),
        "data": data.name,
        "image_size": int(data.images.shape[1]),
        "images": len(rows),
        "batch": BATCH,
        "epochs": EPOCHS,
        "seed": seed,
        "candidates": found,
        "campaign": here,
        "campaign_on_cpu": there,
        "decides_as_the_cpu": None if there is None else here["decided"] == there["decided"],
    }


def _candidate(data: LabelledImages, name: str, rows: IntArray, device: str, folder: Path) -> dict[str, Any]:
    """Images per second; ``…_ratio`` is ours over the plain loop's, in the same run on the same net, images and device.

    A pretrained net runs once per image, as a whole or its lower part and its mirror image's: that is ``embed_images_per_second``, and
    training and scoring are counted from there on.
    """
    from mcal_engine.classifiers import make, parse
    from mcal_engine.classifiers.candidates import FAMILIES
    from mcal_engine.classifiers.images.image_cache import ArrayImages
    from mcal_engine.classifiers.nets import reference_loop

    candidate = parse(name)
    options = FAMILIES[candidate.family].options if candidate.family in FAMILIES else {}
    trains_a_net = "epochs" in options
    images, labels = ArrayImages(data.images), data.labels[rows]
    timed = ":".join([name, *(f"{option}={value}" for option, value in FIXED.items() if option in options)])
    classifier = make(timed, images, cache_dir=folder, device=device)
    embedding = classifier.prepare(rows)
    if trains_a_net:
        warm = rows[: min(BATCH, len(rows))]
        classifier.fit(warm, labels[: len(warm)], data.n_classes, seed=1)
        classifier.logits(warm)
    report = classifier.fit(rows, labels, data.n_classes, seed=0)
    began = time.perf_counter()
    classifier.logits(rows)
    scoring = time.perf_counter() - began
    again = make(timed, images, cache_dir=folder, device=device)
    restart = again.prepare(rows)
    train, score = reference_loop.throughput(candidate, images, rows, labels, data.n_classes, device, batch=BATCH, epochs=EPOCHS)
    result: dict[str, Any] = {
        "name": name,
        "train_images_per_second": len(rows) * report.epochs / report.seconds,
        "score_images_per_second": len(rows) / scoring,
        "embed_images_per_second": len(rows) / embedding if embedding else None,
        "embed_seconds_after_restart": restart if embedding else None,
        "plain_train_images_per_second": train,
        "plain_score_images_per_second": score,
        "notes": list(report.notes),
    }
    if trains_a_net:
        # Ours scores each image and its mirror image: twice the work for one answer, counted as one.
        result |= {"train_ratio": result["train_images_per_second"] / train, "score_ratio": result["score_images_per_second"] / score}
    elif embedding:
        result["embed_ratio"] = result["embed_images_per_second"] / score  # one run of the same net over each image
    return result


def _campaign(data: LabelledImages, device: str, items: int, seed: int, folder: Path) -> dict[str, Any]:
    """A campaign of the frozen encoder in which time costs nothing, so that it decides on labels and logits alone."""
    spec = CampaignSpec(target_error=0.1, price_per_label=0.04, machine_price_per_hour=0.0, classifiers=("frozen",), seed=seed)
    ids = subset(data, min(items, len(data)), seed)
    began = time.perf_counter()
    played = play(data, ids, spec, open_machines(data, spec.classifiers, folder, device))
    report = played.report
    kept = ("n_items", "n_test", "n_train", "n_certificate", "n_machine", "stop_reason", "certified", "savings", "true_overall_error")
    decided = [type(row).__name__ for row in played.campaign.history] + [report["n_machine"], report["n_train"], report["stop_reason"]]
    return {**{name: report[name] for name in kept}, "seconds": time.perf_counter() - began, "decided": decided}
