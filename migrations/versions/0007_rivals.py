"""Rivals: for the sake of which policy a query was drawn.

Planes of the release before name none.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty."""
    op.execute("ALTER TABLE draws ADD COLUMN rival integer")
