"""Rollups: what was asked, answered and spent, added up by time, so that a page need not count it.

The control plane adds each record once: ``rollup_marks`` says how far each spool segment is added,
and moves with the sums. A record whose decision has not come is set down in ``rollup_waiting``.
What was recorded before this revision is added by the same job, in steps. Building the index holds
up writers of ``attempts``: data planes keep their records in their spools meanwhile.

``plane_reports`` is what data planes tell of themselves every few seconds; planes of the release
before tell nothing.

What pages show of policies was read from their documents at each query, and a document takes
milliseconds to read: ``policy_terms``, ``policy_segments`` and ``policy_prices`` keep it from the
publication on.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
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
    measure text NOT NULL,
    at timestamptz NOT NULL,
    tenant text NOT NULL,
    segment text NOT NULL,
    policy_version integer NOT NULL,
    tier text NOT NULL,
    bin integer NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (measure, at, tenant, segment, policy_version, tier, bin),
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
    """
CREATE TABLE policy_terms (
    version integer NOT NULL,
    local text NOT NULL,
    cloud text NOT NULL,
    call_usd double precision NOT NULL,
    char_usd double precision NOT NULL,
    label_price_usd double precision NOT NULL,
    PRIMARY KEY (version)
)
""",
    """
CREATE TABLE policy_segments (
    version integer NOT NULL,
    segment text NOT NULL,
    mode text NOT NULL,
    routing_threshold double precision NOT NULL,
    judge_cutoff double precision NOT NULL,
    judge text NOT NULL,
    judge_lowest double precision NOT NULL,
    judge_highest double precision NOT NULL,
    target_quality double precision,
    tolerance double precision,
    reference text,
    confidence double precision,
    PRIMARY KEY (version, segment)
)
""",
    """
CREATE TABLE policy_prices (
    version integer NOT NULL,
    tier text NOT NULL,
    prompt_usd double precision NOT NULL,
    completion_usd double precision NOT NULL,
    PRIMARY KEY (version, tier)
)
""",
    """
CREATE TABLE plane_reports (
    plane text NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (plane, at)
)
""",
    "CREATE INDEX plane_reports_by_time ON plane_reports (at)",
    "CREATE INDEX job_runs_that_failed ON job_runs (due_at) WHERE status = 'failed'",
    "GRANT INSERT ON plane_reports TO penstock_dataplane",
    "GRANT SELECT, DELETE ON plane_reports TO penstock_controlplane",
    'CREATE INDEX attempts_by_source ON attempts (plane, spool_segment, "offset")',
    "GRANT SELECT, INSERT, UPDATE, DELETE ON query_rollups, spend_rollups, latency_rollups,"
    " rollup_marks, rollup_waiting TO penstock_controlplane",
    "GRANT SELECT ON v_overview_terms, policy_prices TO penstock_controlplane",
)

TERMS_OF = """
CREATE FUNCTION penstock_terms_of(version integer, document jsonb) RETURNS policy_terms
LANGUAGE sql IMMUTABLE AS $$
SELECT version, document -> 'tiers' -> 0 ->> 'name', cloud ->> 'name',
    usd * (input * overhead + output * completion), usd * input / chars_per_token,
    (document -> 'audit' ->> 'label_price_usd')::float8
FROM (SELECT document -> 'tiers' -> -1 AS cloud) AS dearest
CROSS JOIN LATERAL (
    SELECT CASE WHEN cloud ->> 'billing' = 'none' THEN 0 ELSE 1e-6::float8 END AS usd,
        (cloud ->> 'input_usd_per_mtok')::float8 AS input,
        (cloud ->> 'output_usd_per_mtok')::float8 AS output,
        (cloud ->> 'overhead_tokens')::float8 AS overhead,
        (cloud ->> 'completion_tokens')::float8 AS completion,
        (cloud ->> 'chars_per_token')::float8 AS chars_per_token
) AS of_cloud
$$
"""
SEGMENTS_OF = """
CREATE FUNCTION penstock_segments_of(version integer, document jsonb)
RETURNS SETOF policy_segments LANGUAGE sql IMMUTABLE AS $$
SELECT version, segment ->> 'name', segment ->> 'mode',
    (segment ->> 'routing_threshold')::float8, (segment ->> 'judge_cutoff')::float8,
    judge ->> 'judge', (judge ->> 'lowest')::float8, (judge ->> 'highest')::float8,
    (objective ->> 'target_quality')::float8, (objective ->> 'tolerance')::float8,
    objective ->> 'reference', (objective ->> 'confidence')::float8
FROM (SELECT document -> 'judge' AS judge, document -> 'objective' AS objective) AS shared
CROSS JOIN LATERAL jsonb_array_elements(document -> 'segments') AS segment
$$
"""
PRICES_OF = """
CREATE FUNCTION penstock_prices_of(version integer, document jsonb)
RETURNS SETOF policy_prices LANGUAGE sql IMMUTABLE AS $$
SELECT version, tier ->> 'name', usd * (tier ->> 'input_usd_per_mtok')::float8,
    usd * (tier ->> 'output_usd_per_mtok')::float8
FROM jsonb_array_elements(document -> 'tiers') AS tier
CROSS JOIN LATERAL (
    SELECT CASE WHEN tier ->> 'billing' = 'none' THEN 0 ELSE 1e-6::float8 END AS usd
) AS billed
$$
"""
# A document that data planes will refuse must be storable, and has no numbers to show.
KEEP_NUMBERS = """
CREATE FUNCTION penstock_keep_numbers(version integer, document text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO policy_terms SELECT * FROM penstock_terms_of(version, document::jsonb);
    INSERT INTO policy_segments SELECT * FROM penstock_segments_of(version, document::jsonb);
    INSERT INTO policy_prices SELECT * FROM penstock_prices_of(version, document::jsonb);
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
    NULL;
END
$$
"""
NUMBERS_OF_NEW = """
CREATE FUNCTION penstock_keep_numbers_of_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM penstock_keep_numbers(NEW.version, NEW.document);
    RETURN NULL;
END
$$
"""
NUMBERS = (
    TERMS_OF,
    SEGMENTS_OF,
    PRICES_OF,
    KEEP_NUMBERS,
    NUMBERS_OF_NEW,
    "CREATE TRIGGER kept AFTER INSERT ON policies"
    " FOR EACH ROW EXECUTE FUNCTION penstock_keep_numbers_of_new()",
    "SELECT penstock_keep_numbers(version, document) FROM policies",
    "REVOKE EXECUTE ON FUNCTION penstock_keep_numbers, penstock_keep_numbers_of_new,"
    " penstock_terms_of, penstock_segments_of, penstock_prices_of FROM PUBLIC",
)

# Columns are only added to what 0002 and its successors made, at the end. OFFSET 0: labels are few,
# and what belongs to each is looked up, whatever the planner thinks of joining it all.
VIEWS = {
    "v_overview_terms": (
        "SELECT version, local, cloud, call_usd, char_usd, label_price_usd FROM policy_terms",
        "One row a policy: its cheapest and its dearest tier, what a call of the dearest is "
        "expected to cost (USD, and USD a character of the prompt), and a label (USD).",
    ),
    "v_overview_policies": (
        """
SELECT p.seq, p.published_at, live.version, live.kind, live.author, p.reason, told.segment,
    told.mode, told.routing_threshold, told.judge_cutoff, told.judge, told.judge_lowest,
    told.judge_highest, told.target_quality, told.tolerance, told.reference, told.confidence
FROM publications p
CROSS JOIN LATERAL (
    SELECT (part ->> 'version')::integer AS version
    FROM jsonb_array_elements(p.in_force) WITH ORDINALITY AS listed (part, place)
    ORDER BY coalesce((part ->> 'share')::float8, 1) DESC, place LIMIT 1
) AS widest
JOIN policies live ON live.version = widest.version
JOIN policy_segments told ON told.version = live.version
""",
        "One row a publication and segment: the policy of the largest share from then on, its "
        "routing threshold (on p_hat) and judge cutoff (raw score), and its objective.",
    ),
    "v_overview_queries": (
        """
SELECT c.at, d.at AS decided_at, c.decision_id, d.policy_version, c.status, c.final_tier,
    c.final_tier = terms.local AS answered_locally, c.escalated, c.latency_ms,
    call_usd + char_usd * (d.features ->> 'chars')::float8 AS expected_cloud_usd,
    d.tenant, d.segment, (
        SELECT sum(a.cost_usd) FROM attempts a
        WHERE a.at = c.at AND a.decision_id = c.decision_id AND a.purpose = 'serve'
            AND a.tier = terms.cloud AND a.error IS NULL
    ) AS paid_cloud_usd
FROM completions c
JOIN decisions d ON d.at = c.at AND d.id = c.decision_id
LEFT JOIN v_overview_terms terms ON terms.version = d.policy_version
""",
        "One row a completed query: who answered, how long it took (ms), what one cloud call was "
        "expected to cost (USD) by the prices and token counts of the policy that decided, and "
        "what cloud answers were paid.",
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
JOIN v_overview_terms terms ON terms.version = d.policy_version AND terms.cloud = a.tier
WHERE a.error IS NULL AND a.purpose IN ('serve', 'shadow')
""",
        "One row an answered cloud call, served or drawn as a shadow: what it cost (USD), what its "
        "policy had expected, and the chance with which a shadow was drawn.",
    ),
    "v_overview_labels": (
        """
SELECT o.at, d.at AS decided_at, o.decision_id, o.labeller, o.observed_at,
    terms.label_price_usd AS price_usd, d.tenant, d.segment, d.policy_version, o.key AS tier
FROM outcomes o
CROSS JOIN LATERAL (
    SELECT * FROM decisions WHERE at = o.at AND id = o.decision_id OFFSET 0
) AS d
LEFT JOIN v_overview_terms terms ON terms.version = d.policy_version
WHERE o.source IN ('ground_truth', 'verifier') AND o.labeller NOT LIKE 'application:%'
""",
        "One row a trusted vote of a labeller, at its query's time: who gave it, and its stated "
        "price (USD). What an application told of itself is not asked for, and costs nothing.",
    ),
    "v_labellers": (
        """
SELECT at, labeller FROM outcomes
WHERE source IN ('ground_truth', 'verifier') AND labeller NOT LIKE 'application:%'
""",
        "One row a trusted vote of a labeller, at its query's time: who gave it.",
    ),
    "v_label_tasks": (
        """
SELECT t.at, d.at AS decided_at, t.decision_id, d.segment, t.probability, t.status,
    t.leased_until, t.doubled, t.disputed <> '{}' AS disagreeing,
    t.adjudicator IS NOT NULL AS adjudicated, t.created_at, t.resolved_at
FROM label_tasks t
CROSS JOIN LATERAL (
    SELECT * FROM decisions WHERE at = t.at AND id = t.decision_id OFFSET 0
) AS d
""",
        "One row a drawn query that was observed: where its label stands, and whether it wants "
        "two people, whether they disagreed, and whether a third one settled it.",
    ),
    "v_overview_judged_labels": (
        """
SELECT j.at, a.at AS drawn_at, l.at AS labelled_at, j.decision_id, j.judge, j.tier,
    j.calibrated AS predicted, l.value, d.at AS decided_at, d.tenant, d.segment, d.policy_version
FROM labels l
CROSS JOIN LATERAL (
    SELECT * FROM judge_scores
    WHERE at = l.at AND decision_id = l.decision_id AND tier = l.key OFFSET 0
) AS j
CROSS JOIN LATERAL (
    SELECT at FROM draws
    WHERE at = l.at AND decision_id = l.decision_id AND kind = 'audit' OFFSET 0
) AS a
CROSS JOIN LATERAL (
    SELECT * FROM decisions WHERE at = l.at AND id = l.decision_id OFFSET 0
) AS d
WHERE l.source IN ('ground_truth', 'verifier')
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
        "after an escalation; what answered ones paid for the cloud, and what a cloud call for "
        "each of the others was expected to cost (USD).",
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
    1.1::float8 ^ bin AS lower, 1.1::float8 ^ (bin + 1) AS upper
FROM latency_rollups
""",
        "By the hour, how many answers, calls of tiers, first tokens (ms) and speeds (tokens/s) "
        "lay between two bounds.",
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
    "v_plane_reports": (
        """
SELECT plane, at, (spool ->> 'pending_records')::bigint AS pending_records,
    (spool ->> 'pending_bytes')::bigint AS pending_bytes,
    (spool ->> 'oldest_pending_seconds')::float8 AS oldest_pending_s,
    (spool ->> 'dropped')::bigint AS dropped, (spool ->> 'quarantined')::bigint AS quarantined,
    (spool ->> 'damaged_segments')::bigint AS damaged_segments,
    spool ->> 'last_error' AS last_error
FROM plane_reports CROSS JOIN LATERAL (SELECT body -> 'spool' AS spool) AS told
""",
        "One row a data plane and ten seconds: what waits in its spool, and what it lost or set "
        "aside since it started.",
    ),
    "v_tier_reports": (
        """
SELECT plane, at, tier, told ->> 'unavailable' AS unavailable,
    (told ->> 'failures_in_a_row')::integer AS failures_in_a_row,
    (told ->> 'restarts')::integer AS restarts, (told ->> 'slots')::integer AS slots,
    (told ->> 'slots_busy')::integer AS slots_busy,
    (told ->> 'queue_depth')::integer AS queue_depth,
    (told ->> 'memory_rss_bytes')::bigint AS memory_bytes
FROM plane_reports CROSS JOIN LATERAL jsonb_each(body -> 'tiers') AS listed (tier, told)
""",
        "One row a tier, data plane and ten seconds: why it is not asked, its breaker, and of our "
        "own engine its slots, its queue and its memory (bytes, resident).",
    ),
    "v_job_runs": (
        "SELECT job, due_at, plane, started_at, finished_at, status, detail FROM job_runs",
        "One row a run of a job of the control plane in the last day: who did it, and how it "
        "ended.",
    ),
    "v_last_job_runs": (
        """
WITH RECURSIVE known AS (
    SELECT min(job) AS job FROM job_runs
    UNION ALL
    SELECT (SELECT min(job) FROM job_runs WHERE job > known.job) FROM known
    WHERE known.job IS NOT NULL
)
SELECT last.* FROM known CROSS JOIN LATERAL (
    SELECT job, due_at, plane, started_at, finished_at, status, detail FROM job_runs
    WHERE job = known.job ORDER BY due_at DESC LIMIT 1
) AS last
""",
        "One row a job: its last run.",
    ),
    "v_staging": (
        "SELECT plane, kind FROM staging",
        "One row a record that a shipment is bringing in; none stays.",
    ),
    "v_revisions": (
        "SELECT version_num AS revision FROM alembic_version",
        "The revision of the schema.",
    ),
    "v_partitions": (
        """
SELECT parent.relname AS "table", to_date(substring(child.relname FROM '_p(\\d{8})$'), 'YYYYMMDD')
    AS day, greatest(child.reltuples, 0)::bigint AS rows
FROM pg_class parent
JOIN pg_inherits ON inhparent = parent.oid
JOIN pg_class child ON child.oid = inhrelid
WHERE parent.relkind = 'p' AND parent.relnamespace = 'public'::regnamespace
    AND child.relkind = 'r'
""",
        "One row a partition of a table of records: its day, or none for the one that takes what "
        "no other takes; how many rows Postgres takes it to hold.",
    ),
    "v_last_answers": (
        """
WITH newest AS (SELECT seq, published_at FROM publications ORDER BY seq DESC LIMIT 1), heard AS (
    SELECT a.plane, a.version, a.status, a.reason, a.at, a.seq, newest.seq AS newest,
        newest.published_at, max(a.seq) OVER (PARTITION BY a.plane) AS last
    FROM newest JOIN policy_acks a
        ON a.seq > newest.seq - 1000 AND a.at >= newest.published_at - interval '1 day'
)
SELECT plane, version, status, reason, at, seq, seq < newest AS behind, published_at
FROM heard WHERE seq = last
""",
        "One row a data plane and version: how it answered the newest publication that it heard "
        "of; those not heard of since a day before the newest are gone.",
    ),
    "v_alert_progress": (
        """
SELECT (told ->> 'sent')::bigint AS sent, (told ->> 'failures')::bigint AS failures,
    (told ->> 'given_up')::bigint AS given_up,
    (told #>> '{trouble,attempts}')::integer AS attempts,
    (told #>> '{trouble,since}')::timestamptz AS since
FROM learner_state CROSS JOIN LATERAL (SELECT body::jsonb AS told) AS parsed
WHERE name = 'alerts'
""",
        "How the webhook for alerts fares, where there is one: what it took, and since when it "
        "takes nothing.",
    ),
    "v_rollup_waiting": (
        "SELECT kind, at, decision_id FROM rollup_waiting",
        "One row a record whose decision has not come: no page counts it before that.",
    ),
}


def upgrade() -> None:
    """Make the tables and the views; the control plane adds up, the dashboard reads views."""
    for statement in (*TABLES, *NUMBERS):
        op.execute(statement)
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows.replace(chr(39), chr(39) * 2)}'")
    op.execute(f"GRANT SELECT ON {', '.join(VIEWS)} TO penstock_dashboard")
    op.execute("GRANT SELECT ON v_rollup_lag TO penstock_controlplane")
