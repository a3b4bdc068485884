"""The demo's data: what can be read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.demo import data
from mcal_engine.errors import InvalidValue


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(210):
        target = tmp_path / "pets" / ("cat" if number % 3 else "dog") / f"{number}.JPG"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number % 256, 0, 0)).save(target)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
    return tmp_path / "pets"


@pytest.mark.slow
def test_the_digits_are_five_thousand_of_ten_classes_in_an_order_that_the_seed_decides() -> None:
    first, again, other = data.load(None, 300, 1), data.load(None, 300, 1), data.load(None, 300, 2)
    assert first.choices == tuple("0123456789")
    assert len(first) == 300
    assert len(set(first.labels)) == 10
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
    assert len(data.load(None, 5000, 0)) == 5000


@pytest.mark.slow
def test_written_digits_are_the_same_pixels_under_names_that_do_not_tell_the_class(tmp_path: Path) -> None:
    digits = data.load(None, 200, 0)
    names = digits.write(tmp_path)
    assert names[:2] == ["00000.png", "00001.png"]
    image = digits.images[7]
    assert isinstance(image, np.ndarray)
    assert np.array_equal(np.asarray(Image.open(tmp_path / names[7])), image)


def test_a_folder_has_one_class_per_subfolder_and_its_files_are_copied_as_they_are(folder: Path, tmp_path: Path) -> None:
    pets = data.load(folder, 200, 0)
    assert pets.choices == ("cat", "dog")
    names = pets.write(tmp_path / "out")
    source = pets.images[3]
    assert isinstance(source, Path)
    assert source.parent.name == pets.choices[pets.labels[3]]
    assert (tmp_path / "out" / names[3]).read_bytes() == source.read_bytes()
    assert names[3] == "00003.jpg"


def test_an_npz_file_may_name_its_classes(tmp_path: Path) -> None:
    images, labels = np.zeros((250, 5, 5, 3), np.uint8), np.arange(250) % 2
    assert data.load(npz(tmp_path / "a.npz", images=images, labels=labels), 200, 0).choices == ("0", "1")
    named = data.load(npz(tmp_path / "b.npz", images=images, labels=labels, class_names=np.array(["cat", "dog"])), 200, 0)
    assert named.choices == ("cat", "dog")


@pytest.mark.slow
def test_bad_sources_are_refused_with_the_rule_and_what_was_given(tmp_path: Path, folder: Path) -> None:
    good = {"images": np.zeros((250, 5, 5), np.uint8), "labels": np.arange(250) % 2}
    text = tmp_path / "plain.npz"
    text.write_text("not a zip file")
    cases: list[tuple[Path | None, int, str]] = [
        (None, 6000, "items must be between 200 and the 5000 that 'Handwritten digits' has, got 6000"),
        (None, 199, "items must be between 200"),
        (folder, 300, "items must be between 200 and the 210"),
        (tmp_path / "missing", 200, "does not exist"),
        (text, 200, "not a readable .npz file"),
        (npz(tmp_path / "no.npz", images=good["images"]), 200, "no array named labels"),
        (npz(tmp_path / "float.npz", images=np.full((250, 5, 5), -0.5), labels=good["labels"]), 200, "images must hold 0"),
        (npz(tmp_path / "short.npz", images=good["images"], labels=good["labels"][:9]), 200, "need as many labels"),
        (npz(tmp_path / "one.npz", images=good["images"], labels=np.zeros(250, int)), 200, "at least 2 classes"),
        (npz(tmp_path / "names.npz", **good, class_names=np.array(["a"])), 200, "is not in 0"),
    ]
    for source, items, rule in cases:
        with pytest.raises(InvalidValue, match=rule):
            data.load(source, items, 0)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"holds no sub-folder with images; expected CLASS/\*\.jpg"):
        data.load(tmp_path, 200, 0)
