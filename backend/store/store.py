"""The store's one interface. Every method is one transaction; any number of threads and processes may share a database."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Self

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError

from backend.store import answers, history, leases, mirror, workers
from backend.store.backup import restore_backup, write_backup
from backend.store.database import Database
from backend.store.migrate import migrate
from backend.store.rows import Answer, Assignment, Campaign, Duplicate, Event, Frozen, Item, MachineLabel, NewEvent
from backend.store.schema import assignments, duplicates, frozen, items, machine_labels
from backend.store.tables import as_parameters, select_rows, upsert_rows
from mcal_engine.errors import InvalidValue


def utc_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class Store:
    """Campaigns, their history, and the mirror of Label Studio's labels, in SQLite or PostgreSQL.

    Raises (every method): :class:`StoreUnavailable` when the database cannot be reached, is locked for more than half a minute or has
    not been migrated; :class:`InvalidValue` for a campaign that does not exist and for datetimes without a time zone.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = utc_now) -> None:
        """Nothing is opened before the first call.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
            now: the clock that dates campaigns and events, and on SQLite the leases; on PostgreSQL leases go by the server's.
        """
        self._database, self._now = Database(url), now
        self._fence: tuple[int, str] | None = None

    def fenced(self, campaign_id: int, owner: str) -> Self:
        """The same store for one owner of the campaign's lease: a write of somebody who has lost it raises :class:`LeaseLost`.

        The owner is compared in the transaction that writes, so that nobody can take the lease in between.
        """
        twin = copy.copy(self)
        twin._fence = (campaign_id, owner)  # noqa: SLF001 (of our own kind)
        return twin

    @property
    def shown_url(self) -> str:
        """The address without its password."""
        return self._database.shown_url

    def migrate(self) -> tuple[str | None, str]:
        """Make or update the tables. Idempotent; processes that start together wait for each other.

        Returns:
            The tables' revision before (``None`` in a new database) and after.
        """
        return migrate(self._database)

    def backup(self, target: IO[bytes]) -> dict[str, int]:
        """Write all campaigns, histories and ledgers as of now to ``target``; returns the number of rows by table."""
        return write_backup(self._database, target)

    def restore(self, source: IO[bytes], *, replace: bool = False) -> dict[str, int]:
        """Put a backup, also one of another kind of database, in the place of what is here; all or nothing.

        Raises:
            InvalidValue: there are campaigns here and not ``replace``; a worker holds one; the file is no whole backup or too new.
        """
        return restore_backup(self._database, source, replace=replace)

    def close(self) -> None:
        """Give the connections back; a later call opens new ones."""
        self._database.engine.dispose()

    def ping(self) -> None:
        """Raise :class:`StoreUnavailable` unless the database answers and has been migrated."""
        with self._database.reading() as connection:
            connection.execute(text("SELECT version_num FROM alembic_version"))

    # --- campaigns and their history

    def create_campaign(self, project_id: int, label_studio_url: str, events: Sequence[NewEvent]) -> Campaign:
        """Open a campaign with its first events (seq 1, 2 …).

        Raises:
            InvalidValue: the project already has a live campaign: one whose last event does not end one.
        """
        with self._database.writing() as connection:
            return history.create_campaign(connection, project_id, label_studio_url, events, self._now())

    def campaigns(self) -> list[Campaign]:
        """All campaigns, the oldest first."""
        with self._database.reading() as connection:
            return history.all_campaigns(connection)

    def campaign(self, campaign_id: int) -> Campaign:
        """Raises :class:`InvalidValue` naming the id when there is no such campaign."""
        with self._database.reading() as connection:
            return history.campaign(connection, campaign_id)

    def live_campaign(self, label_studio_url: str, project_id: int) -> Campaign | None:
        with self._database.reading() as connection:
            return history.live_campaign(connection, label_studio_url, project_id)

    def live_campaigns(self) -> list[Campaign]:
        with self._database.reading() as connection:
            return history.all_campaigns(connection, only_live=True)

    def events(self, campaign_id: int, *, after: int = 0, kinds: Collection[str] | None = None) -> list[Event]:
        """The history in order of ``seq``: rows with ``seq > after``, of these kinds only if given."""
        with self._database.reading() as connection:
            return history.read_events(connection, campaign_id, after=after, kinds=kinds)

    def append(
        self,
        campaign_id: int,
        events: Sequence[NewEvent],
        *,
        expected_seq: int | None = None,
        assignments: Sequence[Assignment] = (),
        frozen: tuple[int, Sequence[Frozen]] | None = None,
        machine_labels: Sequence[MachineLabel] = (),
        ends: bool = False,
        reopens: bool = False,
    ) -> list[Event]:
        """Add events and what goes with them, all or nothing.

        Args:
            expected_seq: seq of the last event the caller has seen (0 for none); ``None`` appends after whatever is there.
            assignments: roles given now; a task gets one role per campaign, once.
            frozen: a look and its whole order of the pool; a look is frozen once.
            machine_labels: inserted, or overwritten by task.
            ends: the campaign is no longer live (also so when the last event ends one).
            reopens: the campaign is live again.

        Raises:
            Conflict: the history has moved on from ``expected_seq``; nothing was written.
            InvalidValue: a task with a role already, a look frozen already, a payload that is no plain JSON object, or a campaign to
                reopen on whose project another one is live.
        """
        with self._writing(campaign_id) as connection:
            return history.append(
                connection,
                campaign_id,
                events,
                now=self._now(),
                expected_seq=expected_seq,
                new_assignments=assignments,
                freeze=frozen,
                new_machine_labels=machine_labels,
                ends=ends,
                reopens=reopens,
            )

    def assignments(self, campaign_id: int) -> list[Assignment]:
        """By round, role and rank."""
        order = (assignments.c.round, assignments.c.role, assignments.c.rank)
        with self._database.reading() as connection:
            return [Assignment(*row) for row in connection.execute(select_rows(assignments, Assignment, campaign_id).order_by(*order))]

    def frozen(self, campaign_id: int, look: int) -> list[Frozen]:
        """The frozen order of one look, by rank; empty when that look was never frozen."""
        query = select_rows(frozen, Frozen, campaign_id, frozen.c.look == look).order_by(frozen.c.rank)
        with self._database.reading() as connection:
            return [Frozen(*row) for row in connection.execute(query)]

    # --- the mirror of Label Studio

    def items(self, campaign_id: int) -> list[Item]:
        """By task id, deleted ones included."""
        with self._database.reading() as connection:
            return [Item(*row) for row in connection.execute(select_rows(items, Item, campaign_id).order_by(items.c.task_id))]

    def upsert_items(self, campaign_id: int, items: Sequence[Item]) -> None:
        """Insert, or overwrite by task. A stored ``unreadable`` outlives a new ``None`` as long as ``image`` stays the same."""
        with self._writing(campaign_id) as connection:
            mirror.upsert_items(connection, campaign_id, items)

    def mark_deleted(self, campaign_id: int, task_ids: Collection[int]) -> None:
        """Tasks that are gone from Label Studio; ids that the mirror does not have are passed over."""
        with self._writing(campaign_id) as connection:
            mirror.mark_deleted(connection, campaign_id, task_ids)

    def mark_unreadable(self, campaign_id: int, reasons: Mapping[int, str | None]) -> None:
        """Why each task's image cannot be used; ``None`` gives it another chance."""
        with self._writing(campaign_id) as connection:
            mirror.mark_unreadable(connection, campaign_id, reasons)

    def duplicates(self, campaign_id: int) -> list[Duplicate]:
        """By task and annotation."""
        order = (duplicates.c.task_id, duplicates.c.annotation_id)
        with self._database.reading() as connection:
            return [Duplicate(*row) for row in connection.execute(select_rows(duplicates, Duplicate, campaign_id).order_by(*order))]

    def has_duplicates(self, campaign_id: int) -> bool:
        """Whether any task has a label beyond the first."""
        query = select(duplicates.c.annotation_id).where(duplicates.c.campaign_id == campaign_id).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def upsert_duplicates(self, campaign_id: int, duplicates: Sequence[Duplicate], *, of_tasks: Collection[int] = ()) -> None:
        """Insert, or overwrite by annotation. ``of_tasks``: tasks whose duplicates are all given, so that others of theirs are dropped."""
        with self._writing(campaign_id) as connection:
            mirror.upsert_duplicates(connection, campaign_id, duplicates, of_tasks)

    def machine_labels(self, campaign_id: int) -> list[MachineLabel]:
        """By task id."""
        query = select_rows(machine_labels, MachineLabel, campaign_id).order_by(machine_labels.c.task_id)
        with self._database.reading() as connection:
            return [MachineLabel(*row) for row in connection.execute(query)]

    def set_machine_labels(self, campaign_id: int, rows: Sequence[MachineLabel]) -> None:
        """Insert, or overwrite by task."""
        with self._writing(campaign_id) as connection:
            upsert_rows(connection, machine_labels, as_parameters(campaign_id, rows))

    def watermark(self, campaign_id: int) -> datetime | None:
        """Label Studio's time up to which changes have been read."""
        with self._database.reading() as connection:
            return mirror.watermark(connection, campaign_id)

    def set_watermark(self, campaign_id: int, when: datetime) -> None:
        with self._writing(campaign_id) as connection:
            mirror.set_watermark(connection, campaign_id, when)

    # --- what models from outside answered

    def answers(self, asked: Sequence[str]) -> dict[str, Answer]:
        """The answers to these questions (:attr:`Answer.asked`), as far as anybody's campaign has them."""
        with self._database.reading() as connection:
            return answers.known(connection, asked)

    def keep_answers(self, campaign_id: int, rows: Sequence[Answer]) -> None:
        """Add answers that this campaign has had; the first answer to a question stays."""
        with self._writing(campaign_id) as connection:
            answers.keep(connection, campaign_id, rows)

    def answers_paid(self, campaign_id: int) -> dict[str, tuple[int, float]]:
        """By model: how many answers this campaign has had first, and what it paid for them."""
        with self._database.reading() as connection:
            return answers.paid(connection, campaign_id)

    # --- leases

    def acquire_lease(self, campaign_id: int, owner: str, seconds: float, *, now: datetime | None = None) -> bool:
        """Whether the campaign is this owner's for the next ``seconds``: it was free, run out, or the owner's already.

        ``owner`` must differ between workers and between threads that work at once. ``now``: the database's clock unless given.
        """
        with self._writing(campaign_id) as connection:
            return leases.acquire(connection, campaign_id, owner, seconds, now or leases.clock(connection, self._now))

    def renew_lease(self, campaign_id: int, owner: str, seconds: float, *, now: datetime | None = None) -> bool:
        """Whether it is still the owner's, now for ``seconds`` from here. ``False``: somebody else has it; stop working."""
        with self._writing(campaign_id) as connection:
            return leases.renew(connection, campaign_id, owner, seconds, now or leases.clock(connection, self._now))

    def holds_lease(self, campaign_id: int, owner: str) -> bool:
        """Whether this owner's lease has not become somebody else's; it may have run out."""
        with self._database.reading() as connection:
            return leases.holder(connection, campaign_id) == owner

    def release_lease(self, campaign_id: int, owner: str) -> None:
        """Free it at once; nothing happens when somebody else has it by now."""
        with self._writing(campaign_id) as connection:
            leases.release(connection, campaign_id, owner)

    # --- workers

    def beat(self, worker: str) -> None:
        """Note that this worker is alive, by the clock that all workers share."""
        with self._database.writing() as connection:
            workers.beat(connection, worker, leases.clock(connection, self._now))

    def forget_worker(self, worker: str) -> None:
        """It has ended in order. No error if nobody knows it."""
        with self._database.writing() as connection:
            workers.forget(connection, worker)

    def worker_seen(self) -> float | None:
        """Seconds since any worker was seen alive; ``None``: none that did not end in order."""
        with self._database.reading() as connection:
            seen = workers.last_seen(connection)
            return None if seen is None else max((leases.clock(connection, self._now) - seen).total_seconds(), 0.0)

    @contextmanager
    def _writing(self, campaign_id: int) -> Iterator[Connection]:
        try:
            with self._database.writing() as connection:
                if self._fence is not None:
                    leases.require(connection, *self._fence)
                yield connection
        except IntegrityError as error:
            first = (str(error.orig).splitlines() or [""])[0]
            raise InvalidValue(f"campaign {campaign_id}: there is no such campaign, or a row contradicts a stored one ({first})") from error
