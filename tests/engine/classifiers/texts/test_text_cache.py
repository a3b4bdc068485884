from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcal_engine.classifiers.images.computed_rows import ComputedRows
from mcal_engine.classifiers.images.row_store import DamagedRows
from mcal_engine.classifiers.texts.text_cache import ListTexts, TextCache
from mcal_engine.errors import InvalidValue


def test_texts_are_found_again_by_item_after_a_restart(tmp_path: Path) -> None:
    kept = TextCache(tmp_path)
    kept.add({7: "sieben", 3: "трi\n3", 9: "\ud800"})
    kept.add({7: "another one", 5: "fünf"})
    for cache in (kept, TextCache(tmp_path)):
        rows = cache.rows([3, 5, 7, 9])
        assert cache.batch(rows) == ["трi\n3", "fünf", "sieben", "\ud800"]
        assert cache.missing([1, 7, 2]) == [1, 2]
        assert np.array_equal(cache.keys(rows), ListTexts(cache.batch(rows)).keys(np.arange(4)))
    with pytest.raises(InvalidValue, match="the first is 1"):
        kept.rows([3, 1])


def test_what_another_process_has_added_is_seen_after_a_refresh(tmp_path: Path) -> None:
    one, other = TextCache(tmp_path), TextCache(tmp_path)
    one.add({1: "eins"})
    assert other.missing([1]) == [1]
    other.refresh()
    assert other.batch(other.rows([1])) == ["eins"]


def test_texts_of_a_damaged_file_are_missing_until_they_are_added_again(tmp_path: Path) -> None:
    kept = TextCache(tmp_path)
    for item in range(3):
        kept.add({item: f"text {item}"})
    part = tmp_path / "part-000001.json"
    content = bytearray(part.read_bytes())
    content[-5] ^= 4
    part.write_bytes(content)
    with pytest.raises(DamagedRows, match=r"1 texts are lost, as .*part-000001\.damaged is damaged"):
        TextCache(tmp_path).rows([0, 1, 2])
    fresh = TextCache(tmp_path)
    assert fresh.missing([0, 1, 2]) == [1]
    fresh.add({1: "text 1"})
    for cache in (TextCache(tmp_path), fresh, kept):  # also where it was read before
        cache.refresh()
        assert cache.batch(cache.rows([0, 1, 2])) == ["text 0", "text 1", "text 2"]


def test_damaged_embeddings_of_texts_are_computed_again(tmp_path: Path) -> None:
    texts = TextCache(tmp_path / "texts")
    texts.add({item: "x" * item for item in range(4)})
    asked: list[str] = []

    def lengths(batch: list[str]) -> np.ndarray:
        asked.extend(batch)
        return np.array([[len(text)] * 3 for text in batch], dtype=np.float16)

    def embeddings() -> ComputedRows:
        return ComputedRows(texts, tmp_path / "rows", (3,), lambda: lengths, 2)

    rows = texts.rows(np.arange(4))
    made = embeddings()
    made.fill(rows)
    path = tmp_path / "rows" / "rows.bin"
    content = bytearray(path.read_bytes())
    content[2 * 6] ^= 1  # in the third row
    path.write_bytes(content)
    asked.clear()
    again = embeddings()
    assert again.fill(rows) == 1
    assert asked == ["xx"]
    assert again.at(again.places(rows))[:, 0].tolist() == [0, 1, 2, 3]
