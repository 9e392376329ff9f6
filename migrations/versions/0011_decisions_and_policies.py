"""The views that the dashboard's pages on decisions and on policies read.

A query's records are views of their own, to be joined where each one's `at` can be bounded: a log
is read from its newest end, and Postgres carries a bound to no joined partitioned table. Texts are
in none of them: the control plane's API tells them to those who may read them. Adding views changes
nothing for planes of the release before.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

VIEWS = {
    "v_decisions": (
        """
SELECT at, id AS decision_id, tenant, conversation, request_id, policy_version, segment
FROM decisions
""",
        "One row a query, as it was admitted: whose it is, and which policy decided it.",
    ),
    "v_decision_ends": (
        """
SELECT at, decision_id, final_tier, escalated, status, cost_usd, latency_ms, overhead_ms
FROM completions
""",
        "One row a completed query: who answered, what it cost (USD), how long it took (ms).",
    ),
    "v_decision_scores": (
        """
SELECT at, decision_id, purpose, judge, tier, raw, calibrated FROM judge_scores WHERE index = 0
""",
        "One row a score of a judge, as it gave it and as the policy read it: of an answer in "
        "serving, or of a shadow.",
    ),
    "v_decision_labels": (
        "SELECT at, decision_id, key, value, source, basis, settled_at FROM labels",
        "One row a settled label of an answer, at its query's time: 1 is right.",
    ),
    "v_publications": (
        """
SELECT p.seq, p.published_at, p.reason, listed.place, (part ->> 'version')::integer AS version,
    coalesce((part ->> 'share')::float8, 1) AS share,
    coalesce((part ->> 'draw')::float8, 0) AS draw,
    v.parent, v.kind, v.author, v.reason AS policy_reason, v.created_at
FROM publications p
CROSS JOIN LATERAL jsonb_array_elements(p.in_force) WITH ORDINALITY AS listed (part, place)
JOIN policies v ON v.version = (part ->> 'version')::integer
""",
        "One row a version that a publication put in force: its share of conversations, or the "
        "share of others' queries that is drawn to compare it.",
    ),
    "v_policy_answers": (
        """
WITH newest AS (SELECT seq, published_at FROM publications ORDER BY seq DESC LIMIT 1), heard AS (
    SELECT a.plane, a.version, a.status, a.reason, a.at, a.seq, newest.seq AS newest,
        max(a.seq) OVER (PARTITION BY a.plane) AS last
    FROM newest JOIN policy_acks a
        ON a.seq > newest.seq - 1000 AND a.at >= newest.published_at - interval '1 day'
)
SELECT plane, version, status, reason, at, seq, newest - seq AS behind FROM heard WHERE seq = last
""",
        "One row a data plane and version of the last publication that it answered: taken or "
        "refused and why, and how many publications it is behind. One that was not heard of in the "
        "day before the newest publication is gone.",
    ),
    "v_policy_events": (
        """
SELECT id, at, kind, body ->> 'stage' AS stage, (body ->> 'version')::integer AS version,
    coalesce(body ->> 'reason', CASE body ->> 'frozen'
        WHEN 'true' THEN 'the learner moves nothing'
        WHEN 'false' THEN 'the learner moves the policy again'
    END) AS reason
FROM events WHERE kind IN ('proposal', 'rollback', 'pin', 'freeze', 'conflict')
""",
        "One row a step of a proposal, or an operator's word on policies, with its reason.",
    ),
    "v_policy_freeze": (
        """
SELECT body::boolean AS frozen, updated_at AS since FROM learner_state WHERE name = 'frozen'
""",
        "At most one row: whether the learner may not move the policy, and since when.",
    ),
}


def upgrade() -> None:
    """Make the views, say what each shows, and let the dashboard read them."""
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows.replace(chr(39), chr(39) * 2)}'")
    op.execute(f"GRANT SELECT ON {', '.join(VIEWS)} TO penstock_dashboard")
