"""The first tables: campaigns, history, mirror, frozen orders, machine labels, leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("project_id", sa.BigInteger, nullable=False),
        sa.Column("label_studio_url", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("watermark", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_campaigns_live",
        "campaigns",
        ["label_studio_url", "project_id"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_table(
        "events",
        *_keys("events", "seq"),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("seq >= 1", name="ck_events_seq_from_one"),
    )
    op.create_index("ix_events_campaign_id_kind", "events", ["campaign_id", "kind"])
    op.create_table(
        "assignments",
        *_keys("assignments", "task_id"),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "items",
        *_keys("items", "task_id"),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("label", sa.Integer),
        sa.Column("annotation_id", sa.BigInteger),
        sa.Column("annotator", sa.BigInteger),
        sa.Column("labelled_at", INSTANT),
        sa.Column("lead_time", sa.Double),
        sa.Column("n_human", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Boolean, nullable=False),
        sa.Column("preexisting", sa.Boolean, nullable=False),
        sa.Column("unreadable", sa.Text),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("machine_annotation_id", sa.BigInteger),
        sa.Column("updated_at", INSTANT, nullable=False),
    )
    op.create_table(
        "duplicates",
        *_keys("duplicates", "annotation_id"),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("annotator", sa.BigInteger, nullable=False),
        sa.Column("choice", sa.Integer, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
    )
    op.create_index("ix_duplicates_campaign_id_task_id", "duplicates", ["campaign_id", "task_id"])
    op.create_table(
        "frozen",
        *_keys("frozen", "look", "rank"),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("choice", sa.Integer, nullable=False),
        sa.Column("surety", sa.Double, nullable=False),
        sa.UniqueConstraint("campaign_id", "look", "task_id", name="uq_frozen_campaign_id_look_task_id"),
    )
    op.create_table(
        "machine_labels",
        *_keys("machine_labels", "task_id"),
        sa.Column("look", sa.Integer, nullable=False),
        sa.Column("choice", sa.Integer, nullable=False),
        sa.Column("surety", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("annotation_id", sa.BigInteger),
    )
    op.create_table(
        "leases",
        *_keys("leases"),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    for name in ("leases", "machine_labels", "frozen", "duplicates", "items", "assignments", "events", "campaigns"):
        op.drop_table(name)


def _keys(table: str, *names: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("campaign_id", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in names),
        sa.PrimaryKeyConstraint("campaign_id", *names, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=f"fk_{table}_campaign_id"),
    ]
