-- What several pages ask: as everywhere here, views alone, bounded in rows, by the role
-- penstock_dashboard. Parameters are psycopg's: %(name)s. A filter that is not set is null:
-- `%(tenant)s::text IS NULL OR tenant = %(tenant)s`. `since` begins the period. It bounds every
-- `.._at` of a view, each of another partitioned table: Postgres would carry it to none.

-- name: now
-- The store's clock, by which periods and ages are told.
SELECT now() AS now;

-- name: extent
-- From when to when there was any call.
SELECT min(at) AS first, max(at) AS last FROM v_overview_spend WHERE at >= %(since)s;

-- name: filters
SELECT filter, value FROM v_filters ORDER BY filter, place, value LIMIT %(rows)s;

-- name: simulated
-- Names that say themselves that what they name is no real thing: of the newest calls and votes, and
-- of all models that sums tell of in the period.
SELECT 'model ' || model AS name FROM (
    SELECT model FROM (
        SELECT model FROM v_overview_spend WHERE at >= %(since)s ORDER BY at DESC LIMIT 1000
    ) AS newest
    UNION
    SELECT model FROM v_called_models WHERE last_at >= %(since)s - interval '10 minutes'
) AS called WHERE model ILIKE '%%simulated%%'
UNION
SELECT 'labeller ' || labeller FROM (
    SELECT labeller FROM v_labellers WHERE at >= %(since)s ORDER BY at DESC LIMIT 1000
) AS newest WHERE labeller ILIKE '%%simulated%%'
ORDER BY 1 LIMIT %(rows)s;

-- name: summed_queries
-- How many completed queries the sums know of.
SELECT coalesce(sum(queries), 0)::bigint AS queries FROM v_query_rollups WHERE at >= %(since)s;

-- name: bins
-- How many values of a measure lie between which bounds, by whole hours.
SELECT lower, upper, sum(n)::bigint AS n FROM v_latency_rollups
WHERE at >= date_trunc('hour', %(since)s::timestamptz, 'UTC') AND measure = %(measure)s
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR tier = %(tier)s)
GROUP BY 1, 2 ORDER BY 1 LIMIT %(rows)s;

-- name: unsummed
-- Records that arrived and are in no sum yet; those of the last seconds are on their way.
SELECT coalesce(sum(records), 0)::bigint AS records FROM v_rollup_lag
WHERE records > 0 AND waiting_since < now() - interval '30 seconds';

-- name: fleet
-- What each data plane serves, what it refused last, and how it stands.
SELECT plane, serves, refused, reason, newest - seq AS behind, at, standing FROM v_fleet
ORDER BY behind DESC, plane LIMIT %(rows)s;
