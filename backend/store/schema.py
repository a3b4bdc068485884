"""The tables, as the code sees them; ``migrations/`` makes them, and a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.exc import DontWrapMixin

from mcal_engine.errors import InvalidValue


class NaiveTime(InvalidValue, DontWrapMixin):
    """A datetime without a time zone: nobody could tell which instant it means."""


class UTCDateTime(TypeDecorator[datetime]):
    """An instant: aware in, aware and in UTC out. SQLite keeps it as naive UTC text, which sorts in time order."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise NaiveTime(f"datetimes must carry a time zone, got {value.isoformat()}")
        instant = value.astimezone(UTC)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _campaign_key() -> Column[int]:
    return Column("campaign_id", Integer, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False)


def _key(name: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", BigInteger, nullable=False),
    Column("label_studio_url", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("watermark", UTCDateTime),
    # The lock that keeps a project to one live campaign, whoever asks at the same moment.
    Index("uq_campaigns_live", "label_studio_url", "project_id", unique=True, sqlite_where=text("live"), postgresql_where=text("live")),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    _campaign_key(),
    _key("seq"),
    Column("kind", String(64), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    CheckConstraint("seq >= 1", name="seq_from_one"),
    Index("ix_events_campaign_id_kind", "campaign_id", "kind"),
)

assignments = Table(
    "assignments",
    metadata,
    _campaign_key(),
    _key("task_id"),
    Column("role", String(16), nullable=False),
    Column("round", Integer, nullable=False),
    Column("rank", BigInteger, nullable=False),
)

items = Table(
    "items",
    metadata,
    _campaign_key(),
    _key("task_id"),
    Column("image", Text, nullable=False),
    Column("label", Integer),
    Column("annotation_id", BigInteger),
    Column("annotator", BigInteger),
    Column("labelled_at", UTCDateTime),
    Column("lead_time", Double),
    Column("n_human", Integer, nullable=False),
    Column("skipped", Boolean, nullable=False),
    Column("preexisting", Boolean, nullable=False),
    Column("unreadable", Text),
    Column("deleted", Boolean, nullable=False),
    Column("machine_annotation_id", BigInteger),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("no_label", Text),
    Column("last_answer", BigInteger),
    Column("seen_at", UTCDateTime),
)

duplicates = Table(
    "duplicates",
    metadata,
    _campaign_key(),
    _key("annotation_id"),
    Column("task_id", BigInteger, nullable=False),
    Column("annotator", BigInteger, nullable=False),
    Column("label", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Index("ix_duplicates_campaign_id_task_id", "campaign_id", "task_id"),
)

frozen = Table(
    "frozen",
    metadata,
    _campaign_key(),
    _key("look"),
    _key("rank"),
    Column("task_id", BigInteger, nullable=False),
    Column("label", Integer, nullable=False),
    Column("surety", Double, nullable=False),
    UniqueConstraint("campaign_id", "look", "task_id"),
)

machine_labels = Table(
    "machine_labels",
    metadata,
    _campaign_key(),
    _key("task_id"),
    Column("look", Integer, nullable=False),
    Column("label", Integer, nullable=False),
    Column("surety", Double, nullable=False),
    Column("state", String(16), nullable=False),
    Column("annotation_id", BigInteger),
)

answers = Table(
    "answers",
    metadata,
    Column("asked", String(64), primary_key=True),
    Column("campaign_id", Integer, ForeignKey("campaigns.id"), nullable=False),  # whose question it was, and who paid
    Column("model", Text, nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("label", Integer),
    Column("confidence", Double, nullable=False),
    Column("price", Double, nullable=False),
    Column("answered_at", UTCDateTime, nullable=False),
    Index("ix_answers_campaign_id", "campaign_id"),
)

leases = Table(
    "leases",
    metadata,
    _campaign_key(),
    Column("owner", Text, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("seen_at", UTCDateTime, nullable=False),
)
