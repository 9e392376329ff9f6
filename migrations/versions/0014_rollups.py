"""Rollups: what was asked, answered and spent, added up by time, so that a page need not count it.

The control plane adds each record once: ``rollup_marks`` says how far each spool segment is added,
and moves with the sums. A record whose decision has not come is set down in ``rollup_waiting``. What
was recorded before this revision is added by the same job, in steps. Building the index holds up
writers of ``attempts``: data planes keep their records in their spools meanwhile.
"""

from alembic import op

revision = "0014"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = (
    """
CREATE TABLE query_rollups (
    at timestamptz NOT NULL,
    tenant text NOT NULL,
    segment text NOT NULL,
    policy_version integer NOT NULL,
    tier text NOT NULL,
    queries bigint NOT NULL,
    answered bigint NOT NULL,
    local bigint NOT NULL,
    escalated bigint NOT NULL,
    failed bigint NOT NULL,
    paid_cloud_usd double precision NOT NULL,
    expected_cloud_usd double precision NOT NULL,
    PRIMARY KEY (at, tenant, segment, policy_version, tier)
)
""",
    """
CREATE TABLE spend_rollups (
    at timestamptz NOT NULL,
    tenant text NOT NULL,
    segment text NOT NULL,
    policy_version integer NOT NULL,
    tier text NOT NULL,
    purpose text NOT NULL,
    model text NOT NULL,
    calls bigint NOT NULL,
    failed bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_usd double precision NOT NULL,
    shadow_calls bigint NOT NULL,
    shadow_usd double precision NOT NULL,
    shadow_expected_usd double precision NOT NULL,
    PRIMARY KEY (at, tenant, segment, policy_version, tier, purpose, model)
)
""",
    """
CREATE TABLE latency_rollups (
    at timestamptz NOT NULL,
    measure text NOT NULL,
    tenant text NOT NULL,
    segment text NOT NULL,
    policy_version integer NOT NULL,
    tier text NOT NULL,
    bin integer NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (at, measure, tenant, segment, policy_version, tier, bin),
    CONSTRAINT measure_is_known CHECK (measure IN ('answer', 'call', 'ttft', 'speed'))
)
""",
    """
CREATE TABLE rollup_marks (
    plane text NOT NULL,
    segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (plane, segment)
)
""",
    """
CREATE TABLE rollup_waiting (
    kind text NOT NULL,
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    purpose text NOT NULL,
    index integer NOT NULL,
    PRIMARY KEY (kind, at, decision_id, purpose, index),
    CONSTRAINT kind_is_known CHECK (kind IN ('completion', 'attempt'))
)
""",
    'CREATE INDEX attempts_by_source ON attempts (plane, spool_segment, "offset")',
    "GRANT SELECT, INSERT, UPDATE, DELETE ON query_rollups, spend_rollups, latency_rollups,"
    " rollup_marks, rollup_waiting TO penstock_controlplane",
    "GRANT SELECT ON v_overview_terms TO penstock_controlplane",
)

# Columns are only added to what 0002 and its successors made, at the end.
VIEWS = {
    "v_overview_queries": (
        """
WITH terms AS MATERIALIZED (SELECT * FROM v_overview_terms)
SELECT c.at, d.at AS decided_at, c.decision_id, d.policy_version, c.status, c.final_tier,
    c.final_tier = terms.local AS answered_locally, c.escalated, c.latency_ms,
    call_usd + char_usd * (d.features ->> 'chars')::float8 AS expected_cloud_usd,
    d.tenant, d.segment
FROM completions c
JOIN decisions d ON d.at = c.at AND d.id = c.decision_id
LEFT JOIN terms ON terms.version = d.policy_version
""",
        "One row a completed query: who answered, how long it took (ms), and what one cloud call "
        "was expected to cost (USD) by the prices and token counts of the policy that decided.",
    ),
    "v_overview_charges": (
        """
SELECT a.at, d.at AS decided_at, a.decision_id, a.purpose, a.tier, a.model, a.cost_usd,
    a.error IS NULL AS answered, a.latency_ms, a.ttft_ms, a.tokens_per_s, a.prompt_tokens,
    a.completion_tokens, d.tenant, d.segment, d.policy_version
FROM attempts a JOIN decisions d ON d.at = a.at AND d.id = a.decision_id
""",
        "One row a call of a tier for a known query, of whatever purpose and however it ended: "
        "what it cost (USD), how long it took and until its first token (ms).",
    ),
    "v_overview_cloud_calls": (
        """
WITH terms AS MATERIALIZED (SELECT * FROM v_overview_terms)
SELECT a.at, d.at AS decided_at, a.decision_id, a.purpose, a.cost_usd,
    call_usd + char_usd * (d.features ->> 'chars')::float8 AS expected_usd,
    (
        SELECT s.probability FROM draws s
        WHERE s.at = a.at AND s.decision_id = a.decision_id AND s.kind = 'shadow'
            AND s.tier = a.tier
    ) AS shadow_probability,
    d.tenant, d.segment, d.policy_version, a.tier
FROM attempts a
JOIN decisions d ON d.at = a.at AND d.id = a.decision_id
JOIN terms ON terms.version = d.policy_version AND terms.cloud = a.tier
WHERE a.error IS NULL AND a.purpose IN ('serve', 'shadow')
""",
        "One row an answered cloud call, served or drawn as a shadow: what it cost (USD), what its "
        "policy had expected, and the chance with which a shadow was drawn.",
    ),
    "v_overview_labels": (
        """
WITH terms AS MATERIALIZED (SELECT * FROM v_overview_terms)
SELECT o.at, d.at AS decided_at, o.decision_id, o.labeller, o.observed_at,
    terms.label_price_usd AS price_usd, d.tenant, d.segment, d.policy_version, o.key AS tier
FROM outcomes o
JOIN decisions d ON d.at = o.at AND d.id = o.decision_id
LEFT JOIN terms ON terms.version = d.policy_version
WHERE o.source IN ('ground_truth', 'verifier') AND o.labeller NOT LIKE 'application:%'
""",
        "One row a trusted vote of a labeller, at its query's time: who gave it, and its stated "
        "price (USD). What an application told of itself is not asked for, and costs nothing.",
    ),
    "v_overview_judged_labels": (
        """
SELECT j.at, a.at AS drawn_at, l.at AS labelled_at, j.decision_id, j.judge, j.tier,
    j.calibrated AS predicted, l.value, d.at AS decided_at, d.tenant, d.segment, d.policy_version
FROM judge_scores j
JOIN draws a ON a.at = j.at AND a.decision_id = j.decision_id AND a.kind = 'audit'
JOIN labels l ON l.at = j.at AND l.decision_id = j.decision_id AND l.key = j.tier
    AND l.source IN ('ground_truth', 'verifier')
JOIN decisions d ON d.at = j.at AND d.id = j.decision_id
""",
        "One row a judged answer that the audit drew and people or a verifier labelled: the "
        "probability of being right that the judge's score was read as, and the settled label.",
    ),
    "v_query_rollups": (
        """
SELECT at, tenant, segment, policy_version, nullif(tier, '') AS final_tier, queries, answered,
    local, escalated, failed, paid_cloud_usd, expected_cloud_usd
FROM query_rollups
""",
        "Completed queries by ten minutes: how many, how many were answered, by the local tier, "
        "after an escalation; what answered ones paid for the cloud, and what a cloud call for each "
        "of the others was expected to cost (USD).",
    ),
    "v_spend_rollups": (
        """
SELECT at, tenant, segment, policy_version, tier, purpose, model, calls, failed, prompt_tokens,
    completion_tokens, cost_usd, shadow_calls, shadow_usd, shadow_expected_usd
FROM spend_rollups
""",
        "Calls of tiers by ten minutes: how many, their tokens, what they cost (USD); of answered "
        "shadow calls of the cloud, what they cost and were expected to, each over its chance.",
    ),
    "v_latency_rollups": (
        """
SELECT at, measure, tenant, segment, policy_version, tier, n,
    1.1 ^ bin AS lower, 1.1 ^ (bin + 1) AS upper
FROM latency_rollups
""",
        "By the hour, how many answers, calls of tiers, first tokens (ms) and speeds (tokens/s) lay "
        "between two bounds.",
    ),
    "v_rollup_lag": (
        """
WITH RECURSIVE sources AS (
    (SELECT plane, segment FROM shipments ORDER BY plane, segment LIMIT 1)
    UNION ALL
    SELECT next.plane, next.segment FROM sources CROSS JOIN LATERAL (
        SELECT s.plane, s.segment FROM shipments s
        WHERE (s.plane, s.segment) > (sources.plane, sources.segment)
        ORDER BY s.plane, s.segment LIMIT 1
    ) AS next
)
SELECT sources.plane, sources.segment, newest.shipped_at,
    newest.last_offset - coalesce(mark."offset", -1) AS records,
    (
        SELECT s.shipped_at FROM shipments s
        WHERE s.plane = sources.plane AND s.segment = sources.segment
            AND s.first_offset > coalesce(mark."offset", -1)
        ORDER BY s.first_offset LIMIT 1
    ) AS waiting_since
FROM sources
LEFT JOIN rollup_marks mark ON mark.plane = sources.plane AND mark.segment = sources.segment
CROSS JOIN LATERAL (
    SELECT s.last_offset, s.shipped_at FROM shipments s
    WHERE s.plane = sources.plane AND s.segment = sources.segment
    ORDER BY s.first_offset DESC LIMIT 1
) AS newest
""",
        "One row a spool segment that has arrived: when something of it came last, how many of its "
        "records the rollups lack, and since when.",
    ),
    "v_rollup_waiting": (
        "SELECT kind, at, decision_id FROM rollup_waiting",
        "One row a record whose decision has not come: no page counts it before that.",
    ),
}


def upgrade() -> None:
    """Make the tables and the views; the control plane adds up, the dashboard reads views."""
    for statement in TABLES:
        op.execute(statement)
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows.replace(chr(39), chr(39) * 2)}'")
    op.execute(f"GRANT SELECT ON {', '.join(VIEWS)} TO penstock_dashboard")
