"""Gates: draws in the order in which they were observed, and where each trust gate stands."""

from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEX = "CREATE INDEX label_tasks_as_observed ON label_tasks (created_at, at, decision_id)"
GATES = """
CREATE VIEW v_overview_gates AS
SELECT trial ->> 0 AS judge, trial ->> 1 AS segment,
    trial -> 2 -> 'gate' ->> 'standing' AS standing,
    (trial -> 2 ->> 'since')::timestamptz AS since,
    (trial -> 2 ->> 'pairs')::integer AS pairs
FROM learner_state
CROSS JOIN LATERAL jsonb_array_elements(body::jsonb -> 'trials') AS trial
WHERE name = 'trust'
"""
SHOWS = "One row a trust gate: how it stands, since when, and how many pairs it saw since."


def upgrade() -> None:
    """Make the index and the view, and let the dashboard read it."""
    op.execute(INDEX)
    op.execute(GATES)
    op.execute(f"COMMENT ON VIEW v_overview_gates IS '{SHOWS}'")
    op.execute("GRANT SELECT ON v_overview_gates TO penstock_dashboard")
