-- What the page of the local tier asks, by name. No money here. What is called for people and unseen
-- (serve, shadow) works the box alike; first tokens and speeds are of served answers.

-- name: local_name
SELECT local AS tier FROM v_overview_terms ORDER BY version DESC LIMIT 1;

-- name: local_calls
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, count(*) AS calls,
    count(*) FILTER (WHERE NOT answered) AS failed, sum(prompt_tokens)::bigint AS prompt_tokens,
    sum(completion_tokens)::bigint AS completion_tokens
FROM v_overview_charges
WHERE at >= %(since)s AND decided_at >= %(since)s AND tier = %(tier)s
    AND purpose IN ('serve', 'shadow')
GROUP BY 1 ORDER BY 1 LIMIT %(rows)s;

-- name: summed_local_calls
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, sum(calls)::bigint AS calls,
    sum(failed)::bigint AS failed, sum(prompt_tokens)::bigint AS prompt_tokens,
    sum(completion_tokens)::bigint AS completion_tokens
FROM v_spend_rollups
WHERE at >= %(since)s AND tier = %(tier)s AND purpose IN ('serve', 'shadow')
GROUP BY 1 ORDER BY 1 LIMIT %(rows)s;

-- name: pace
-- Quantiles by time, and of all in the row without one.
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_ms) AS ttft_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY ttft_ms) AS ttft_p95_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY tokens_per_s) AS tokens_per_s,
    percentile_cont(0.05) WITHIN GROUP (ORDER BY tokens_per_s) AS tokens_per_s_p5
FROM v_overview_charges
WHERE at >= %(since)s AND decided_at >= %(since)s AND tier = %(tier)s AND purpose = 'serve'
    AND answered
GROUP BY GROUPING SETS ((1), ()) ORDER BY 1 NULLS FIRST LIMIT %(rows)s;

-- name: pace_bins
-- How many first tokens (ms) and speeds (tokens/s) lay between which bounds, by time.
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, measure, lower, upper, sum(n)::bigint AS n
FROM v_latency_rollups
WHERE at >= date_trunc('hour', %(since)s::timestamptz, 'UTC') AND tier = %(tier)s
    AND measure IN ('ttft', 'speed')
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3 LIMIT 20 * %(rows)s;

-- name: engines
-- Slots, queue and memory of the engines, by time and data plane.
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, plane, max(queue_depth) AS waiting,
    avg(slots_busy::float8 / nullif(slots, 0)) AS busy_share, max(memory_bytes) AS memory_bytes
FROM v_tier_reports WHERE at >= %(since)s AND tier = %(tier)s AND slots IS NOT NULL
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: summed_engines
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, plane, max(queue_depth) AS waiting,
    sum(busy_shares) / nullif(sum(reports), 0) AS busy_share, max(memory_bytes) AS memory_bytes
FROM v_engine_rollups WHERE at >= %(since)s AND tier = %(tier)s
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: engines_now
SELECT DISTINCT ON (plane) plane, at, unavailable, restarts, slots, slots_busy, queue_depth,
    memory_bytes, gpu_used_bytes, gpu_bytes
FROM v_tier_reports WHERE at >= %(now)s - interval '2 minutes' AND tier = %(tier)s
ORDER BY plane, at DESC LIMIT %(rows)s;
