"""Reading data sets: the four shapes people have, and one clear sentence for each kind of bad input."""

from __future__ import annotations

import builtins
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mcal_engine.classifiers.base import UInt8Array
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator import decoding
from mcal_engine.simulator.data import read, read_part, subset
from tests.engine.simulator.toy import toy_data

N = 240


def pictures(n: int = N, side: int = 16, seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def png(pixels: UInt8Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def folder(root: Path, n: int = N, side: int = 32) -> Path:
    for row, pixels in enumerate(pictures(n, side)):
        place = root / ("cat", "dog", "owl")[row % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row:04d}.png").write_bytes(png(pixels))
    return root


def table(path: Path, images: list[Any], labels: Any, metadata: dict[str, str] | None = None) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = arrow.table({"image": images, "label": labels})
    parquet.write_table(columns.replace_schema_metadata(metadata or {}), path)
    return path


def test_an_npz_file_is_read_with_its_class_names(tmp_path: Path) -> None:
    labels = np.arange(N) % 3
    np.savez(tmp_path / "a.npz", images=pictures(), labels=labels, class_names=np.array(["cat", "dog", "owl"]))
    data = read(tmp_path / "a.npz")
    assert data.images.shape == (N, 16, 16, 3)
    assert data.class_names == ("cat", "dog", "owl")
    assert np.array_equal(data.labels, labels)
    assert (data.name, data.n_skipped, data.notes) == ("a", 0, ())


def test_gray_npz_images_keep_one_channel_and_labels_with_gaps_become_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=pictures()[..., 0], labels=np.array([3, 7, 70] * (N // 3), dtype=np.uint16))
    data = read(tmp_path / "a.npz")
    assert data.images.shape == (N, 16, 16, 1)
    assert data.class_names == ("3", "7", "70")
    assert data.labels[:3].tolist() == [0, 1, 2]


def test_an_image_folder_is_read_with_one_class_per_sub_folder(tmp_path: Path) -> None:
    data = read(folder(tmp_path / "pets"))
    assert data.images.shape == (N, 32, 32, 3)
    assert data.class_names == ("cat", "dog", "owl")
    assert np.bincount(data.labels).tolist() == [80, 80, 80]
    first_dog = int(np.flatnonzero(data.labels == 1)[0])
    assert np.array_equal(data.images[first_dog], pictures(N, 32)[1])


def test_a_csv_file_names_images_relative_to_its_own_folder(tmp_path: Path) -> None:
    folder(tmp_path / "pets")
    lines = ["path,label"] + [f"pets/{('cat', 'dog', 'owl')[row % 3]}/{row:04d}.png,{row % 3 + 5}" for row in range(N)]
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    data = read(tmp_path / "list.csv")
    assert data.class_names == ("5", "6", "7")
    assert np.array_equal(data.images[4], pictures(N, 32)[4])


@pytest.mark.slow
@pytest.mark.parametrize(
    "metadata",
    [{"class_names": "cat,dog,owl"}, {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "dog", "owl"]}}}})}],
)
def test_a_hugging_face_parquet_file_is_read_with_its_class_names(tmp_path: Path, metadata: dict[str, str]) -> None:
    images = [{"bytes": png(pixels), "path": None} for pixels in pictures(N, 32)]
    data = read(table(tmp_path / "a.parquet", images, [row % 3 for row in range(N)], metadata))
    assert data.class_names == ("cat", "dog", "owl")
    assert np.array_equal(data.images[7], pictures(N, 32)[7])


def test_corrupt_images_are_left_out_and_counted(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets", 300)
    (root / "cat" / "0000.png").write_bytes(b"not an image")
    (root / "cat" / "0003.png").write_bytes(png(pictures(1, 32)[0])[:60])
    (root / "dog" / "0001.png").write_bytes(b"")
    (root / "dog" / "notes.txt").write_text("not meant as an image")
    data = read(root)
    assert len(data) == 297
    assert data.n_skipped == 3
    assert (
        "3 of 300 images could not be read and were left out: 1 not an image, or of a format that cannot be read (JPEG, PNG, WebP, GIF, "
        "BMP, AVIF and TIFF can)"
    ) in " ".join(data.notes)
    assert "1 the file is empty (0 bytes)" in " ".join(data.notes)
    assert data.unused == {".txt files that are no images": 1}
    assert np.bincount(data.labels).tolist() == [98, 99, 100]


def test_images_of_different_sizes_are_resized_and_the_notes_say_so(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets", 240, 32)
    for row in range(0, 60, 3):
        Image.fromarray(pictures(1, 90)[0]).resize((90, 50)).save(root / "cat" / f"{row:04d}.png")
    data = read(root)
    assert data.images.shape == (240, 32, 32, 3)
    assert data.notes == ("images of 2 sizes (32×32 to 90×50) were resized to 32×32",)


def test_oblong_npz_images_become_squares_and_the_notes_say_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=pictures(N, 40)[:, :30], labels=np.arange(N) % 2)
    data = read(tmp_path / "a.npz")
    assert data.images.shape == (N, 32, 32, 3)
    assert data.notes == ("images of 40×30 were resized to 32×32",)


def good(**changes: Any) -> dict[str, Any]:
    return {"images": pictures(), "labels": np.arange(N) % 2} | changes


BAD_NPZ: dict[str, tuple[dict[str, Any], str]] = {
    "labels missing": ({"images": pictures()}, "has no array named labels; it holds images"),
    "images missing": ({"labels": np.arange(N)}, "has no array named images; it holds labels"),
    "labels that are fractions": (good(labels=np.linspace(0, 1, N)), "item 1: label must be a whole number or a word, got 0.0041841"),
    "several labels": (
        good(labels=np.ones((N, 3), dtype=np.uint8)),
        "item 0: one label per item is needed, this one has 3 of the 3 classes",
    ),
    "boxes as labels": (good(labels=np.full((N, 4), 7.5)), "item 0: one label per item is needed, got 4 numbers that are not 0 or 1"),
    "no label at all": (good(labels=np.full(N, -1)), "none of the 240 items of"),
    "too few labels": (good(labels=np.arange(N - 1) % 2), "240 images need as many labels, got 239"),
    "one class": (good(labels=np.ones(N, dtype=np.int64)), "at least 2 classes, every item of"),
    "too few items": ({"images": pictures(199), "labels": np.arange(199) % 2}, "at least 200 items"),
    "empty": ({"images": pictures(0), "labels": np.zeros(0, dtype=np.int64)}, "holds no images"),
    "normalized images": (good(images=pictures() / 127.5 - 1), "images must hold 0 … 255, or fractions 0 … 1, got float64 from -1 to 1"),
    "images as words": (good(images=np.full((N, 8, 8), "x")), "images must be numbers"),
    "five channels": (good(images=np.zeros((N, 8, 8, 5), dtype=np.uint8)), "images must be of shape"),
    "flattened images": (good(images=np.zeros((N, 64), dtype=np.uint8)), "They look flattened"),
    "label without a name": (good(class_names=np.array(["cat"])), "label 1 of bad.npz item 1 is not in 0 … 0"),
    "label beyond the names": (good(labels=np.arange(N) % 3, class_names=np.array(["cat", "dog"])), "item 2 is not in 0 … 1"),
    "objects": (good(labels=np.array([{"a": 1}] * N, dtype=object)), "is not a readable .npz file: it holds Python objects"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_a_bad_npz_file_gets_one_sentence_that_names_it(tmp_path: Path, case: str) -> None:
    arrays, sentence = BAD_NPZ[case]
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InvalidValue) as raised:
        read(tmp_path / "bad.npz")
    assert sentence in str(raised.value)
    assert "bad.npz" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("cut.npz", b"PK\x03\x04cut off", "is not a readable .npz file"),
        ("noise.npz", b"nothing of the kind", "is not a readable .npz file"),
        ("noise.parquet", b"nothing of the kind", "is not a readable .parquet file"),
        ("a.csv", b"where,what\nx.png,1\n", "names 1 image, of which none is there: the first, x.png (a.csv line 2), was looked for in"),
        ("empty.csv", b"", "is empty; its first line must name the columns path,label"),
        ("numbers.csv", b"a,b,c\n1,2,3\n", "has no column named path and none that names images; it has a, b, c"),
        ("two.csv", b"path,animal,colour\nx.png,cat,red\n", "animal, colour could be it: name one with --label-column"),
        ("alone.csv", b"path\nx.png\n", "has no column named label; it has path"),
        ("same.csv", b"path,label,label\nx.png,1,2\n", "has two columns named label"),
        ("wide.csv", b"x.png,1,red\n", "has no names of columns and 3 columns; put a first line such as path,label above them"),
        ("none.csv", b"path,label\n", "lists no images"),
        ("part.csv", b"path,label\nx.png,1.5\n", "line 2: label must be a whole number or a word, got 1.5"),
        ("none.csv", b"path,label\n,1\n,2\n", "line 2: path is missing, in all of the 2 rows"),
        (
            "list.csv",
            b'path,label\nx.png,"{""choices"": [[""a""]]}"\n',
            "line 2: label must hold a label or a list of labels, got ['a'] in",
        ),
        ("lost.csv", b"path,label\nx.png,1\ny.png,0\n", "names 2 images, of which none is there: the first, x.png (lost.csv line 2)"),
        ("web.csv", b"path,label\nhttp://x.test/a.png,1\n", "they are addresses (http://x.test/a.png, web.csv line 2); fetch them into"),
        ("coco.json", b'{"images": [], "annotations": [], "categories": []}', "it is a COCO file of boxes or masks"),
        ("broken.json", b'{"images": [', "is not a readable .json file"),
        ("words.json", b'["a", "b"]', "must hold a list of objects"),
        ("latin.csv", b"path,label\n\xe9\xff.png,1\n", "is not a readable .csv file"),
        ("data.txt", b"?", "data must be an .npz file"),
        ("photos.zip", b"PK", "unpack it and pass the folder"),
        ("x.npy", b"?", "it holds no labels"),
        ("model.pkl", b"?", "pickles can run code when read"),
    ],
)
def test_a_bad_file_gets_one_sentence_that_names_it(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidValue) as raised:
        read(tmp_path / name)
    assert sentence in str(raised.value)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_folders_without_images_and_paths_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    with pytest.raises(InvalidValue, match="holds no sub-folder with images"):
        read(tmp_path)
    with pytest.raises(InvalidValue, match="does not exist"):
        read(tmp_path / "nowhere.npz")


def test_bad_parquet_columns_are_named(tmp_path: Path) -> None:
    images = [{"bytes": png(pixels), "path": None} for pixels in pictures(3)]
    with pytest.raises(InvalidValue, match=r"a.parquet row 0: label must be a whole number or a word, got 0.5"):
        read(table(tmp_path / "a.parquet", images, [0.5, 1.0, 2.0]))
    with pytest.raises(InvalidValue, match=r"b.parquet row 2: label must hold a label or a list of labels, got \[0, 1\] in the list"):
        read(table(tmp_path / "b.parquet", images, [[], [], [[0, 1]]]))
    with pytest.raises(InvalidValue, match=r"image must be a column of \{bytes, path\}.*or text .*; the file holds image: int64"):
        read(table(tmp_path / "c.parquet", [1, 2, 3], [1, 1, 0]))
    with pytest.raises(InvalidValue, match=r"label_column: .* has no column named 'kind'; it has label"):
        read(table(tmp_path / "d.parquet", images, [1, 1, 0]), "kind")


def test_without_pyarrow_a_parquet_file_names_the_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    original = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    for name in [name for name in sys.modules if name.startswith("pyarrow")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InvalidValue, match=r"needs pyarrow.*mcal-backend\[parquet\]"):
        read(tmp_path / "a.parquet")


def test_a_subset_is_random_by_seed_and_can_be_balanced() -> None:
    data = toy_data(1000)
    rows = subset(data, 400, seed=3)
    assert np.array_equal(rows, subset(data, 400, seed=3))
    assert not np.array_equal(rows, subset(data, 400, seed=4))
    assert len(np.unique(rows)) == 400
    assert np.bincount(data.labels[subset(data, None, 0, per_class=60)]).tolist() == [60] * 4
    with pytest.raises(InvalidValue, match="items must be at least 200, got 150"):
        subset(data, 150, seed=0)
    with pytest.raises(InvalidValue, match="items must be at most the 1,000"):
        subset(data, 2000, seed=0)


def test_only_the_part_that_is_played_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    whole = read(tmp_path)
    calls: list[int] = []
    decode = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda content, side, **form: calls.append(side) or decode(content, side, **form))
    part, ids = read_part(tmp_path, 210, seed=3)
    rows = subset(whole, 210, seed=3)
    assert len(calls) == 210 and ids.tolist() == list(range(210))
    assert np.array_equal(part.images, whole.images[rows]) and np.array_equal(part.labels, whole.labels[rows])
    with pytest.raises(InvalidValue, match="items must be at most the 240 of the data set, got 241"):
        read_part(tmp_path, 241, seed=3)


def test_the_digest_names_the_images_and_not_the_labels() -> None:
    data, other = toy_data(300), toy_data(300, seed=1)
    assert data.digest == toy_data(300).digest == data.with_labels(data.labels[::-1], "turned").digest
    assert data.digest != other.digest
