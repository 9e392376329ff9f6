"""Shadows that a budget sheds. Planes of the release before shed none, and take them for ended."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a shadow task be shed."""
    op.execute("ALTER TABLE shadow_tasks DROP CONSTRAINT status_is_known")
    op.execute(
        "ALTER TABLE shadow_tasks ADD CONSTRAINT status_is_known CHECK"
        " (status IN ('pending', 'leased', 'done', 'failed', 'expired', 'shed'))"
    )
