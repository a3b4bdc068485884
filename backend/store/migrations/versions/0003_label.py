"""A class is called label in every table, as it is in the mirror of the tasks; a choice is its name."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("duplicates", "frozen", "machine_labels"):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN choice TO label")  # Alembic's own way copies the table on SQLite


def downgrade() -> None:
    for table in ("duplicates", "frozen", "machine_labels"):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN label TO choice")
