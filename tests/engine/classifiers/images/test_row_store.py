"""Rows on disk: what counts survives, what does not is added again."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mcal_engine.classifiers.images.computed_rows import ComputedRows
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.row_store import RECORD, DamagedRows, RowStore

SHAPE = (4, 3)
ROW_BYTES = 12


def rows_of(keys: list[int]) -> np.ndarray:
    return np.stack([np.full(SHAPE, key % 251, dtype=np.uint8) for key in keys])


def filled(directory: Path, n: int = 6) -> RowStore:
    store = RowStore(directory, SHAPE, np.uint8)
    keys = list(range(100, 100 + n))
    store.append(np.array(keys), rows_of(keys))
    return store


def is_whole(store: RowStore, keys: list[int]) -> bool:
    found = store.find(np.array(keys))
    return bool((found >= 0).all()) and np.array_equal(store.read(found), rows_of(keys))


def test_rows_are_found_by_key_after_a_restart(tmp_path):
    filled(tmp_path)
    again = RowStore(tmp_path, SHAPE, np.uint8)
    assert len(again) == 6
    assert is_whole(again, [103, 100, 105])
    assert again.find(np.array([7])).tolist() == [-1]


def test_a_key_keeps_its_first_row(tmp_path):
    store = filled(tmp_path)
    store.append(np.array([100, 200, 200]), np.stack([np.full(SHAPE, value, dtype=np.uint8) for value in (9, 200, 9)]))
    assert len(store) == 7
    assert is_whole(store, [100, 200])


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("left", [0, 1, ROW_BYTES - 1, ROW_BYTES, 3 * ROW_BYTES + 5])
def test_rows_that_a_cut_data_file_lost_are_missing_and_can_be_added_again(tmp_path, left, synced):
    store = filled(tmp_path)
    if synced:
        store.flush()
    os.truncate(tmp_path / "rows.bin", left)
    again = RowStore(tmp_path, SHAPE, np.uint8)
    assert len(again) == left // ROW_BYTES
    keys = [105, 101, 100, 104, 102, 103]
    again.append(np.array(keys), rows_of(keys))
    assert is_whole(again, keys)
    assert is_whole(RowStore(tmp_path, SHAPE, np.uint8), keys)


@pytest.mark.parametrize("left", [0, 1, RECORD.itemsize - 1, RECORD.itemsize, 2 * RECORD.itemsize + 7])
def test_rows_whose_index_record_was_cut_are_missing_and_can_be_added_again(tmp_path, left):
    filled(tmp_path).flush()
    os.truncate(tmp_path / "index.bin", left)
    again = RowStore(tmp_path, SHAPE, np.uint8)
    assert len(again) == left // RECORD.itemsize
    keys = [500, 100, 105]
    again.append(np.array(keys), rows_of(keys))
    assert is_whole(RowStore(tmp_path, SHAPE, np.uint8), keys)


def test_rows_that_never_reached_the_disk_do_not_count(tmp_path):
    """A power cut may leave the index whole and the data as zeros."""
    filled(tmp_path)
    with (tmp_path / "rows.bin").open("r+b") as file:
        file.seek(4 * ROW_BYTES)
        file.write(bytes(2 * ROW_BYTES))
    again = RowStore(tmp_path, SHAPE, np.uint8)
    assert len(again) == 4
    assert is_whole(again, [100, 101, 102, 103])


def test_a_damaged_index_record_ends_the_rows(tmp_path):
    filled(tmp_path)
    with (tmp_path / "index.bin").open("r+b") as file:
        file.seek(2 * RECORD.itemsize)
        file.write(bytes(RECORD.itemsize))
    assert len(RowStore(tmp_path, SHAPE, np.uint8)) == 2


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << at % 8
    path.write_bytes(content)


def test_a_bit_that_flips_in_any_of_the_files_is_never_read(tmp_path):
    keys = list(range(100, 106))
    filled(tmp_path / "whole").flush()
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "whole").iterdir() if path.stat().st_size}
    assert set(sizes) == {"rows.bin", "index.bin", "synced", "row-bytes"}
    for name, size in sizes.items():
        for at in range(0, size, 1 if size < 10 else 11):
            directory = tmp_path / f"{name}-{at}"
            filled(directory).flush()
            flip(directory / name, at)
            store = RowStore(directory, SHAPE, np.uint8)
            store.forget_damaged(store.rows())
            left = [key for key in keys if store.find(np.array([key]))[0] >= 0]
            assert not left or is_whole(store, left)
            if name == "rows.bin":
                assert len(left) == 5
            store.append(np.array(keys), rows_of(keys))
            assert is_whole(store, keys)
            again = RowStore(directory, SHAPE, np.uint8)
            assert is_whole(again, keys)
            assert sorted(again.keys().tolist()) == keys


def test_a_damaged_row_is_refused_once_and_then_missing_for_every_process(tmp_path):
    filled(tmp_path).flush()
    here, there = RowStore(tmp_path, SHAPE, np.uint8), RowStore(tmp_path, SHAPE, np.uint8)
    flip(tmp_path / "rows.bin", 2 * ROW_BYTES + 1)
    with pytest.raises(DamagedRows, match=r"1 of 2 rows in .*rows\.bin does not have the digest"):
        here.read(here.find(np.array([102, 103])))
    assert here.find(np.array([102])).tolist() == [-1]
    here.append(np.array([102]), rows_of([102]))
    assert is_whole(here, [102, 103])
    with pytest.raises(DamagedRows):  # this one has not heard of it yet
        there.read(there.find(np.array([102])))
    assert is_whole(there, [102, 103])
    assert is_whole(RowStore(tmp_path, SHAPE, np.uint8), [102, 103])


def test_a_damaged_embedding_is_computed_again(tmp_path):
    images = ArrayImages(np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8))

    def embeddings() -> ComputedRows:
        return ComputedRows(images, tmp_path, (3,), lambda: lambda batch: batch[:, 0, :3, 0].astype(np.float16), 2)

    rows = np.arange(4)
    made = embeddings()
    assert made.fill(rows) == 4
    whole = made.at(made.places(rows))
    flip(tmp_path / "rows.bin", 7)
    again = embeddings()
    assert again.fill(rows) == 1
    assert np.array_equal(again.at(again.places(rows)), whole)


def test_a_data_file_that_is_cut_while_it_is_in_use_is_an_error_and_no_crash(tmp_path):
    store = filled(tmp_path)
    os.truncate(tmp_path / "rows.bin", 3 * ROW_BYTES)
    with pytest.raises(DamagedRows, match="has become shorter than its 6 rows"):
        store.read(np.array([5]))


def test_bytes_after_the_last_counted_row_are_overwritten(tmp_path):
    filled(tmp_path)
    with (tmp_path / "rows.bin").open("ab") as file:
        file.write(b"half a row")
    again = RowStore(tmp_path, SHAPE, np.uint8)
    again.append(np.array([300]), rows_of([300]))
    assert is_whole(again, [105, 300])


def test_threads_may_append_together(tmp_path):
    store = RowStore(tmp_path, SHAPE, np.uint8)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.append(np.array([key]), rows_of([key])), range(400)))
    assert len(store) == 400
    assert is_whole(RowStore(tmp_path, SHAPE, np.uint8), list(range(400)))


def test_another_store_sees_new_rows_once_refreshed(tmp_path):
    reader = RowStore(tmp_path, SHAPE, np.uint8)
    filled(tmp_path)
    assert len(reader) == 0
    reader.refresh()
    assert is_whole(reader, [100, 105])


def write_some(directory: str, first: int) -> None:
    store = RowStore(Path(directory), SHAPE, np.uint8)
    for key in range(first, first + 100):
        store.append(np.array([key]), rows_of([key]))


@pytest.mark.slow
def test_processes_may_append_together(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_some, args=(str(tmp_path), first)) for first in (0, 50, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    store = RowStore(tmp_path, SHAPE, np.uint8)
    assert len(store) == 250
    assert is_whole(store, [*range(150), *range(1000, 1100)])


@pytest.mark.slow
def test_a_killed_writer_leaves_only_whole_rows(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import numpy as np
        from mcal_engine.classifiers.images.row_store import RowStore
        store = RowStore(Path(sys.argv[1]), (64, 64, 3), np.uint8)
        for key in range(100_000):
            store.append(np.array([key]), np.full((1, 64, 64, 3), key % 251, dtype=np.uint8))
            if key == 50:
                print("going", flush=True)
        """
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"going\n"
    writer.kill()
    writer.wait()
    writer.stdout.close()
    store = RowStore(tmp_path, (64, 64, 3), np.uint8)
    assert len(store) > 50
    rows = store.read(np.arange(len(store)))
    assert (rows == (np.arange(len(store)) % 251)[:, None, None, None]).all()
