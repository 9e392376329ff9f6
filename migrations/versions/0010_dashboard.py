"""What the dashboard's pages share: the values that their filters offer.

They come from small tables alone, never from the records. Adding a view changes nothing for planes
of the release before.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FILTERS = """
WITH live AS MATERIALIZED (
    SELECT document::jsonb AS document FROM policies
    WHERE version = (
        SELECT (part ->> 'version')::integer FROM publications
        CROSS JOIN LATERAL jsonb_array_elements(in_force)
            WITH ORDINALITY AS listed (part, place)
        WHERE seq = (SELECT max(seq) FROM publications)
        ORDER BY coalesce((part ->> 'share')::float8, 1) DESC, place LIMIT 1
    )
)
SELECT 'tenant' AS filter, tenant AS value, 0 AS place FROM api_keys GROUP BY tenant
UNION ALL
SELECT 'segment', part ->> 'name', place::integer
FROM live CROSS JOIN LATERAL jsonb_array_elements(document -> 'segments')
    WITH ORDINALITY AS listed (part, place)
UNION ALL
SELECT 'tier', part ->> 'name', place::integer
FROM live CROSS JOIN LATERAL jsonb_array_elements(document -> 'tiers')
    WITH ORDINALITY AS listed (part, place)
UNION ALL
SELECT 'version', version::text, -version FROM policies
"""
SHOWS = (
    "One row a value that a filter of the dashboard offers, in the order of place: tenants with a "
    "key, segments and tiers of the live policy, policy versions."
)


def upgrade() -> None:
    """Make the view, and let the dashboard read it."""
    op.execute(f"CREATE VIEW v_filters AS {FILTERS}")
    op.execute(f"COMMENT ON VIEW v_filters IS '{SHOWS}'")
    op.execute("GRANT SELECT ON v_filters TO penstock_dashboard")
