"""What pages read of weeks without reading all of it: models that were called, reports summed up.

A data plane's report, one in ten seconds, is added to its ten minutes as it comes, by the database:
it may be lost, but what is there is in the sums. Whoever does not know of them writes them all the
same. The index lets a page leap from model to model; building it holds up the job ``rollup``.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = (
    """
CREATE TABLE spool_rollups (
    plane text NOT NULL,
    at timestamptz NOT NULL,
    pending_records bigint NOT NULL,
    oldest_pending_s double precision NOT NULL,
    PRIMARY KEY (plane, at)
)
""",
    """
CREATE TABLE engine_rollups (
    plane text NOT NULL,
    tier text NOT NULL,
    at timestamptz NOT NULL,
    queue_depth integer,
    reports bigint NOT NULL,
    busy_shares double precision NOT NULL,
    memory_bytes bigint,
    PRIMARY KEY (plane, tier, at)
)
""",
    "CREATE INDEX spool_rollups_by_time ON spool_rollups (at)",
    "CREATE INDEX engine_rollups_by_time ON engine_rollups (at)",
    "CREATE INDEX spend_rollups_by_model ON spend_rollups (model, at)",
    "GRANT SELECT, DELETE ON spool_rollups, engine_rollups TO penstock_controlplane",
)

# A report that cannot be read must be storable all the same.
SUM_REPORT = """
CREATE FUNCTION penstock_sum_report(report plane_reports) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO spool_rollups AS sum (plane, at, pending_records, oldest_pending_s)
    SELECT report.plane, date_bin('10 minutes', report.at, '2000-01-01Z'),
        coalesce((spool ->> 'pending_records')::bigint, 0),
        coalesce((spool ->> 'oldest_pending_seconds')::float8, 0)
    FROM (SELECT report.body -> 'spool' AS spool) AS told
    ON CONFLICT (plane, at) DO UPDATE SET
        pending_records = greatest(sum.pending_records, excluded.pending_records),
        oldest_pending_s = greatest(sum.oldest_pending_s, excluded.oldest_pending_s);
    INSERT INTO engine_rollups AS sum (plane, tier, at, queue_depth, reports, busy_shares,
        memory_bytes)
    SELECT report.plane, tier, date_bin('10 minutes', report.at, '2000-01-01Z'),
        (told ->> 'queue_depth')::integer, (busy IS NOT NULL)::integer, coalesce(busy, 0),
        (told ->> 'memory_rss_bytes')::bigint
    FROM jsonb_each(report.body -> 'tiers') AS listed (tier, told)
    CROSS JOIN LATERAL (
        SELECT (told ->> 'slots_busy')::float8 / nullif((told ->> 'slots')::float8, 0) AS busy
    ) AS shared
    WHERE told ->> 'slots' IS NOT NULL
    ON CONFLICT (plane, tier, at) DO UPDATE SET
        queue_depth = greatest(sum.queue_depth, excluded.queue_depth),
        reports = sum.reports + excluded.reports,
        busy_shares = sum.busy_shares + excluded.busy_shares,
        memory_bytes = greatest(sum.memory_bytes, excluded.memory_bytes);
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
    NULL;
END
$$
"""
REPORT_CAME = """
CREATE FUNCTION penstock_report_came() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM penstock_sum_report(NEW);
    RETURN NULL;
END
$$
"""
ADDING = (
    SUM_REPORT,
    REPORT_CAME,
    "SELECT penstock_sum_report(report) FROM plane_reports AS report",
    "CREATE TRIGGER summed AFTER INSERT ON plane_reports"
    " FOR EACH ROW EXECUTE FUNCTION penstock_report_came()",
    "REVOKE EXECUTE ON FUNCTION penstock_sum_report, penstock_report_came FROM PUBLIC",
)

VIEWS = {
    "v_called_models": (
        """
WITH RECURSIVE known AS (
    (SELECT model, at FROM spend_rollups ORDER BY model DESC, at DESC LIMIT 1)
    UNION ALL
    SELECT next.model, next.at FROM known CROSS JOIN LATERAL (
        SELECT model, at FROM spend_rollups WHERE model < known.model
        ORDER BY model DESC, at DESC LIMIT 1
    ) AS next
)
SELECT model, at AS last_at FROM known
""",
        "One row a model that sums tell of: the ten minutes in which it was called last.",
    ),
    "v_spool_rollups": (
        "SELECT plane, at, pending_records, oldest_pending_s FROM spool_rollups",
        "One row a data plane and ten minutes: the most that waited in its spool.",
    ),
    "v_engine_rollups": (
        "SELECT plane, tier, at, queue_depth, reports, busy_shares, memory_bytes"
        " FROM engine_rollups",
        "One row an engine of ours, data plane and ten minutes: the longest queue, the sum of the "
        "shares of its slots that were busy and of how many reports, the most memory (bytes).",
    ),
}


def upgrade() -> None:
    """Make the tables and the views; the database adds up, the dashboard reads views."""
    for statement in (*TABLES, *ADDING):
        op.execute(statement)
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows}'")
    op.execute(f"GRANT SELECT ON {', '.join(VIEWS)} TO penstock_dashboard")
