"""Files for other tools: what they say of each label, and that our own readers take them back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.views.exports import FORMATS, Export
from backend.views.exports.lists import file_name
from backend.views.exports.rows import Row, probabilities
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.lists import read_csv, read_json
from mcal_engine.types import CertificateOutcome

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ITEMS = ("s3://bucket/photos/a.jpg", "/data/local-files/?d=photos/b.jpg", "/data/upload/3/1234abcd-c.jpg", "s3://bucket/photos/d.jpg")


def made(reads: Any, items: tuple[str, ...]) -> Export:
    human = Row(1, items[0], "=cat", "human", 7, NOON, None, None, "", "test", "")
    again = Row(2, items[1], "dog", "human", 8, NOON, None, None, "", "train", "a second person, 7, said =cat")
    machine = Row(3, items[2], "=cat", "machine", None, NOON, 1.25, 0.97, "certified: error of all items <= 0.04 at 0.95", "", "")
    nobody = Row(4, items[3], None, "", None, None, None, None, "", "", "skipped by people")
    return Export(1, 3, reads, ("=cat", "dog"), (human, again, machine, nobody), {}, {})  # type: ignore[typeddict-item]


def written(name: str, found: Export, folder: Path) -> Path:
    path = folder / FORMATS[name].file
    path.write_bytes(b"".join(FORMATS[name].chunks(found)))
    return path


@pytest.mark.parametrize(("name", "read"), [("jsonl", read_json), ("sagemaker", read_json), ("csv", read_csv), ("imagefolder", read_json)])
def test_a_list_of_images_is_read_back_from_beside_them(name: str, read: Any, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for each in ("photos/a.jpg", "photos/b.jpg", "c.jpg", "photos/d.jpg"):
        (tmp_path / each).write_bytes(each.encode())
    found = read(written(name, made("image", ITEMS), tmp_path))
    names = [Path(each).name for each in found.images]
    cat = "'=cat" if name == "csv" else "=cat"  # a spreadsheet would run it
    assert {image: found.class_names[label] for image, label in zip(names, found.labels, strict=True)} == {
        "a.jpg": cat,
        "b.jpg": "dog",
        "c.jpg": cat,
    }


@pytest.mark.parametrize(("name", "read"), [("jsonl", read_json), ("sagemaker", read_json), ("csv", read_csv)])
def test_a_list_of_texts_is_read_back(name: str, read: Any, tmp_path: Path) -> None:
    found = read(written(name, made("text", ("good\nfood", "bad", "fine", "so so")), tmp_path))
    assert len(found.labels) == 3 and found.reads == "text" and found.labels.tolist() in ([0, 1, 0], [1, 0, 1])


def test_a_manifest_says_who_labelled_and_how_likely_it_is_right(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written("sagemaker", made("image", ITEMS), tmp_path).read_text("utf-8").splitlines()]
    person, _, machine = (line["label-metadata"] for line in lines)
    assert [line["label"] for line in lines] == [0, 1, 0] and lines[0]["source-ref"] == ITEMS[0]
    assert person["human-annotated"] == "yes" and "confidence" not in person and person["mcal"]["annotator"] == 7
    assert machine["human-annotated"] == "no" and machine["confidence"] == 0.97 and machine["mcal"]["certificate"].startswith("certified")


def test_texts_have_no_image_folder() -> None:
    with pytest.raises(InvalidValue, match="imagefolder is for images"):
        FORMATS["imagefolder"].chunks(made("text", ITEMS))


def test_a_reference_becomes_a_path_below_the_folder() -> None:
    assert [file_name(each) for each in ITEMS] == ["photos/a.jpg", "photos/b.jpg", "c.jpg", "photos/d.jpg"]
    assert file_name("https://x.example/a/../b%20c.png?sign=1") == "a/b c.png" and file_name("../../etc/passwd") == "etc/passwd"


def test_probabilities_fall_with_the_rank_and_follow_the_sample() -> None:
    chance = np.random.default_rng(0)
    ranks = np.sort(chance.choice(4000, 800, replace=False))
    right = 1 - 0.4 * np.arange(4000) / 4000
    found = probabilities(CertificateOutcome(1, 4000, ranks, chance.random(800) > right[ranks], 0))
    assert found.shape == (4000,) and (np.diff(found) <= 0).all()
    assert np.abs(found - right).mean() < 0.05


@pytest.mark.parametrize("errors", [[False] * 3, [True] * 3, [True, False, True]])
def test_a_small_sample_makes_nothing_certain(errors: list[bool]) -> None:
    found = probabilities(CertificateOutcome(1, 9, np.array([1, 4, 7]), np.array(errors), 0))
    assert (found > 0).all() and (found < 1).all() and (np.diff(found) <= 0).all()
