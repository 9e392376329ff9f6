"""One reading of what data planes answered to publications: who asks where, is told the same.

The views that it replaces go. A dashboard of the release before lacks them on its pages on policies
and on the system until it is upgraded, too; data planes read neither.
"""

from importlib import import_module

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

REPLACED = {"v_policy_answers": "0011_decisions_and_policies", "v_last_answers": "0013_rollups"}
FLEET = """
WITH newest AS (SELECT seq, published_at FROM publications ORDER BY seq DESC LIMIT 1), heard AS (
    SELECT a.plane, max(a.seq) AS last, max(a.seq) FILTER (WHERE a.status = 'ack') AS taken
    FROM newest JOIN policy_acks a ON a.seq > newest.seq - 1000
    GROUP BY a.plane, newest.published_at
    HAVING max(a.at) >= newest.published_at - interval '1 day'
)
SELECT heard.plane, took.serves, answer.refused, answer.reason, heard.last AS seq,
    newest.seq AS newest, answer.at,
    CASE
        WHEN heard.last = newest.seq AND answer.refused = '{}' THEN 'current'
        WHEN heard.last = newest.seq THEN 'refused'
        WHEN newest.published_at < now() - interval '10 seconds' THEN 'behind'
        ELSE 'awaited'
    END AS standing
FROM newest CROSS JOIN heard
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(version ORDER BY version), '{}') AS serves FROM policy_acks
    WHERE plane = heard.plane AND seq = heard.taken AND status = 'ack'
) AS took
CROSS JOIN LATERAL (
    SELECT max(at) AS at, (array_agg(reason ORDER BY beside, version))[1] AS reason, coalesce(
            array_agg(version ORDER BY beside, version) FILTER (WHERE status = 'nack'), '{}'
        ) AS refused
    FROM (
        SELECT version, status, reason, at, reason LIKE 'not put in force, because%' AS beside
        FROM policy_acks WHERE plane = heard.plane AND seq = heard.last
    ) AS said
) AS answer
"""
SHOWS = (
    "One row a data plane that was heard of in the day before the newest publication, or since: "
    "the versions that it took last, and what it said to the publication that it answered last, "
    "with the versions that it refused (0: the publication itself), the one at fault first, and "
    "why. An answer to the newest one is awaited for ten seconds, which are two polls."
)


def upgrade() -> None:
    """Make the view in the place of the two; the control plane reads it, as the dashboard does."""
    op.execute(f"DROP VIEW {', '.join(REPLACED)}")
    _make("v_fleet", FLEET, SHOWS)
    op.execute("GRANT SELECT ON v_fleet TO penstock_controlplane")


def downgrade() -> None:
    """Bring back the two views as they were made."""
    op.execute("DROP VIEW v_fleet")
    for name, made_by in REPLACED.items():
        _make(name, *import_module(f"migrations.versions.{made_by}").VIEWS[name])


def _make(name: str, query: str, shows: str) -> None:
    op.execute(f"CREATE VIEW {name} AS {query}")
    op.execute(f"COMMENT ON VIEW {name} IS '{shows.replace(chr(39), chr(39) * 2)}'")
    op.execute(f"GRANT SELECT ON {name} TO penstock_dashboard")
