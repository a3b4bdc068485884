"""The cache that several machines share: on a local directory and, as a contract test, on S3."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backend import shared_cache
from backend.shared_cache import SharedCache
from mcal_engine.classifiers.images.row_store import RECORD, RowStore
from mcal_engine.errors import InvalidValue
from tests.object_storage import KEY, REGION, SECRET, ObjectStorage

SHAPE = (4, 3)
CACHE_KEY = b"a key that all machines have"


def beat() -> None:
    """A heartbeat that never asks to stop."""


def store_with(directory: Path, keys: list[int], seed: int = 0) -> RowStore:
    """Rows that follow from their keys."""
    store = RowStore(directory, SHAPE, np.uint8)
    rows = np.array([np.random.default_rng([seed, key]).integers(0, 256, SHAPE) for key in keys], dtype=np.uint8).reshape(-1, *SHAPE)
    store.append(np.array(keys, dtype=np.int64), rows)
    return store


def same_rows(one: RowStore, other: RowStore, keys: list[int]) -> bool:
    wanted = np.array(keys, dtype=np.int64)
    one.refresh()
    other.refresh()
    return bool((one.read(one.find(wanted)) == other.read(other.find(wanted))).all())


class SharedCacheContract:
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def machine(self, url: str) -> Callable[[], SharedCache]:
        """A machine that has just started."""
        return lambda: SharedCache(url)

    def test_rows_of_one_machine_come_to_another(self, machine: Callable[[], SharedCache], tmp_path: Path) -> None:
        here = store_with(tmp_path / "here", [5, 3, 9])
        assert machine().push("images/a", tmp_path / "here", beat) == 3
        assert machine().pull("images/a", tmp_path / "there", beat) == 3
        assert same_rows(here, RowStore(tmp_path / "there", SHAPE, np.uint8), [5, 3, 9])

    def test_nothing_is_shared_twice_nor_taken_twice(self, machine: Callable[[], SharedCache], tmp_path: Path) -> None:
        store_with(tmp_path / "here", [1, 2])
        first = machine()
        assert first.push("p", tmp_path / "here", beat) == 2
        assert first.push("p", tmp_path / "here", beat) == 0
        second = machine()
        assert second.pull("p", tmp_path / "there", beat) == 2
        assert second.pull("p", tmp_path / "there", beat) == 0
        assert second.push("p", tmp_path / "there", beat) == 0

    def test_machines_add_to_each_others_rows(self, machine: Callable[[], SharedCache], tmp_path: Path) -> None:
        one, two = machine(), machine()
        here, there = store_with(tmp_path / "here", [1, 2]), store_with(tmp_path / "there", [2, 3])
        one.push("p", tmp_path / "here", beat)
        assert two.push("p", tmp_path / "there", beat) == 1  # 2 was there already
        assert one.pull("p", tmp_path / "here", beat) == 1
        assert two.pull("p", tmp_path / "there", beat) == 1
        assert same_rows(here, there, [1, 2, 3])

    def test_only_chunks_with_wanted_rows_are_read(
        self, machine: Callable[[], SharedCache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shared_cache, "CHUNK_BYTES", 24)  # two rows
        store_with(tmp_path / "here", [1, 2, 3, 4, 5])
        assert machine().push("p", tmp_path / "here", beat) == 5
        assert machine().pull("p", tmp_path / "there", beat, wanted=np.array([3, 77])) == 2
        there = RowStore(tmp_path / "there", SHAPE, np.uint8)
        assert sorted(there.keys().tolist()) == [3, 4]

    def test_places_are_listed_kept_apart_and_removed(self, machine: Callable[[], SharedCache], tmp_path: Path) -> None:
        cache = machine()
        for number, place in enumerate(("images/a/32px", "images/b/32px", "embeddings/x")):
            store_with(tmp_path / place, [number])
            cache.push(place, tmp_path / place, beat)
        assert cache.places("images") == ["a", "b"]
        assert machine().places("embeddings") == ["x"]
        assert machine().places("nothing") == []
        cache.remove("images/a")
        cache.remove("images/a")
        assert machine().places("images") == ["b"]
        assert machine().pull("images/a/32px", tmp_path / "there", beat) == 0
        assert cache.push("images/a/32px", tmp_path / "images/a/32px", beat) == 1  # and what was removed can be shared again

    def test_a_damaged_chunk_is_passed_over_and_shared_anew_by_whoever_has_its_rows(
        self, machine: Callable[[], SharedCache], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        here = store_with(tmp_path / "here", [1, 2])
        cache = machine()
        cache.push("p", tmp_path / "here", beat)
        (rows,) = [path for path in cache._fs.ls(f"{cache._root}/p", detail=False) if path.endswith(".rows")]
        cache._store(rows.removeprefix(f"{cache._root}/"), b"\0" * 24)
        fresh = machine()
        assert fresh.pull("p", tmp_path / "there", beat) == 0
        assert "is damaged and passed over" in caplog.text
        store_with(tmp_path / "third", [2, 1])
        assert fresh.push("p", tmp_path / "third", beat) == 2
        assert machine().pull("p", tmp_path / "there", beat) == 2
        assert same_rows(here, RowStore(tmp_path / "there", SHAPE, np.uint8), [1, 2])

    def test_a_chunk_without_its_index_does_not_count(self, machine: Callable[[], SharedCache], tmp_path: Path) -> None:
        store_with(tmp_path / "here", [1])
        cache = machine()
        cache.push("p", tmp_path / "here", beat)
        (index,) = [path for path in cache._fs.ls(f"{cache._root}/p", detail=False) if path.endswith(".index")]
        whole = cache._fs.cat_file(index)
        for torn in (b"", whole[:-3], whole[:-1] + b"x"):
            cache._fs.pipe_file(index, torn)
            assert machine().pull("p", tmp_path / "there", beat) == 0
        cache._fs.rm(index)
        assert machine().pull("p", tmp_path / "there", beat) == 0
        assert machine().push("p", tmp_path / "here", beat) == 1

    def test_an_index_that_this_program_cannot_have_written_stops_nobody(
        self, machine: Callable[[], SharedCache], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store_with(tmp_path / "here", [1])
        cache = machine()
        cache.push("p", tmp_path / "here", beat)
        zeros = b"\1" * RECORD.itemsize  # a whole record with a wrong check
        for name, content in {
            f"0-{shared_cache._digest(b'')}": b"",
            f"12-{shared_cache._digest(b'')}": b"",
            f"12-{shared_cache._digest(zeros)}": zeros,
            f"0-{shared_cache._digest(zeros)}": zeros,
            f"x-{shared_cache._digest(zeros)}": zeros,
            "9" * 5000: zeros,
            "-": zeros,
        }.items():
            if len(name) < 200 or "s3" in cache._scheme:
                cache._store(f"p/{name[:900]}.index", content)
        other = machine()
        assert other.pull("p", tmp_path / "there", beat) == 1
        store_with(tmp_path / "there", [2])
        assert other.push("p", tmp_path / "there", beat) == 1
        assert "is no index of this program's and passed over" in caplog.text

    def test_rows_of_another_length_stay_apart(self, machine: Callable[[], SharedCache], tmp_path: Path) -> None:
        store_with(tmp_path / "here", [1])
        machine().push("p", tmp_path / "here", beat)
        RowStore(tmp_path / "there", (5,), np.uint8)
        assert machine().pull("p", tmp_path / "there", beat) == 0

    def test_whole_files_are_shared_in_their_latest_state_and_forgotten_with_their_owner(
        self, machine: Callable[[], SharedCache], tmp_path: Path
    ) -> None:
        one, two = machine(), machine()
        here, there = tmp_path / "here", tmp_path / "there"
        (here / "fits").mkdir(parents=True)
        (here / "fits" / "a.pt").write_bytes(b"epoch 1")
        (here / "other.bin").write_bytes(b"not asked for")
        one.push_files("checkpoints", here, "*.pt")
        (here / "fits" / "a.pt").write_bytes(b"epoch two")
        one.push_files("checkpoints", here, "*.pt")
        two.pull_files("checkpoints", there, "*.pt", beat)
        assert [path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()] == ["fits/a.pt"]
        assert (there / "fits" / "a.pt").read_bytes() == b"epoch two"
        (there / "fits" / "a.pt").unlink()  # the fit went on here and is done
        two.push_files("checkpoints", there, "*.pt")
        machine().pull_files("checkpoints", tmp_path / "third", "*.pt", beat)
        assert not (tmp_path / "third").exists()

    def test_a_heartbeat_that_raises_ends_it(self, machine: Callable[[], SharedCache], tmp_path: Path) -> None:
        class Stop(Exception):
            pass

        def stop() -> None:
            raise Stop

        store_with(tmp_path / "here", [1])
        with pytest.raises(Stop):
            machine().push("p", tmp_path / "here", stop)
        machine().push("p", tmp_path / "here", beat)
        with pytest.raises(Stop):
            machine().pull("p", tmp_path / "there", stop)


class TestOnALocalDirectory(SharedCacheContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"file://{tmp_path / 'shared'}"


class TestSigned(SharedCacheContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"file://{tmp_path / 'shared'}"

    @pytest.fixture
    def machine(self, url: str) -> Callable[[], SharedCache]:
        return lambda: SharedCache(url, CACHE_KEY)


class TestBelieved:
    """What a machine with a key does with what somebody else has put there."""

    @pytest.fixture
    def shared(self, tmp_path: Path) -> Path:
        return tmp_path / "shared"

    @pytest.fixture
    def machine(self, shared: Path) -> Callable[..., SharedCache]:
        return lambda key=CACHE_KEY: SharedCache(f"file://{shared}", key)

    @pytest.mark.parametrize("other", [None, b"a key of somebody else"])
    def test_rows_that_nobody_with_the_key_has_shared_are_passed_over_and_told_once(
        self, machine: Callable[..., SharedCache], tmp_path: Path, caplog: pytest.LogCaptureFixture, other: bytes | None
    ) -> None:
        store_with(tmp_path / "forged", [1, 2])
        machine(other).push("p", tmp_path / "forged", beat)
        cache = machine()
        for _ in range(2):
            assert cache.pull("p", tmp_path / "there", beat) == 0
        said = "has no signature" if other is None else "does not have the signature of MCAL_CACHE_KEY"
        (index,) = (tmp_path / "shared" / "p").glob("*.index")
        assert [record.getMessage() for record in caplog.records if "passed over" in record.message] == [
            f"cache: p/{index.name} {said} and is passed over"
        ]
        store_with(tmp_path / "third", [1, 2])
        assert cache.push("p", tmp_path / "third", beat) == 2
        assert machine().pull("p", tmp_path / "there", beat) == 2

    def test_signed_rows_that_have_taken_each_others_places_are_passed_over(
        self, machine: Callable[..., SharedCache], shared: Path, tmp_path: Path
    ) -> None:
        for name, seed in (("a", 1), ("b", 2)):
            store_with(tmp_path / name, [1], seed)
            machine().push(name, tmp_path / name, beat)
        (rows,), (other,) = (list((shared / name).glob("*.rows")) for name in "ab")
        for path in (other, other.with_suffix(".index")):
            (shared / "a" / path.name).write_bytes(path.read_bytes())  # another place, the same name
        assert machine().pull("a", tmp_path / "there", beat) == 1
        assert same_rows(RowStore(tmp_path / "a", SHAPE, np.uint8), RowStore(tmp_path / "there", SHAPE, np.uint8), [1])
        rows.write_bytes(other.read_bytes())  # another name
        assert machine().pull("a", tmp_path / "fourth", beat) == 0

    def test_rows_changed_behind_their_signature_are_shared_anew(
        self, machine: Callable[..., SharedCache], shared: Path, tmp_path: Path
    ) -> None:
        here = store_with(tmp_path / "here", [1])
        machine().push("p", tmp_path / "here", beat)
        (rows,) = (shared / "p").glob("*.rows")
        rows.write_bytes(rows.read_bytes()[:-1] + b"\0")
        cache = machine()
        assert cache.pull("p", tmp_path / "there", beat) == 0
        assert cache.push("p", tmp_path / "here", beat) == 1
        assert machine().pull("p", tmp_path / "there", beat) == 1
        assert same_rows(here, RowStore(tmp_path / "there", SHAPE, np.uint8), [1])

    def test_whole_files_are_believed_under_their_own_name_only(
        self, machine: Callable[..., SharedCache], shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        for name in "ab":
            (here / f"{name}.pt").write_bytes(name.encode())
        machine().push_files("checkpoints", here, "*.pt")
        (shared / "checkpoints" / "b.pt").write_bytes((shared / "checkpoints" / "a.pt").read_bytes())
        (shared / "checkpoints" / "c.pt").write_bytes(b"forged")
        machine().pull_files("checkpoints", there, "*.pt", beat)
        assert {path.name: path.read_bytes() for path in there.iterdir()} == {"a.pt": b"a"}
        assert "checkpoints/b.pt does not have the signature of MCAL_CACHE_KEY and is passed over" in caplog.text
        assert "checkpoints/c.pt has no signature and is passed over" in caplog.text

    def test_a_machine_without_the_key_says_that_it_needs_one(
        self, machine: Callable[..., SharedCache], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store_with(tmp_path / "here", [1])
        machine().push("p", tmp_path / "here", beat)
        assert machine(None).pull("p", tmp_path / "there", beat) == 0
        assert "is signed, MCAL_CACHE_KEY is not set here, and is passed over" in caplog.text

    def test_the_signature_is_hmac_of_name_and_content(self, machine: Callable[..., SharedCache], shared: Path, tmp_path: Path) -> None:
        (tmp_path / "a.pt").write_bytes(b"weights")
        machine().push_files("checkpoints", tmp_path, "a.pt")
        expected = hmac.digest(CACHE_KEY, hashlib.sha256(b"checkpoints/a.pt").digest() + b"weights", "sha256")
        assert (shared / "checkpoints" / "a.pt").read_bytes() == b"MCAL-HMAC-SHA256\n" + expected + b"weights"


@pytest.mark.contract
class TestOnS3(SharedCacheContract):
    @pytest.fixture
    def url(self, object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> str:
        for name, value in {
            "AWS_ENDPOINT_URL": object_storage.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            monkeypatch.setenv(name, value)
        return f"s3://{object_storage.bucket(f'cache-{uuid.uuid4().hex}')}/a/prefix"


def test_no_place_leads_out_of_the_folder_that_it_is_copied_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = SharedCache(f"file://{tmp_path / 'shared'}")
    monkeypatch.setattr(cache._fs, "ls", lambda *_, **__: ["embeddings/..", "embeddings/.", "embeddings/a"])  # an object store has any name
    assert cache.places("embeddings") == ["a"]


def test_storage_that_is_away_costs_a_warning_and_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SharedCache(f"file://{tmp_path / 'shared'}")

    def away(*_: object, **__: object) -> None:
        calls.append(1)
        raise ConnectionError("https://key:hush@s3.example/?X-Amz-Signature=hush")

    calls: list[int] = []
    store_with(tmp_path / "here", [1])
    with monkeypatch.context() as broken:
        for name in ("ls", "pipe_file", "cat_file", "exists"):
            broken.setattr(type(cache._fs), name, away)
        assert cache.push("p", tmp_path / "here", beat) == 0
        assert cache.pull("p", tmp_path / "there", beat) == 0
        assert cache.places("p") == []
        cache.remove("p")
    assert len(calls) == 1  # and not another try so soon
    assert caplog.text.count("going on without it for a while: ConnectionError") == 1
    assert "hush" not in caplog.text
    cache._away_until = 0.0
    assert cache.push("p", tmp_path / "here", beat) == 1


def test_an_address_without_a_file_system_is_refused() -> None:
    with pytest.raises(InvalidValue, match="cache_url must look like"):
        SharedCache("nosuch://bucket/prefix")


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(shared_cache, "url_to_fs", missing)
    with pytest.raises(InvalidValue, match=r"pip install 'mcal-backend\[s3\]'"):
        SharedCache("s3://bucket/prefix")
