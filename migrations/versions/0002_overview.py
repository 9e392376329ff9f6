"""The views that the dashboard's overview reads, and its role's right to read them.

They run as their owner, so the role needs no right on a table. Adding views changes nothing for
planes of the release before. Rows are told of one by one, not summed: a query's ``at >= ..``
reaches the table beneath and leaves its older days alone. Postgres carries such a bound to no
joined table: each one's ``at``, which is the same, is a column too, to be bounded with it.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Policies are few and their documents large: MATERIALIZED, so that each is parsed once.
VIEWS = {
    "v_overview_terms": (
        """
SELECT version, tiers -> 0 ->> 'name' AS local, cloud ->> 'name' AS cloud,
    usd * (input * overhead + output * completion) AS call_usd,
    usd * input / chars_per_token AS char_usd,
    label_price_usd
FROM (SELECT version, document::jsonb AS document FROM policies) AS parsed
CROSS JOIN LATERAL (
    SELECT document -> 'tiers' AS tiers, document -> 'tiers' -> -1 AS cloud,
        (document -> 'audit' ->> 'label_price_usd')::float8 AS label_price_usd
) AS of_policy
CROSS JOIN LATERAL (
    SELECT CASE WHEN cloud ->> 'billing' = 'none' THEN 0 ELSE 1e-6::float8 END AS usd,
        (cloud ->> 'input_usd_per_mtok')::float8 AS input,
        (cloud ->> 'output_usd_per_mtok')::float8 AS output,
        (cloud ->> 'overhead_tokens')::float8 AS overhead,
        (cloud ->> 'completion_tokens')::float8 AS completion,
        (cloud ->> 'chars_per_token')::float8 AS chars_per_token
) AS of_cloud
""",
        "One row a policy: its cheapest and its dearest tier, what a call of the dearest is "
        "expected to cost (USD, and USD a character of the prompt), and a label (USD).",
    ),
    "v_overview_queries": (
        """
WITH terms AS MATERIALIZED (SELECT * FROM v_overview_terms)
SELECT c.at, d.at AS decided_at, c.decision_id, d.policy_version, c.status, c.final_tier,
    c.final_tier = terms.local AS answered_locally, c.escalated, c.latency_ms,
    call_usd + char_usd * (d.features ->> 'chars')::float8 AS expected_cloud_usd
FROM completions c
JOIN decisions d ON d.at = c.at AND d.id = c.decision_id
LEFT JOIN terms ON terms.version = d.policy_version
""",
        "One row a completed query: who answered, how long it took (ms), and what one cloud call "
        "was expected to cost (USD) by the prices and token counts of the policy that decided.",
    ),
    "v_overview_spend": (
        "SELECT at, decision_id, purpose, tier, model, cost_usd, error IS NULL AS answered"
        " FROM attempts",
        "One row a call of a tier, of whatever purpose and however it ended: what it cost (USD).",
    ),
    "v_overview_cloud_calls": (
        """
WITH terms AS MATERIALIZED (SELECT * FROM v_overview_terms)
SELECT a.at, d.at AS decided_at, a.decision_id, a.purpose, a.cost_usd,
    call_usd + char_usd * (d.features ->> 'chars')::float8 AS expected_usd,
    (
        SELECT s.probability FROM draws s
        WHERE s.at = a.at AND s.decision_id = a.decision_id AND s.kind = 'shadow'
    ) AS shadow_probability
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
    terms.label_price_usd AS price_usd
FROM outcomes o
JOIN decisions d ON d.at = o.at AND d.id = o.decision_id
LEFT JOIN terms ON terms.version = d.policy_version
WHERE o.source IN ('ground_truth', 'verifier')
""",
        "One row a trusted label, at its query's time: who gave it, and its stated price (USD).",
    ),
    "v_overview_judged_labels": (
        """
SELECT j.at, a.at AS drawn_at, o.at AS labelled_at, j.decision_id, j.judge, j.tier,
    j.calibrated AS predicted, avg(o.value) AS value
FROM judge_scores j
JOIN draws a ON a.at = j.at AND a.decision_id = j.decision_id AND a.kind = 'audit'
JOIN outcomes o ON o.at = j.at AND o.decision_id = j.decision_id AND o.key = j.tier
    AND o.source IN ('ground_truth', 'verifier')
GROUP BY j.at, a.at, o.at, j.decision_id, j.purpose, j.index
""",
        "One row a judged answer that the audit drew and people or a verifier labelled: the "
        "probability of being right that the judge's score was read as, and the label.",
    ),
    "v_overview_quality": (
        """
SELECT id, at, policy_version, "window", n AS answers, (detail ->> 'labels')::integer AS labels,
    quality, lo, hi, (detail ->> 'silent_share')::float8 AS silent_share
FROM estimates
""",
        "One row an estimate of served quality, with its interval, as the audit knew it then.",
    ),
    "v_overview_policies": (
        """
SELECT p.seq, p.published_at, live.version, live.kind, live.author, p.reason,
    segment ->> 'name' AS segment, segment ->> 'mode' AS mode,
    (segment ->> 'routing_threshold')::float8 AS routing_threshold,
    (segment ->> 'judge_cutoff')::float8 AS judge_cutoff,
    whole -> 'judge' ->> 'judge' AS judge,
    (whole -> 'judge' ->> 'lowest')::float8 AS judge_lowest,
    (whole -> 'judge' ->> 'highest')::float8 AS judge_highest,
    (whole -> 'objective' ->> 'target_quality')::float8 AS target_quality,
    (whole -> 'objective' ->> 'tolerance')::float8 AS tolerance,
    whole -> 'objective' ->> 'reference' AS reference,
    (whole -> 'objective' ->> 'confidence')::float8 AS confidence
FROM publications p
CROSS JOIN LATERAL (
    SELECT (part ->> 'version')::integer AS version
    FROM jsonb_array_elements(p.in_force) WITH ORDINALITY AS listed (part, place)
    ORDER BY coalesce((part ->> 'share')::float8, 1) DESC, place LIMIT 1
) AS widest
JOIN policies live ON live.version = widest.version
CROSS JOIN LATERAL (SELECT live.document::jsonb AS whole) AS parsed
CROSS JOIN LATERAL jsonb_array_elements(whole -> 'segments') AS segment
""",
        "One row a publication and segment: the policy of the largest share from then on, its "
        "routing threshold (on p_hat) and judge cutoff (raw score), and its objective.",
    ),
    "v_overview_alarms": (
        "SELECT id, at, body ->> 'reason' AS reason FROM events WHERE kind = 'alarm'",
        "One row an alarm of the learner, with its reason in words.",
    ),
}


def upgrade() -> None:
    """Make the views, say what each shows, and let the dashboard read them."""
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows.replace(chr(39), chr(39) * 2)}'")
    op.execute(f"GRANT SELECT ON {', '.join(VIEWS)} TO penstock_dashboard")
