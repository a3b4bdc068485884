"""Backups: the whole database in one file and back, from each kind of database into each, by commands that people type."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import backend.store.migrate as migrate_module
from backend.cli import app
from backend.store import Answer, Assignment, Duplicate, Frozen, MachineLabel, NewEvent, Store, StoreUnavailable, backup
from backend.store.schema import metadata
from mcal_engine.errors import InvalidValue
from tests.contracts.store.rows import LS, NOON, item
from tests.databases import needs_postgresql

pytestmark = pytest.mark.slow

Make = Callable[[], Store]


def fill(store: Store) -> None:
    """Two campaigns, one of them live, with a row or more in every table and values that are easily bent."""
    store.migrate()
    ended = store.create_campaign(7, LS, [NewEvent("requested", {"settings": {"target_error": 0.05}})])
    store.append(ended.id, [NewEvent("finished", {"report": {"θ": [0.1, 1e-300, 12345678901234567890], "none": None, "text": 'ü"\\\n'}})])
    live = store.create_campaign(7, LS, [NewEvent("requested", {}), NewEvent("created", {"n_items": 2})])
    store.append(
        live.id,
        [NewEvent("decision", {"nested": {"list": [1, [2, {}]]}}), NewEvent("queue_opened", {"ids": list(range(1000))})],
        assignments=[Assignment(3, "train", 0, 1), Assignment(2**40, "test", 0, 0)],
        frozen=(1, [Frozen(0, 3, 1, 0.1 + 0.2), Frozen(1, 2**40, 0, float("inf"))]),
        machine_labels=[MachineLabel(3, 1, 1, 0.1 + 0.2, "written", 9), MachineLabel(4, 1, 0, 0.0, "planned", None)],
    )
    store.upsert_items(
        live.id,
        [
            item(3, label=1, annotation_id=5, annotator=2, labelled_at=NOON, lead_time=1.5, n_human=2),
            item(2**40, unreadable="a 'reason'\n"),
        ],
    )
    store.upsert_duplicates(live.id, [Duplicate(3, 6, 2, 0, NOON + timedelta(microseconds=1))])
    store.keep_answers(live.id, [Answer("digest", "llm:one", 3, None, 0.1 + 0.2, 1e-9, NOON)])
    store.set_watermark(live.id, NOON)


def everything(store: Store) -> list[Any]:
    """All that the store can tell."""
    return [
        (
            campaign,
            store.events(campaign.id),
            store.items(campaign.id),
            store.duplicates(campaign.id),
            store.assignments(campaign.id),
            store.frozen(campaign.id, 1),
            store.machine_labels(campaign.id),
            store.watermark(campaign.id),
            store.answers(["digest"]),
            store.answers_paid(campaign.id),
            campaign in store.live_campaigns(),
        )
        for campaign in store.campaigns()
    ]


def saved(store: Store) -> io.BytesIO:
    file = io.BytesIO()
    store.backup(file)
    file.seek(0)
    return file


def rewritten(file: io.BytesIO, change: Callable[[list[Any]], list[Any]]) -> io.BytesIO:
    lines = [json.loads(line) for line in gzip.decompress(file.getvalue()).splitlines()]
    return io.BytesIO(gzip.compress("".join(json.dumps(line) + "\n" for line in change(lines)).encode()))


class BackupContract:
    @pytest.fixture
    def urls(self, tmp_path: Path) -> list[str]:
        """Two empty databases: where a backup comes from, and where it goes."""
        raise NotImplementedError

    @pytest.fixture
    def stores(self, urls: list[str]) -> Iterator[list[Store]]:
        made = [Store(url) for url in urls]
        yield made
        for store in made:
            store.close()

    def test_what_was_backed_up_comes_back_the_same(self, stores: list[Store]) -> None:
        here, there = stores
        fill(here)
        counts = here.backup(file := io.BytesIO())
        file.seek(0)
        assert there.restore(file) == counts
        assert everything(there) == everything(here)
        assert counts["campaigns"] == 2 and counts["events"] == 6 and all(counts.values())

    def test_work_goes_on_after_a_restore(self, stores: list[Store]) -> None:
        here, there = stores
        fill(here)
        there.restore(saved(here))
        _, live = there.campaigns()
        assert there.acquire_lease(live.id, "me", 60)
        assert [event.seq for event in there.append(live.id, [NewEvent("note", {})], expected_seq=4)] == [5]
        assert there.create_campaign(8, LS, []).id > live.id  # numbers go on where they were
        with pytest.raises(InvalidValue, match="already has a campaign"):
            there.create_campaign(7, LS, [])
        there.migrate()

    def test_a_backup_is_one_moment_though_others_write(self, stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
        here, there = stores
        fill(here)
        before = everything(here)
        put = backup._put

        def busy(file: Any, line: Any) -> None:
            """While the backup is written, a worker goes on."""
            put(file, line)
            here.append(2, [NewEvent("note", {})], machine_labels=[MachineLabel(77, 1, 0, 0.0, "planned", None)])

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(backup, "_put", busy)
            file = saved(here)
        there.restore(file)
        assert everything(there) == before != everything(here)

    def test_a_database_with_campaigns_is_left_alone_unless_they_may_go(self, stores: list[Store]) -> None:
        here, there = stores
        fill(here)
        there.migrate()
        there.create_campaign(1, "http://elsewhere", [NewEvent("requested", {})])
        before = everything(there)
        with pytest.raises(InvalidValue, match="has 1 campaigns, 1 of them live, which would be lost"):
            there.restore(saved(here))
        assert everything(there) == before
        there.restore(saved(here), replace=True)
        assert everything(there) == everything(here)

    def test_a_campaign_that_a_worker_is_at_is_never_replaced(self, stores: list[Store]) -> None:
        here, _ = stores
        fill(here)
        file = saved(here)
        here.acquire_lease(2, "a worker", 60)
        with pytest.raises(InvalidValue, match="a worker is at work on campaign 2: stop all workers"):
            here.restore(file, replace=True)
        here.release_lease(2, "a worker")
        file.seek(0)
        here.restore(file, replace=True)

    @pytest.mark.parametrize("spoil", ["cut", "torn", "row", "end", "twice"])
    def test_a_file_that_is_not_whole_changes_nothing(self, stores: list[Store], spoil: str) -> None:
        here, there = stores
        fill(here)
        there.migrate()
        there.create_campaign(1, "http://elsewhere", [NewEvent("requested", {})])
        before = everything(there)
        file = saved(here)
        spoiled = {
            "cut": lambda: io.BytesIO(file.getvalue()[:-40]),
            "torn": lambda: io.BytesIO(file.getvalue()[:-200] + b"\0" * 200),
            "row": lambda: rewritten(file, lambda lines: [*lines[:2], *lines[3:]]),
            "end": lambda: rewritten(file, lambda lines: lines[:-1]),
            "twice": lambda: rewritten(file, lambda lines: [*lines[:3], *lines[2:]]),
        }[spoil]()
        with pytest.raises(InvalidValue, match=r"damaged or cut off; nothing was changed|is damaged; nothing was changed"):
            there.restore(spoiled, replace=True)
        assert everything(there) == before

    def test_a_newer_versions_backup_is_refused_by_name(self, stores: list[Store]) -> None:
        here, there = stores
        fill(here)

        def newer(lines: list[Any]) -> list[Any]:
            return [lines[0] | {"revision": "9999", "program": "77.0"}, *lines[1:]]

        with pytest.raises(InvalidValue, match=r"made by version 77\.0 \(tables of revision 9999\), newer than this one"):
            there.restore(rewritten(saved(here), newer))

    def test_an_older_versions_backup_is_brought_to_this_versions_tables(
        self, stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = stores
        fill(here)
        file = saved(here)
        before = everything(here)
        next_version(tmp_path, monkeypatch)
        there.restore(file)
        assert everything(there) == before
        with there._database.reading() as connection:
            assert connection.execute(sa.text("SELECT DISTINCT note FROM campaigns")).scalars().all() == ["as before"]

    def test_a_database_of_another_version_is_not_backed_up(
        self, stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = stores
        with pytest.raises(StoreUnavailable, match=r"has no tables: there is nothing to back up|unable to open"):
            there.backup(io.BytesIO())
        fill(here)
        next_version(tmp_path, monkeypatch)
        with pytest.raises(StoreUnavailable, match="tables of another version"):
            here.backup(io.BytesIO())
        here.migrate()
        here.backup(io.BytesIO())

    def test_the_commands_write_a_private_file_and_read_it_back(
        self, urls: list[str], stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        here, there = stores
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MCAL_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("DATABASE_URL", urls[0])
        assert app.run(["migrate"]) == 0
        assert "made anew" in capsys.readouterr().out
        fill(here)
        assert app.run(["migrate"]) == 0
        assert "nothing to do" in capsys.readouterr().out
        assert app.run(["backup", "kept.mcal"]) == 0
        assert "2 campaigns, 6 events, 2 items written to kept.mcal" in capsys.readouterr().err
        assert (tmp_path / "kept.mcal").stat().st_mode & 0o777 == 0o600
        assert app.run(["backup", "kept.mcal"]) == 2
        assert "exists already" in capsys.readouterr().err
        assert app.run(["backup", "kept.mcal", "--force"]) == 0
        assert app.run(["restore", "kept.mcal"]) == 2
        assert "2 campaigns, 1 of them live" in capsys.readouterr().err
        monkeypatch.setenv("DATABASE_URL", urls[1])
        assert app.run(["restore", "kept.mcal"]) == 0
        assert app.run(["restore", "kept.mcal", "--force"]) == 0
        assert everything(there) == everything(here)
        assert sorted(path.name for path in tmp_path.glob("*kept*")) == ["kept.mcal"]
        assert app.run(["restore", "nothing.mcal"]) == 2
        assert "nothing.mcal cannot be read: No such file" in capsys.readouterr().err


def next_version(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program be one migration further: campaigns have a note."""
    scripts = directory / "migrations"
    shutil.copytree(Path(migrate_module.__file__).parent / "migrations", scripts)
    newest = max(path.stem[:4] for path in (scripts / "versions").glob("0*.py"))
    (scripts / "versions" / "9000_note.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision, branch_labels, depends_on = '9000', '{newest}', None, None\n"
        "def upgrade():\n"
        "    op.add_column('campaigns', sa.Column('note', sa.Text, nullable=False, server_default='as before'))\n"
    )
    made = migrate_module.config()
    made.set_main_option("script_location", str(scripts))
    for module in (migrate_module, backup):
        monkeypatch.setattr(module, "config", lambda: made)


class TestFromSQLiteToSQLite(BackupContract):
    @pytest.fixture
    def urls(self, tmp_path: Path) -> list[str]:
        return [f"sqlite:///{tmp_path / name / 'mcal.db'}" for name in ("here", "there")]

    @pytest.mark.parametrize(
        "content", [b"", b"nonsense", gzip.compress(b"{}\n", mtime=0), gzip.compress(b"[1]\n", mtime=0), gzip.compress(b"", mtime=0)]
    )
    def test_a_file_that_is_no_backup_is_refused(self, stores: list[Store], content: bytes) -> None:
        with pytest.raises(InvalidValue, match="no backup made by mcal backup"):
            stores[0].restore(io.BytesIO(content))

    def test_another_format_is_refused(self, stores: list[Store]) -> None:
        fill(stores[0])
        with pytest.raises(InvalidValue, match="has format 2, this version reads 1"):
            stores[1].restore(rewritten(saved(stores[0]), lambda lines: [lines[0] | {"format_version": 2}, *lines[1:]]))

    def test_every_table_is_in_a_backup_or_left_out_on_purpose(self, stores: list[Store]) -> None:
        fill(stores[0])
        counts = stores[0].backup(io.BytesIO())
        assert set(counts) | {"leases", "workers"} == set(metadata.tables)

    def test_a_backup_that_fails_leaves_no_file(
        self, urls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MCAL_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("DATABASE_URL", urls[0])
        (tmp_path / "here").mkdir()
        assert app.run(["backup", "kept.mcal"]) == 2
        assert "has no tables" in capsys.readouterr().err
        assert list(tmp_path.glob("*kept*")) == []
        assert app.run(["backup", "no/such/folder/kept.mcal"]) == 2


@needs_postgresql
class TestFromSQLiteToPostgreSQL(BackupContract):
    @pytest.fixture
    def urls(self, tmp_path: Path, postgresql_url: str) -> list[str]:
        return [f"sqlite:///{tmp_path / 'here' / 'mcal.db'}", postgresql_url]


@needs_postgresql
class TestFromPostgreSQLToSQLite(BackupContract):
    @pytest.fixture
    def urls(self, tmp_path: Path, postgresql_url: str) -> list[str]:
        return [postgresql_url, f"sqlite:///{tmp_path / 'there' / 'mcal.db'}"]
