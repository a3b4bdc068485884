from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
