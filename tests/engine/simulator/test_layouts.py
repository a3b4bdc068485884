"""Each layout that people have: the same items and classes in ``mcal simulate`` and ``mcal demo``, or a refusal that says what to pass."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.demo.data import load
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.data import read
from mcal_engine.simulator.readers import read_listing

N = 210
NAMES = ("disc", "square", "triangle")
LABELS = np.arange(N) % 3
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
ALL = dict.fromkeys(NAMES, 70)
NUMBERED = dict.fromkeys("012", 70)


def encoded(row: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[row]).save(stream, kind)
    return stream.getvalue()


def put(root: Path, place: Callable[[int, str], str], kind: str = "PNG") -> Path:
    """One file for each item; ``place`` says where, by its number and class name."""
    for row, label in enumerate(LABELS.tolist()):
        path = root / place(row, NAMES[label])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(row, kind))
    return root


def spare(root: Path, *places: str) -> Path:
    """Pictures that are not items."""
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(encoded(0))
    return root


def leavings(root: Path) -> Path:
    for name in NAMES:
        (root / name / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (root / name / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
        (root / name / "._0.png").write_bytes(b"\0\5\x16\7")
        spare(root, f"__MACOSX/{name}/._1.png", f"{name}/.ipynb_checkpoints/0-checkpoint.png")
    return root


Layout = tuple[Callable[[Path], Path], dict[str, int], dict[str, int]]  # how to make it, items by class, what is not used
FOLDERS: dict[str, Layout] = {
    "one folder per class": (lambda t: put(t, lambda i, n: f"{n}/{i}.png"), ALL, {}),
    "splits above the classes": (lambda t: put(t, lambda i, n: f"{('train', 'valid', 'test')[i % 7 % 3]}/{n}/{i}.png"), ALL, {}),
    "a split above the classes, flat folders beside it": (
        lambda t: spare(put(t, lambda i, n: f"train/{n}/{i}.png"), "test/1.png", "test/2.png", "unlabeled/1.png", "extra.png"),
        ALL,
        {"in test/ without a class folder": 2, "in unlabeled/ without a class folder": 1, "beside the class folders": 1},
    ),
    "one class a level deeper": (lambda t: put(t, lambda i, n: f"{n}/{'cam1/' if n == 'triangle' else ''}{i}.png"), ALL, {}),
    "each class in folders of its own": (lambda t: put(t, lambda i, n: f"{n}/{n}-day{i % 2}/{i}.png"), ALL, {}),
    "part of each class deeper": (lambda t: put(t, lambda i, n: f"{n}/{'more/' if i % 4 == 2 else ''}{i}.png"), ALL, {}),
    "images and masks in each class": (
        lambda t: spare(put(t, lambda i, n: f"{n}/images/{i}.png"), *(f"{n}/masks/{i}.png" for n in NAMES for i in range(4))),
        ALL,
        {"masks beside their images": 12},
    ),
    "images above the classes, masks beside": (
        lambda t: spare(put(t, lambda i, n: f"images/{n}/{i}.png"), "masks/disc/0.png", "masks/square/1.png"),
        ALL,
        {"masks beside their images": 2},
    ),
    "the folder of a zip around it": (lambda t: put(t, lambda i, n: f"dataset/inner/{n}/{i}.png"), ALL, {}),
    "leavings of macOS, Windows and Jupyter": (
        lambda t: leavings(put(t, lambda i, n: f"{n}/{i}.png")),
        ALL,
        {"leavings of macOS, Windows or Jupyter": 15},
    ),
    "jfif": (lambda t: put(t, lambda i, n: f"{n}/{i}.{'jfif' if n == 'disc' else 'jpg'}", "JPEG"), ALL, {}),
    "suffixes in capitals": (lambda t: put(t, lambda i, n: f"{n}/{i}.{('JPE', 'Jpeg', 'JPG')[i % 3]}", "JPEG"), ALL, {}),
    "avif": (lambda t: put(t, lambda i, n: f"{n}/{i}.avif", "AVIF"), ALL, {}),
    "no suffix": (lambda t: put(t, lambda i, n: f"{n}/{i}", "JPEG"), ALL, {}),
    "a text beside the images": (
        lambda t: _text(put(t, lambda i, n: f"{n}/{i}.png"), "README.txt", "disc/notes.txt", "disc/0.xml"),
        ALL,
        {".txt files that are no images": 2, ".xml files that are no images": 1},
    ),
    "Hugging Face's image folder": (
        lambda t: _text(
            put(t, lambda i, n: f"{i}.png"),
            "metadata.csv",
            text="file_name,label\n" + "".join(f"{i}.png,{NAMES[i % 3]}\n" for i in range(N)),
        ),
        ALL,
        {},
    ),
}


def _text(root: Path, *places: str, text: str = "x") -> Path:
    for place in places:
        (root / place).write_text(text)
    return root


def counts_in_both(path: Path, label_column: str | None = None) -> dict[str, int]:
    """Items by class, after a look that both readers agree on them."""
    simulated, demo = read(path, label_column), load(path, None, 0, label_column)
    found = dict(zip(simulated.class_names, np.bincount(simulated.labels, minlength=simulated.n_classes).tolist(), strict=True))
    assert found == dict(zip(demo.choices, np.bincount(demo.labels, minlength=len(demo.choices)).tolist(), strict=True))
    assert simulated.n_skipped == 0
    assert [note for note in demo.notes if note.startswith("not used")] == [note for note in simulated.notes if note.startswith("not used")]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("layout", FOLDERS)
def test_a_folder_is_read_the_same_by_simulate_and_demo(layout: str, tmp_path: Path) -> None:
    make, classes, unused = FOLDERS[layout]
    path = make(tmp_path / "data")
    assert counts_in_both(path) == classes
    assert read(path).unused == unused


REFUSED_FOLDERS: dict[str, tuple[Callable[[int, str], str], str]] = {
    "two levels, either could be the classes": (
        lambda i, n: f"day{i // 3 % 2}/{n}/{i}.png",
        "has two levels of folders, day0, day1 above disc, square, triangle, and either could be the classes: pass the folder",
    ),
    "detection": (lambda i, n: f"train/{'images' if i % 2 else 'labels'}/{i}.png", "laid out for detection or segmentation"),
    "flat": (lambda i, n: f"{i}.png", "holds 210 images but no sub-folder with images"),
    "flat splits": (lambda i, n: f"{'train' if i % 2 else 'test'}/{i}.png", "without class folders"),
}


@pytest.mark.parametrize("layout", REFUSED_FOLDERS)
def test_a_folder_that_could_mean_two_things_is_refused_by_name_in_both(layout: str, tmp_path: Path) -> None:
    place, sentence = REFUSED_FOLDERS[layout]
    path = put(tmp_path / "data", place)
    for reader in (read, lambda path: load(path, None, 0)):
        with pytest.raises(InvalidValue) as raised:
            reader(path)
        assert sentence in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_flat_folder_with_a_list_names_the_list_to_pass(tmp_path: Path) -> None:
    path = _text(put(tmp_path, lambda i, n: f"{i}.png"), "labels.csv", text="path,label\n")
    with pytest.raises(InvalidValue, match=r"pass its list: .*labels\.csv"):
        read(path)


def test_folders_without_an_image_and_links_are_told_and_followed(tmp_path: Path) -> None:
    put(tmp_path / "real", lambda i, n: f"{n}/{i}.png")
    path = tmp_path / "links"
    path.mkdir()
    for name in NAMES:
        (path / name).symlink_to(tmp_path / "real" / name)
    (path / "disc" / "up").symlink_to(path)  # a circle
    (path / "empty").mkdir()
    assert counts_in_both(path) == ALL
    assert "the folder empty holds no image" in read(path).notes


def rows(label: Callable[[int], Any], path: Callable[[int], str] = "img/{}.png".format, comma: str = ",") -> str:
    return "".join(f"{path(i)}{comma}{label(i)}\n" for i in range(N))


def word(row: int) -> str:
    return NAMES[row % 3]


def number(row: int) -> int:
    return row % 3


CSVS: dict[str, tuple[str, dict[str, int]]] = {
    "words": ("path,label\n" + rows(word), ALL),
    "numbers": ("path,label\n" + rows(number), NUMBERED),
    "floats": ("path,label\n" + rows(lambda i: f"{i % 3}.0"), NUMBERED),
    "semicolons": ("path;label\n" + rows(number, comma=";"), NUMBERED),
    "tabs": ("path\tlabel\n" + rows(word, comma="\t"), ALL),
    "other names of columns": ("filename,class\n" + rows(number), NUMBERED),
    "capitals": ("Path,Label\n" + rows(number), NUMBERED),
    "blanks": ("path, label\n" + rows(number, comma=", "), NUMBERED),
    "Windows paths": ("path,label\n" + rows(number, "img\\{}.png".format), NUMBERED),
    "no suffix": ("id,breed\n" + rows(word, "img/{}".format), ALL),
    "BOM, CRLF, blank lines": ("\ufeff" + ("path,label\n" + rows(number)).replace("\n", "\r\n\r\n"), NUMBERED),
    "no header": (rows(number), NUMBERED),
    "quoted": ('"path","label"\n' + "".join(f'"img/{i}.png","{i % 3}"\n' for i in range(N)), NUMBERED),
    "one-hot": ("path,disc,square,triangle\n" + rows(lambda i: ",".join(str(int(i % 3 == k)) for k in range(3))), ALL),
    "Label Studio's CSV export": (
        "annotation_id,annotator,kind,created_at,id,photo,lead_time,updated_at\n"
        + "".join(f"{i},1,{word(i)},2026-01-01T00:00:00Z,{i},/data/upload/1/0a1b2c3d-{i}.png,3.2,2026-01-01T00:00:00Z\n" for i in range(N)),
        ALL,
    ),
    "Label Studio's local files": ("image,choice\n" + rows(word, "/data/local-files/?d=img/{}.png".format), ALL),
}


def listed(tmp_path: Path, text: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    put(tmp_path, lambda i, n: f"img/{i}.png")
    put(tmp_path, lambda i, n: f"{i}.png")
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


@pytest.mark.slow
@pytest.mark.parametrize("layout", CSVS)
def test_a_csv_list_is_read_the_same_by_simulate_and_demo(layout: str, tmp_path: Path) -> None:
    text, classes = CSVS[layout]
    assert counts_in_both(listed(tmp_path, text)) == classes


def test_utf_16_and_file_addresses_are_read(tmp_path: Path) -> None:
    text = "path,label\n" + rows(number, lambda i: f"file://{tmp_path}/img/{i}.png")
    assert counts_in_both(listed(tmp_path, text, encoding="utf-16")) == NUMBERED


@pytest.mark.slow
@pytest.mark.parametrize("none", ["-1", "-1.0", "", "NaN", "nan", "null"])
def test_no_label_is_never_a_class(none: str, tmp_path: Path) -> None:
    extra = "".join(f"img/{i}.png,{none}\n" for i in range(N, N + 30))
    path = listed(tmp_path, "path,label\n" + rows(number) + extra)
    for i in range(N, N + 30):
        (tmp_path / "img" / f"{i}.png").write_bytes(encoded(0))
    assert counts_in_both(path) == NUMBERED
    assert read(path).unused == {"without a label (−1, empty or NaN)": 30}


def test_other_negative_numbers_make_all_of_them_classes(tmp_path: Path) -> None:
    assert counts_in_both(listed(tmp_path, "path,label\n" + rows(lambda i: i % 3 - 2))) == {"-2": 70, "-1": 70, "0": 70}


def test_files_that_are_not_there_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = listed(tmp_path, "path,label\n" + rows(number) + "img/a.png,1\nimg/b.png,1\n" + "img/0.png,0\n")
    assert counts_in_both(path) == NUMBERED
    found = read(path)
    assert found.unused == {"images that are not there": 2, "rows that name an image again": 1}
    assert "2 of 212 images are not there, the first is img/a.png (list.csv line 212)" in found.notes


def test_a_column_can_be_named_where_several_could_be_the_label(tmp_path: Path) -> None:
    path = listed(tmp_path, "path,animal,colour\n" + rows(lambda i: f"{word(i)},red"))
    with pytest.raises(InvalidValue, match="animal, colour could be it: name one with --label-column"):
        read(path)
    assert counts_in_both(path, "animal") == ALL


def exported(row: int) -> dict[str, Any]:
    """A task of Label Studio's JSON export; the first two annotations are a skip and one of another control."""
    other = {"from_name": "quality", "type": "choices", "value": {"choices": ["good"]}}
    chosen = {"from_name": "kind", "type": "choices", "value": {"choices": [word(row)]}}
    annotations = [{"was_cancelled": True, "result": [other]}, {"was_cancelled": False, "result": [other, chosen]}]
    return {"id": row, "data": {"photo": f"/data/upload/1/0a1b2c3d-{row}.png", "label": "x"}, "annotations": annotations}


JSONS: dict[str, tuple[str, str, str | None]] = {
    "Label Studio's JSON export": ("export.json", json.dumps([exported(i) for i in range(N)]), "kind"),
    "Label Studio's JSON-MIN export": (
        "min.json",
        json.dumps(
            [{"image": f"img/{i}.png", "id": i, "choice": word(i), "annotator": 1, "annotation_id": i, "lead_time": 2.5} for i in range(N)]
        ),
        None,
    ),
    "JSON lines": ("list.jsonl", "".join(json.dumps({"file_name": f"img/{i}.png", "label": word(i)}) + "\n" for i in range(N)), None),
    "SageMaker's manifest": (
        "output.manifest",
        "".join(
            json.dumps({"source-ref": f"s3://bucket/img/{i}.png", "job": i % 3, "job-metadata": {"class-name": word(i), "confidence": 0.9}})
            + "\n"
            for i in range(N)
        ),
        None,
    ),
}


@pytest.mark.parametrize("layout", JSONS)
def test_a_json_list_is_read_the_same_by_simulate_and_demo(layout: str, tmp_path: Path) -> None:
    name, text, control = JSONS[layout]
    assert counts_in_both(listed(tmp_path, text, name), control) == ALL


def test_an_export_with_two_controls_asks_which(tmp_path: Path) -> None:
    tasks = [exported(i) for i in range(N)]
    with pytest.raises(InvalidValue, match="has choices of kind, quality; name one or several with --label-column"):
        read(listed(tmp_path, json.dumps(tasks), "export.json"))
    tasks[4]["annotations"][1]["result"][1]["value"]["choices"] = [["disc"], ["square"]]
    with pytest.raises(InvalidValue, match=r"export\.json item 5: kind must hold a label or a list of labels, got \['disc'\] in the list"):
        read(listed(tmp_path, json.dumps(tasks), "export.json"), "kind")


GRAY = PIXELS.mean(-1).astype(np.uint8)
ARRAYS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "images and labels": ({"images": PIXELS, "labels": LABELS}, NUMBERED),
    "MedMNIST": (
        {
            f"{split}_{what}": part[rows] if what == "images" else part[rows, None].astype(np.uint8)
            for split, rows in (("train", slice(0, 150)), ("val", slice(150, 180)), ("test", slice(180, N)))
            for what, part in (("images", PIXELS), ("labels", LABELS))
        },
        NUMBERED,
    ),
    "Keras": ({"x_train": GRAY[:150], "y_train": LABELS[:150], "x_test": GRAY[150:], "y_test": LABELS[150:]}, NUMBERED),
    "without names": ({"arr_0": PIXELS, "arr_1": LABELS}, NUMBERED),
    "capitals": ({"Images": PIXELS, "Labels": LABELS}, NUMBERED),
    "a column of labels": ({"images": PIXELS, "labels": LABELS[:, None]}, NUMBERED),
    "channels first": ({"images": PIXELS.transpose(0, 3, 1, 2), "labels": LABELS}, NUMBERED),
    "one channel first": ({"images": GRAY[:, None], "labels": LABELS}, NUMBERED),
    "fractions": ({"images": (PIXELS / 255).astype(np.float32), "labels": LABELS}, NUMBERED),
    "floats to 255": ({"images": PIXELS.astype(np.float32), "labels": LABELS}, NUMBERED),
    "16 bits": ({"images": PIXELS.astype(np.uint16) * 257, "labels": LABELS}, NUMBERED),
    "four channels": ({"images": np.concatenate([PIXELS, np.full((N, 8, 8, 1), 255, np.uint8)], -1), "labels": LABELS}, NUMBERED),
    "one-hot": ({"images": PIXELS, "labels": np.eye(3, dtype=np.uint8)[LABELS]}, NUMBERED),
    "words": ({"images": PIXELS, "labels": np.array(NAMES)[LABELS]}, ALL),
    "float labels": ({"images": PIXELS, "labels": LABELS.astype(float)}, NUMBERED),
    "yes and no": ({"images": PIXELS, "labels": LABELS == 0}, {"False": 140, "True": 70}),
    "names counted from 1": ({"images": PIXELS, "labels": LABELS + 1, "class_names": np.array(NAMES)}, ALL),
}


@pytest.mark.parametrize("layout", ARRAYS)
def test_an_npz_file_is_read_the_same_by_simulate_and_demo(layout: str, tmp_path: Path) -> None:
    arrays, classes = ARRAYS[layout]
    np.savez(tmp_path / "data.npz", **arrays)
    assert counts_in_both(tmp_path / "data.npz") == classes
    pixels = read(tmp_path / "data.npz").images
    expected = GRAY[..., None] if pixels.shape[3] == 1 else PIXELS
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("none", [-1, np.nan])
def test_minus_one_and_nan_in_an_npz_file_are_no_label(none: float, tmp_path: Path) -> None:
    images, labels = np.concatenate([PIXELS, PIXELS[:40]]), np.concatenate([LABELS, np.full(40, none)])
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    assert counts_in_both(tmp_path / "data.npz") == NUMBERED
    assert read(tmp_path / "data.npz").unused == {"without a label (−1, empty or NaN)": 40}


def parquet(path: Path, **columns: Any) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_table(arrow.table(columns), path)
    return path


CELLS = [{"bytes": encoded(row), "path": None} for row in range(N)]


@pytest.mark.slow
def test_parquet_files_are_read_the_same_by_simulate_and_demo(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    words = arrow.array([word(row) for row in range(N)])
    content = [cell["bytes"] for cell in CELLS]
    large = arrow.struct([("bytes", arrow.large_binary()), ("path", arrow.string())])
    layouts: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
        "img": ({"img": CELLS, "label": LABELS}, NUMBERED),
        "words": ({"image": CELLS, "label": words}, ALL),
        "dictionary": ({"image": CELLS, "label": words.dictionary_encode()}, ALL),
        "large": ({"image": arrow.array(content, arrow.large_binary()), "label": LABELS}, NUMBERED),
        "large struct": ({"image": arrow.array(CELLS, large), "label": LABELS}, NUMBERED),
        "floats": ({"image": CELLS, "label": LABELS.astype(float)}, NUMBERED),
        "one fine label": ({"image": CELLS, "fine_label": LABELS}, NUMBERED),
    }
    for name, (columns, classes) in layouts.items():
        assert counts_in_both(parquet(tmp_path / f"{name}.parquet", **columns)) == classes, name


def test_a_repository_and_its_splits_are_read_as_one_and_a_split_without_labels_is_not_used(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", image=CELLS[:100], label=LABELS[:100])
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", image=CELLS[100:], label=LABELS[100:])
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", image=CELLS[:40], label=np.full(40, -1))
    assert counts_in_both(tmp_path) == NUMBERED
    assert read(tmp_path).unused == {"without a label (−1, empty or NaN)": 40}


def test_two_labels_in_a_parquet_file_ask_which_and_rows_without_image_or_label_are_counted(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a.parquet", image=[*CELLS, *CELLS[:4], None, None], fine_label=[*LABELS, *[None] * 4, 1, 1], coarse_label=[0] * 216
    )
    with pytest.raises(InvalidValue, match="fine_label, coarse_label could all be the label; name one with --label-column"):
        read(path)
    assert counts_in_both(path, "fine_label") == NUMBERED
    assert read(path, "fine_label").unused == {"without a label (−1, empty or NaN)": 4, "rows without an image": 2}


def test_the_demo_writes_images_as_they_came_under_the_suffix_of_their_kind(tmp_path: Path) -> None:
    path = put(tmp_path / "data", lambda i, n: f"{n}/{i}{'.jfif' if i % 2 else ''}", "JPEG")
    found = load(path, None, 0)
    names = found.write(tmp_path / "out")
    assert {Path(name).suffix for name in names} == {".jpg"}
    first = found.images[0]
    assert isinstance(first, Path)
    assert (tmp_path / "out" / names[0]).read_bytes() == first.read_bytes()


def test_a_class_of_which_no_image_can_be_read_is_told(tmp_path: Path) -> None:
    path = put(tmp_path, lambda i, n: f"{n}/{i}.png")
    for number in range(210):
        (path / "disc" / f"more{number}.png").write_bytes(encoded(0))
    for file in (path / "square").iterdir():
        file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    found = read(path)
    assert found.n_skipped == 70
    assert "no image of the class square can be read" in found.notes
    assert any("70 of 420 images could not be read and were left out: 70 a HEIC photo" in note for note in found.notes)


def test_reading_a_listing_opens_no_image(tmp_path: Path) -> None:
    path = put(tmp_path, lambda i, n: f"{n}/{i}.png")
    (path / "disc" / "0.png").write_bytes(b"damaged")
    assert len(read_listing(path)) == N
