"""Why an item that people answered has no label, and which answer says so."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("no_label", sa.Text))
    op.add_column("items", sa.Column("last_answer", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("items", "last_answer")
    op.drop_column("items", "no_label")
