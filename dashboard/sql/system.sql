-- What the system page asks, by name.

-- name: planes_now
-- The last report of each data plane that was heard of within the hour.
SELECT DISTINCT ON (plane) plane, at, pending_records, pending_bytes, oldest_pending_s, dropped,
    quarantined, damaged_segments, last_error
FROM v_plane_reports WHERE at >= %(now)s - interval '1 hour'
ORDER BY plane, at DESC LIMIT %(rows)s;

-- name: tiers_now
SELECT DISTINCT ON (plane, tier) plane, tier, at, unavailable, failures_in_a_row, restarts, slots,
    slots_busy, queue_depth, memory_bytes
FROM v_tier_reports WHERE at >= %(now)s - interval '1 hour'
ORDER BY plane, tier, at DESC LIMIT %(rows)s;

-- name: spools
-- The most that waited in each spool, by time.
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, plane, max(pending_records) AS records,
    max(oldest_pending_s) AS oldest_s
FROM v_plane_reports WHERE at >= %(since)s
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: summed_spools
SELECT date_bin(%(width)s, at, '2000-01-01Z') AS at, plane, max(pending_records) AS records,
    max(oldest_pending_s) AS oldest_s
FROM v_spool_rollups WHERE at >= %(since)s
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: arrivals
-- When something of each data plane arrived last, and how many of its records are in no sum yet.
SELECT plane, max(shipped_at) AS last, sum(greatest(records, 0))::bigint AS unsummed,
    min(waiting_since) AS waiting_since
FROM v_rollup_lag GROUP BY plane ORDER BY plane LIMIT %(rows)s;

-- name: staged
SELECT count(*) AS records FROM v_staging;

-- name: orphans
-- Records that wait for their decision.
SELECT count(*) AS records, min(at) AS oldest FROM v_rollup_waiting;

-- name: jobs
SELECT job, plane, started_at, finished_at, status, detail FROM v_last_job_runs
ORDER BY job LIMIT %(rows)s;

-- name: failed_jobs
SELECT job, count(*) AS failed FROM v_job_runs
WHERE status = 'failed' AND due_at >= %(now)s - interval '1 day'
GROUP BY job ORDER BY job LIMIT %(rows)s;

-- name: revision
SELECT max(revision) AS revision FROM v_revisions;

-- name: partitions
-- Until which day each table has partitions, and how many rows lie in none of a day.
SELECT "table", min(day) AS first, max(day) AS last,
    coalesce(sum(rows) FILTER (WHERE day IS NULL), 0)::bigint AS stray
FROM v_partitions GROUP BY 1 ORDER BY 1 LIMIT %(rows)s;

-- name: webhook
SELECT sent, failures, given_up, attempts, since FROM v_alert_progress;
