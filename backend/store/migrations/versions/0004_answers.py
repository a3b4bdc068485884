"""What models from outside answered, so that nothing is asked, or paid for, twice."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("asked", sa.String(64), nullable=False),
        sa.Column("campaign_id", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("label", sa.Integer),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("price", sa.Double, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("asked", name="pk_answers"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name="fk_answers_campaign_id"),
    )
    op.create_index("ix_answers_campaign_id", "answers", ["campaign_id"])


def downgrade() -> None:
    op.drop_table("answers")
