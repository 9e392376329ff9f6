"""Reports on the judge, one an hour, and the views by which the dashboard reads them.

Planes of the release before write none and read none.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE judge_reports (
    judge text NOT NULL,
    segment text NOT NULL,
    hour timestamptz NOT NULL,
    at timestamptz NOT NULL,
    policy_version integer NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (judge, segment, hour)
)
"""
KEY = "judge, segment, hour, at, policy_version"


def interval(path: str, name: str, of: str = "body") -> str:
    """The columns of an interval that JSON keeps at a path."""
    ends = {"estimate": name, "low": f"{name}_lo", "high": f"{name}_hi"}
    return ", ".join(
        f"({of} #>> '{{{path},{end}}}')::float8 AS {column}" for end, column in ends.items()
    )


VIEWS = {
    "v_judge_reports": (
        f"""
SELECT {KEY}, (body ->> 'cutoff')::float8 AS cutoff,
    (body ->> 'labels')::integer AS labels, (body ->> 'right')::integer AS right_labels,
    (body ->> 'missing')::integer AS labels_missing,
    {interval("accuracy,auroc", "auroc")},
    {interval("accuracy,confusion,tpr", "right_accepted")},
    {interval("accuracy,confusion,fpr", "wrong_accepted")},
    {interval("accuracy,confusion,accepted", "accepted")},
    {interval("accuracy,confusion,precision", "right_of_accepted")},
    {interval("accuracy,brier", "brier")},
    {interval("accuracy,calibration,error", "calibration_error")},
    (body #>> '{{checks,canaries,asked}}')::integer AS canaries,
    {interval("checks,canaries,accepted", "canaries_accepted")},
    body #>> '{{checks,canaries,reason}}' AS canaries_reason,
    body #>> '{{checks,position}}' AS position_bias,
    (body #>> '{{checks,cost,calls}}')::integer AS calls,
    {interval("checks,cost,usd", "verdict_usd")},
    body #>> '{{checks,warning}}' AS warning,
    (body #>> '{{checks,certificate,score}}')::float8 AS certified_score,
    (body #>> '{{checks,certificate,risk}}')::float8 AS certified_risk,
    body #>> '{{gate,standing}}' AS gate, body #>> '{{gate,words}}' AS gate_words
FROM judge_reports
""",
        "One row a report on a judge in a segment, the last of each hour: what labels say of it at "
        "its cutoff (a raw score), with intervals, its canaries, its price (USD) and its gate.",
    ),
    "v_judge_calibration": (
        f"""
SELECT {KEY}, place::integer AS bin, (part ->> 'labels')::integer AS labels,
    (part ->> 'predicted')::float8 AS predicted, {interval("right", "right_share", "part")}
FROM judge_reports
CROSS JOIN LATERAL jsonb_array_elements(body #> '{{accuracy,calibration,bins}}')
    WITH ORDINALITY AS bins (part, place)
WHERE jsonb_typeof(body -> 'accuracy') = 'object'
""",
        "One row a bin of a report: the mean probability of being right that the judge was read "
        "to state, and the share that labels found right, with its interval.",
    ),
    "v_judge_roc": (
        f"""
SELECT {KEY}, (part ->> 'cutoff')::float8 AS cutoff,
    (part ->> 'fpr')::float8 AS wrong_accepted, (part ->> 'tpr')::float8 AS right_accepted
FROM judge_reports
CROSS JOIN LATERAL jsonb_array_elements(body #> '{{accuracy,roc}}') AS part
WHERE jsonb_typeof(body -> 'accuracy') = 'object'
""",
        "One row a cutoff (a raw score) of a report: the shares of wrong and of right answers "
        "that it would accept.",
    ),
    "v_judge_periods": (
        f"""
SELECT {KEY}, (part ->> 'since')::timestamptz AS since, (part ->> 'until')::timestamptz AS until,
    (part ->> 'labels')::integer AS labels, {interval("auroc", "auroc", "part")},
    {interval("confusion,tpr", "right_accepted", "part")},
    {interval("confusion,fpr", "wrong_accepted", "part")},
    {interval("calibration_error", "calibration_error", "part")}
FROM judge_reports
CROSS JOIN LATERAL jsonb_array_elements(body #> '{{accuracy,periods}}') AS part
WHERE jsonb_typeof(body -> 'accuracy') = 'object'
""",
        "One row a stretch of labels of a report: how the judge fared between two times.",
    ),
}


def upgrade() -> None:
    """Make the table and its views; the control plane writes, the dashboard reads views."""
    op.execute(TABLE)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON judge_reports TO penstock_controlplane")
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows}'")
    op.execute(f"GRANT SELECT ON {', '.join(VIEWS)} TO penstock_dashboard")
