"""A query may draw a shadow of each silent tier: a draw is one a decision, kind and tier.

An audit has no tier, and there is one of them: nulls are not distinct. Planes of the release before
write fewer rows and read none of these.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CLOUD_CALLS = """
CREATE OR REPLACE VIEW v_overview_cloud_calls AS
WITH terms AS MATERIALIZED (SELECT * FROM v_overview_terms)
SELECT a.at, d.at AS decided_at, a.decision_id, a.purpose, a.cost_usd,
    call_usd + char_usd * (d.features ->> 'chars')::float8 AS expected_usd,
    (
        SELECT s.probability FROM draws s
        WHERE s.at = a.at AND s.decision_id = a.decision_id AND s.kind = 'shadow'
            AND s.tier = a.tier
    ) AS shadow_probability
FROM attempts a
JOIN decisions d ON d.at = a.at AND d.id = a.decision_id
JOIN terms ON terms.version = d.policy_version AND terms.cloud = a.tier
WHERE a.error IS NULL AND a.purpose IN ('serve', 'shadow')
"""


def upgrade() -> None:
    """Replace the key, and what took a query's shadow for the only one."""
    op.execute("ALTER TABLE draws DROP CONSTRAINT draws_pkey")
    op.execute(
        "ALTER TABLE draws ADD CONSTRAINT one_a_tier"
        " UNIQUE NULLS NOT DISTINCT (at, decision_id, kind, tier)"
    )
    op.execute(CLOUD_CALLS)
