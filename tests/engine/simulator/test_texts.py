"""Texts with labels, in the layouts that people keep them in, and a campaign on them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mcal_engine.classifiers.candidates import race_of
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.data import read
from mcal_engine.simulator.labelled_texts import LabelledTexts
from mcal_engine.simulator.session import open_machines, play
from mcal_engine.spec import CampaignSpec
from tests.engine.classifiers.texts.sentences import NAMES, sentences


def rows(n: int) -> list[dict[str, str]]:
    texts, labels = sentences(n)
    return [{"id": str(place), "text": text, "label": NAMES[label]} for place, (text, label) in enumerate(zip(texts, labels, strict=True))]


def written(path: Path, found: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


def pictured(folder: Path, n: int) -> list[dict[str, str]]:
    """Rows whose class is the shape in a picture and the topic of a text."""
    from PIL import Image

    texts, topics = sentences(n, noise=0, seed=2)
    pictures, kinds = shapes(n, n_classes=2, seed=2)
    for place, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{place}.png")
    return [{"image": f"{place}.png", "text": texts[place], "label": f"{NAMES[topics[place]]} {kinds[place]}"} for place in range(n)]


def test_the_same_texts_come_from_csv_json_lines_an_export_and_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    found = rows(210)
    found[3]["text"] = 'two lines,\nand a "quote"'
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in found))
    tasks = [
        {
            "data": {"text": row["text"]},
            "annotations": [{"result": [{"type": "choices", "from_name": "topic", "value": {"choices": [row["label"]]}}]}],
        }
        for row in found
    ]
    export = tmp_path / "export.json"
    export.write_text(json.dumps(tasks))
    parquet.write_table(arrow.Table.from_pylist(found), tmp_path / "table.parquet")
    for path in (written(tmp_path / "list.csv", found), lines, export, tmp_path / "table.parquet"):
        data = read(path)
        assert isinstance(data, LabelledTexts)
        assert data.texts == tuple(row["text"] for row in found), path
        assert [data.class_names[label] for label in data.labels] == [row["label"] for row in found]


def test_empty_texts_are_counted(tmp_path: Path) -> None:
    found = rows(220)
    for row in found[:7]:
        row["text"] = " "
    data = read(written(tmp_path / "list.csv", found))
    assert len(data) == 213
    assert data.unused == {"rows without a text": 7}


def test_a_column_that_names_images_still_makes_a_list_of_images(tmp_path: Path) -> None:
    found = [{"image": f"{place}.jpg", **row} for place, row in enumerate(rows(210))]
    with pytest.raises(InvalidValue, match="names 210 images, of which none is there"):
        read(written(tmp_path / "list.csv", found))


def test_a_list_of_images_with_a_column_of_texts_has_both(tmp_path: Path) -> None:
    found = pictured(tmp_path, 210)
    found[3]["text"] = ""
    data = read(written(tmp_path / "list.csv", found))
    beside = data.source_beside()
    assert data.reads == "image" and beside is not None and len(beside) == len(data) == 210
    import numpy as np

    part = data.part(np.array([5, 3])).source_beside()
    assert part is not None and part.batch(np.arange(2)) == [found[5]["text"], ""]
    assert read(written(tmp_path / "again.csv", [{**row, "text": "x"} for row in found])).digest != data.digest
    without = [{name: cell for name, cell in row.items() if name != "text"} for row in found]
    assert read(written(tmp_path / "without.csv", without)).source_beside() is None


@pytest.mark.slow
def test_a_campaign_on_images_with_texts_saves_what_neither_tells_alone(tmp_path: Path) -> None:
    data = read(written(tmp_path / "list.csv", pictured(tmp_path, 900)))
    import numpy as np

    saved = {}
    for race in race_of(("auto",), len(data), "cpu", beside=True):
        spec = CampaignSpec(target_error=0.1, price_per_label=0.04, seed=1, classifiers=(race,))
        played = play(data, np.arange(len(data)), spec, open_machines(data, (race,), tmp_path / "cache", "cpu"))
        assert played.report["true_overall_error"] <= 0.1
        saved[race] = played.report["savings"]
    assert saved["both"] > 0.3 > saved["frozen"] + 0.2


@pytest.mark.slow
def test_a_campaign_on_texts_keeps_its_promise_and_saves(tmp_path: Path) -> None:
    data = read(written(tmp_path / "list.csv", rows(1500)))
    race = race_of(("tfidf",), len(data), "cpu", data.reads)
    spec = CampaignSpec(target_error=0.1, price_per_label=0.04, seed=3, classifiers=race)
    import numpy as np

    played = play(data, np.arange(len(data)), spec, open_machines(data, race, tmp_path / "cache", "cpu"))
    assert played.report["certified"]
    assert played.report["savings"] > 0.3
    assert played.report["true_overall_error"] <= 0.1
