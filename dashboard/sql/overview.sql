-- What the overview asks, by name: views alone, bounded in rows, by the role penstock_dashboard.
-- Parameters are psycopg's: %(name)s. `since` begins the period, `width` is that of a bucket. It bounds
-- every `.._at` of a view, each of another partitioned table: Postgres would carry it to none.

-- name: latest
SELECT max(at) AS last FROM v_overview_spend;

-- name: served
SELECT count(*) AS queries,
    count(*) FILTER (WHERE status = 'ok') AS answered,
    count(*) FILTER (WHERE status = 'ok' AND answered_locally) AS local
FROM v_overview_queries
WHERE at >= %(since)s AND decided_at >= %(since)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR final_tier = %(tier)s);

-- name: summed_served
SELECT coalesce(sum(queries), 0)::bigint AS queries, coalesce(sum(answered), 0)::bigint AS answered,
    coalesce(sum(local), 0)::bigint AS local
FROM v_query_rollups
WHERE at >= %(since)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR final_tier = %(tier)s);

-- name: p95
SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95
FROM v_overview_queries
WHERE at >= %(since)s AND decided_at >= %(since)s AND status = 'ok'
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR final_tier = %(tier)s);

-- name: volume
-- Answered queries by time: what those that the cloud answered paid for that, and what a cloud call
-- for each of the others was expected to cost.
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, count(*) AS queries,
    coalesce(sum(paid_cloud_usd), 0) AS paid_cloud_usd,
    coalesce(sum(expected_cloud_usd) FILTER (WHERE paid_cloud_usd IS NULL), 0)
        AS expected_cloud_usd
FROM v_overview_queries
WHERE at >= %(since)s AND decided_at >= %(since)s AND status = 'ok'
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR final_tier = %(tier)s)
GROUP BY 1 ORDER BY 1 LIMIT %(rows)s;

-- name: summed_volume
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, sum(answered)::bigint AS queries,
    sum(paid_cloud_usd) AS paid_cloud_usd, sum(expected_cloud_usd) AS expected_cloud_usd
FROM v_query_rollups
WHERE at >= %(since)s AND answered > 0
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR final_tier = %(tier)s)
GROUP BY 1 ORDER BY 1 LIMIT %(rows)s;

-- name: spend
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, purpose, sum(cost_usd) AS cost_usd
FROM v_overview_charges
WHERE at >= %(since)s AND decided_at >= %(since)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR tier = %(tier)s)
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: summed_spend
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, purpose, sum(cost_usd) AS cost_usd
FROM v_spend_rollups
WHERE at >= %(since)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR tier = %(tier)s)
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: shadows
-- Shadow calls of the cloud, each standing for 1 / its chance: what they cost, and were expected to.
-- Whoever answered their query, they are calls of the cloud: the tier does not narrow them.
SELECT count(*) AS calls, sum(cost_usd / shadow_probability) AS cost_usd,
    sum(expected_usd / shadow_probability) AS expected_usd
FROM v_overview_cloud_calls
WHERE at >= %(since)s AND decided_at >= %(since)s AND purpose = 'shadow'
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s);

-- name: summed_shadows
SELECT coalesce(sum(shadow_calls), 0)::bigint AS calls, sum(shadow_usd) AS cost_usd,
    sum(shadow_expected_usd) AS expected_usd
FROM v_spend_rollups
WHERE at >= %(since)s AND shadow_calls > 0
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s);

-- name: votes
SELECT count(*) AS labels, coalesce(sum(price_usd), 0) AS cost_usd
FROM v_priced_votes
WHERE at >= %(since)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR tier = %(tier)s);

-- name: quality_now
SELECT at, answers, labels, quality, lo, hi, silent_share FROM v_overview_quality
WHERE "window" = 'run' ORDER BY id DESC LIMIT 1;

-- name: quality
-- The last estimate of each bucket that rests on enough labels.
SELECT DISTINCT ON (date_bin(%(width)s, at, '2000-01-01Z')) at, labels, quality, lo, hi
FROM v_overview_quality
WHERE at >= %(since)s AND "window" = 'run' AND labels >= %(enough)s
ORDER BY date_bin(%(width)s, at, '2000-01-01Z'), id DESC LIMIT %(rows)s;

-- name: live
-- The policy in force, a row a segment.
SELECT * FROM v_overview_policies
WHERE seq = (SELECT seq FROM v_overview_policies ORDER BY seq DESC LIMIT 1)
ORDER BY segment LIMIT %(rows)s;

-- name: policies
-- All that were in force within the period: those published in it, and the one before.
SELECT published_at, version, mode, segment, routing_threshold, judge_cutoff
FROM v_overview_policies
WHERE seq >= coalesce((
    SELECT seq FROM v_overview_policies WHERE published_at < %(since)s ORDER BY seq DESC LIMIT 1
), 0)
ORDER BY seq DESC, segment LIMIT %(rows)s;

-- name: gates
SELECT judge, segment, standing, since, pairs FROM v_overview_gates
ORDER BY judge, segment LIMIT %(rows)s;

-- name: alarms
SELECT at, reason FROM v_overview_alarms
WHERE at >= %(now)s - interval '1 day' ORDER BY id DESC LIMIT %(rows)s;
