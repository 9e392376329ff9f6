-- A day of plausible decisions, table by table, from one temporary table of what chance drew.
-- A decision has eight places in its plane's spool, 2,500 decisions a segment.

-- name: drawn
CREATE TEMP TABLE drawn ON COMMIT DROP AS
SELECT lots.*, n / 7500 * 3 + n %% 3 AS spool_segment, (n / 3 %% 2500) * 8 AS place,
    (ARRAY['plane-1', 'plane-2', 'plane-3'])[1 + n %% 3] AS plane,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(digits, 1, 3)
        || '8' || substr(digits, 4, 15))::uuid AS id,
    1 + floor(%(versions)s * extract(epoch FROM at - %(begin)s) / %(span_s)s)::integer AS version,
    1 / (1 + exp(-2.2 - 4 * raw)) AS calibrated,
    aside < 0.10 AS routed,
    aside >= 0.10 AND 1 / (1 + exp(-2.2 - 4 * raw)) < 0.6 AS escalated,
    luck < 0.01 AS failed
FROM (
    SELECT n, at, md5(n::text) AS digits, aside, luck, audited, shadowed, chars, noise, "right",
        -abs(CASE WHEN "right" THEN 0.15 ELSE 0.9 END + 0.3 * noise) AS raw,
        (ARRAY['default', 'code', 'support'])[1 + floor(3 * kind * kind)::integer] AS segment,
        (ARRAY['acme', 'beta', 'gamma', 'delta'])[1 + floor(4 * whose * whose)::integer] AS tenant
    FROM (
        SELECT n, random() AS aside, random() AS luck, random() AS audited, random() AS shadowed,
            40 + floor(900 * random() * random())::integer AS chars, random() < 0.75 AS "right",
            random_normal() AS noise, random() AS kind, random() AS whose,
            date_trunc('milliseconds',
                %(since)s::timestamptz + (n - %(first)s + 0.5) * %(step_s)s * interval '1 second') AS at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    ) AS chance
) AS lots;

-- name: decisions
INSERT INTO {child} (plane, spool_segment, "offset", at, id, tenant, conversation, request_id,
    policy_version, feature_version, features, segment, eligible, excluded, seed)
SELECT plane, spool_segment, place, at, id, tenant, NULL, 'request-' || n, version, 3,
    jsonb_build_object('chars', chars, 'buckets', jsonb_build_array(
        n %% 509, 512 + n %% 4001, 600 + n %% 6007, 700 + n %% 9001, 800 + n %% 11003)),
    segment, '{{local,cloud,judge}}', '{{}}', n
FROM drawn;

-- name: steps
INSERT INTO {child} (plane, spool_segment, "offset", at, decision_id, index, state, pmf, action,
    propensity, threshold, values)
SELECT plane, spool_segment, place + 1 + index, at, id, index, state, jsonb_build_object(action, 1.0), action, 1, threshold,
    values
FROM drawn CROSS JOIN LATERAL (
    VALUES
        (0, '{{"answered": [], "score": null, "judged": false}}'::jsonb,
            CASE WHEN routed THEN 'call:cloud' ELSE 'call:local' END, 0.4,
            jsonb_build_object('call:local', 0.7, 'call:cloud', 0.6)),
        (1, '{{"answered": ["local"], "score": null, "judged": false}}'::jsonb,
            CASE WHEN NOT routed THEN 'judge' END, NULL, '{{}}'::jsonb),
        (2, jsonb_build_object('answered', '{{local}}'::text[], 'score', raw, 'judged', true),
            CASE WHEN routed THEN NULL WHEN escalated THEN 'call:cloud' ELSE 'reply' END, -0.45,
            jsonb_build_object('reply', calibrated, 'call:cloud', 0.6))
) AS step (index, state, action, threshold, values)
WHERE action IS NOT NULL;

-- name: attempts
INSERT INTO {child} (plane, spool_segment, "offset", at, decision_id, purpose, index, tier, model,
    prompt_tokens, completion_tokens, tokens_exact, cost_usd, latency_ms, ttft_ms, tokens_per_s,
    finish)
SELECT plane, spool_segment, place + 4 + index, at, id, purpose, index, tier,
    'SIMULATED-' || tier, prompt, completion, true,
    CASE tier WHEN 'local' THEN 5e-8 * (prompt + completion)
        ELSE 2.5e-6 * prompt + 1e-5 * completion END,
    first_ms + completion / speed * 1000, first_ms, speed, 'stop'
FROM drawn CROSS JOIN LATERAL (
    VALUES
        ('serve', 0, CASE WHEN routed THEN 'cloud' ELSE 'local' END),
        ('serve', 1, CASE WHEN escalated THEN 'cloud' END),
        ('shadow', 2, CASE WHEN shadowed < 0.02 AND NOT routed AND NOT escalated AND NOT failed
            THEN 'cloud' END)
) AS call (purpose, index, tier)
CROSS JOIN LATERAL (
    SELECT 8 + chars / 4 AS prompt, 20 + chars / 8 AS completion,
        CASE tier WHEN 'local' THEN 30 ELSE 180 END * exp(0.4 * noise + 0.2 * luck) AS first_ms,
        CASE tier WHEN 'local' THEN 45 ELSE 80 END * exp(0.2 * noise) AS speed
) AS of_tier
WHERE tier IS NOT NULL;

-- name: judge_scores
INSERT INTO {child} (plane, spool_segment, "offset", at, decision_id, purpose, index, judge, tier,
    raw, bin, calibrated)
SELECT plane, spool_segment, place + 6, at, id, 'serve', 0, 'logprob', 'local', raw,
    width_bucket(raw, '{{-1.5,-0.8,-0.3}}'::float8[]), calibrated
FROM drawn WHERE NOT routed;

-- name: completions
INSERT INTO {child} (plane, spool_segment, "offset", at, decision_id, final_tier, escalated,
    cost_usd, latency_ms, overhead_ms, status, error)
SELECT plane, spool_segment, place + 7, at, id,
    CASE WHEN failed THEN NULL WHEN routed OR escalated THEN 'cloud' ELSE 'local' END, escalated,
    CASE WHEN routed OR escalated THEN 2.5e-6 * (8 + chars / 4) + 1e-5 * (20 + chars / 8) ELSE 0 END
        + CASE WHEN routed THEN 0 ELSE 5e-8 * (28 + chars / 4 + chars / 8) END,
    (CASE WHEN routed OR escalated THEN 500 ELSE 0 END + CASE WHEN routed THEN 0 ELSE 600 END)
        * exp(0.3 * noise) + chars,
    0.4 + luck, CASE WHEN failed THEN 'error' ELSE 'ok' END, CASE WHEN failed THEN 'timeout' END
FROM drawn;

-- name: draws
INSERT INTO {child} (plane, spool_segment, "offset", at, decision_id, kind, tier, probability)
SELECT plane, spool_segment, place + 7, at, id, kind, tier, probability
FROM drawn CROSS JOIN LATERAL (
    VALUES ('audit', NULL, 0.01::float8, audited < 0.01),
        ('shadow', 'cloud', 0.02, shadowed < 0.02 AND NOT routed AND NOT escalated)
) AS draw (kind, tier, probability, fell)
WHERE fell AND NOT failed;

-- name: outcomes
-- The audit's, but for the last hours, whose answers nobody has labelled yet.
INSERT INTO {child} (plane, spool_segment, "offset", at, id, decision_id, key, source, value,
    labeller, observed_at)
SELECT 'controlplane', 0, 0, at, md5(id::text || key)::uuid, id, key, 'verifier',
    CASE key WHEN 'local' THEN "right"::integer ELSE (luck < 0.95)::integer END,
    'SIMULATED-verifier', at + interval '30 minutes'
FROM drawn CROSS JOIN LATERAL (
    VALUES ('local', NOT routed), ('cloud', routed OR escalated)
) AS answer (key, given)
WHERE given AND audited < 0.01 AND NOT failed AND at < %(labelled)s;

-- name: texts
INSERT INTO {child} (plane, spool_segment, "offset", at, decision_id, key, body)
SELECT plane, spool_segment, place + 7, at, id, key, body
FROM drawn CROSS JOIN LATERAL (
    VALUES ('prompt', '[{{"role": "user", "content": "SIMULATED question ' || n || '"}}]'),
        ('options', '{{}}'), ('answer:local', 'SIMULATED answer ' || n)
) AS text (key, body)
WHERE audited < 0.01 AND NOT failed AND NOT routed AND at >= %(labelled)s;

-- name: label_tasks
INSERT INTO label_tasks (at, decision_id, probability, answers, waits_for_shadow, status,
    resolved_at, learned_at, created_at)
SELECT at, id, 0.01, '[]', shadowed < 0.02 AND NOT routed AND NOT escalated,
    CASE WHEN at < %(labelled)s THEN 'labelled' ELSE 'pending' END,
    CASE WHEN at < %(labelled)s THEN at + interval '30 minutes' END,
    CASE WHEN at < %(labelled)s THEN at + interval '30 minutes' END, at + interval '2 seconds'
FROM drawn WHERE audited < 0.01 AND NOT failed;

-- name: labels
INSERT INTO labels (at, decision_id, key, value, source, basis, settled_at)
SELECT at, id, key,
    CASE key WHEN 'local' THEN "right"::integer ELSE (luck < 0.95)::integer END,
    'verifier', 'single', at + interval '30 minutes'
FROM drawn CROSS JOIN LATERAL (
    VALUES ('local', NOT routed), ('cloud', routed OR escalated)
) AS answer (key, given)
WHERE given AND audited < 0.01 AND NOT failed AND at < %(labelled)s;

-- name: shadow_tasks
INSERT INTO shadow_tasks (at, decision_id, tier, probability, status, attempts, created_at, done_at)
SELECT at, id, 'cloud', 0.02, 'done', 1, at + interval '2 seconds', at + interval '4 seconds'
FROM drawn WHERE shadowed < 0.02 AND NOT routed AND NOT escalated AND NOT failed;

-- name: shipments
-- A batch every hundred places.
INSERT INTO shipments (plane, segment, first_offset, last_offset, rows, shipped_at)
SELECT plane, spool_segment, place / 100 * 100, place / 100 * 100 + 99, count(*),
    max(at) + interval '1 second'
FROM drawn GROUP BY plane, spool_segment, place / 100
ON CONFLICT DO NOTHING;

-- name: estimates
INSERT INTO estimates (at, policy_version, "window", n, quality, lo, hi, detail)
SELECT at, 1, name, 20000, level, level - 0.02, level + 0.02,
    '{"labels": 200, "silent_share": 0.03}'
FROM generate_series(%(begin)s::timestamptz, %(until)s, interval '10 minutes') AS at
CROSS JOIN (VALUES ('run'), ('last_1000_labels')) AS listed (name)
CROSS JOIN LATERAL (SELECT 0.9 + 0.01 * sin(extract(epoch FROM at) / 20000) AS level) AS course;

-- name: alarms
INSERT INTO events (at, kind, body)
SELECT at, 'alarm', '{"reason": "SIMULATED drift of the local answers"}'
FROM generate_series(%(begin)s::timestamptz, %(until)s, interval '11 hours') AS at;

-- name: acknowledgements
INSERT INTO policy_acks (plane, seq, version, status, at)
SELECT 'plane-' || plane, seq, seq, 'ack', published_at + interval '200 milliseconds'
FROM publications CROSS JOIN generate_series(1, 3) AS plane;

-- name: job_runs
INSERT INTO job_runs (job, due_at, plane, started_at, finished_at, status)
SELECT job, due_at, 'SIMULATED-control', due_at, due_at + interval '80 milliseconds', 'done'
FROM (VALUES ('cycle', 2), ('shadow', 1), ('expire', 5), ('rollup', 5), ('judge_report', 60),
    ('partitions', 3600), ('forget_runs', 3600)) AS planned (job, every_s)
CROSS JOIN LATERAL generate_series(
    %(until)s::timestamptz - interval '1 day', %(until)s, every_s * interval '1 second') AS due_at;

-- name: judge_reports
INSERT INTO judge_reports (judge, segment, hour, at, policy_version, body)
SELECT 'logprob', segment, date_trunc('hour', at), at, 1, %(body)s::jsonb
FROM generate_series(%(begin)s::timestamptz, %(until)s, interval '1 hour') AS at
CROSS JOIN (VALUES ('default'), ('code'), ('support')) AS listed (segment);

-- name: watermarks
INSERT INTO watermarks (plane, segment, "offset")
SELECT plane, segment, max(last_offset) FROM shipments GROUP BY plane, segment;

-- name: plane_reports
-- Of the last week, one in ten seconds; the database adds them up.
INSERT INTO plane_reports (plane, at, body)
SELECT 'plane-' || plane, at, jsonb_build_object(
    'spool', jsonb_build_object(
        'pending_records', (40 * random())::integer, 'pending_bytes', (40000 * random())::integer,
        'oldest_pending_seconds', 3 * random(), 'dropped', 0, 'quarantined', 0,
        'damaged_segments', 0, 'last_error', NULL),
    'tiers', jsonb_build_object('local', jsonb_build_object(
        'unavailable', NULL, 'failures_in_a_row', 0, 'restarts', 0, 'slots', 8,
        'slots_busy', (8 * random())::integer, 'queue_depth', (3 * random())::integer,
        'memory_rss_bytes', 320000000 + (9000000 * random())::integer)))
FROM generate_series(%(until)s::timestamptz - interval '7 days', %(until)s, interval '10 seconds')
    AS at
CROSS JOIN generate_series(1, 3) AS plane;
