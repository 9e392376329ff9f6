"""What the pages on the judge, on quality and cost, and on spend read beside what there was.

Planes of the release before write no frontier and read none.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE frontier_points (
    at timestamptz NOT NULL,
    segment text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    policy_version integer,
    queries integer NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    quality double precision,
    quality_lo double precision,
    quality_hi double precision,
    usd double precision NOT NULL,
    usd_lo double precision,
    usd_hi double precision,
    labels double precision,
    method text NOT NULL,
    refused text,
    PRIMARY KEY (at, segment, kind, name)
)
"""

VIEWS = {
    "v_frontier": (
        "SELECT at, segment, kind, name, policy_version, queries, since, until, quality,"
        " quality_lo, quality_hi, usd, usd_lo, usd_hi, labels, method, refused"
        " FROM frontier_points",
        "One row a way to serve, at each hour that it was computed: the share of right answers and "
        "the cost of a query (USD), with intervals, by which method; or why that is not known. "
        "Segment is empty for all of them together.",
    ),
    "v_judge_scores": (
        """
SELECT judge, segment, hour, at, policy_version,
    (part ->> 'low')::float8 AS low, (part ->> 'high')::float8 AS high,
    (part ->> 'right')::integer AS right_labels, (part ->> 'wrong')::integer AS wrong_labels,
    (part ->> 'right_share')::float8 AS right_share,
    (part ->> 'wrong_share')::float8 AS wrong_share
FROM judge_reports
CROSS JOIN LATERAL jsonb_array_elements(body #> '{accuracy,scores}') AS part
WHERE jsonb_typeof(body -> 'accuracy') = 'object'
""",
        "One row a bin of raw scores of a report: labels of right and of wrong answers in it, and "
        "the share of all right, and of all wrong, answers that lie there. The cutoff is an edge.",
    ),
    "v_changes": (
        """
SELECT id, at, kind, body ->> 'reason' AS reason, body ->> 'judge' AS judge,
    body ->> 'segment' AS segment,
    coalesce(body ->> 'standing', body ->> 'stage', body ->> 'status') AS standing
FROM events
WHERE kind IN ('alarm', 'drift', 'gate', 'certificate', 'certificate_void', 'proposal', 'rollback',
    'pin', 'objective')
""",
        "One row an event after which quality or spend may be others, with its reason in words.",
    ),
}


def upgrade() -> None:
    """Make the table and the views; the control plane writes, the dashboard reads views."""
    op.execute(TABLE)
    op.execute("GRANT SELECT, INSERT, DELETE ON frontier_points TO penstock_controlplane")
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows}'")
    op.execute(f"GRANT SELECT ON {', '.join(VIEWS)} TO penstock_dashboard")
