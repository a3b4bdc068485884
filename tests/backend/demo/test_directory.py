"""The demo's folder: starts clean, and never deletes what no demo made."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.demo.directory import fresh_directory
from mcal_engine.errors import InvalidValue


def test_a_second_demo_starts_clean(tmp_path: Path) -> None:
    place = tmp_path / "a" / "demo"
    with fresh_directory(place):
        (place / "label-studio").mkdir()
        (place / "label-studio" / "data.sqlite3").write_text("old")
        (place / "link").symlink_to(tmp_path)
    with fresh_directory(place):
        assert [path.name for path in place.iterdir()] == [".mcal-demo"]
    assert tmp_path.exists()


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    with fresh_directory(tmp_path) as place:
        assert place == tmp_path


def test_a_folder_with_somebody_s_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidValue, match="must be new, empty or an earlier demo's"), fresh_directory(tmp_path):
        pytest.fail("went on")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with fresh_directory(tmp_path):
        (tmp_path / "running").touch()
        with pytest.raises(InvalidValue, match="used by a demo that is running"), fresh_directory(tmp_path):
            pytest.fail("went on")
        assert (tmp_path / "running").exists()
