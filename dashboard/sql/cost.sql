-- What the page on spend asks, by name. `since` begins the earlier period, `turn` the later one: it is
-- an edge between two buckets, and of ten minutes where sums are read.

-- name: cost_queries
SELECT date_bin(%(width)s, at, %(turn)s) AS at, count(*) AS queries FROM v_overview_queries
WHERE at >= %(since)s AND at < %(now)s AND decided_at >= %(since)s AND decided_at < %(now)s
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
GROUP BY 1 ORDER BY 1 LIMIT %(rows)s;

-- name: summed_cost_queries
SELECT date_bin(%(width)s, at, %(turn)s) AS at, sum(queries)::bigint AS queries
FROM v_query_rollups
WHERE at >= %(since)s AND at < %(now)s AND (%(segment)s::text IS NULL OR segment = %(segment)s)
GROUP BY 1 ORDER BY 1 LIMIT %(rows)s;

-- name: cost_calls
SELECT date_bin(%(width)s, at, %(turn)s) AS at, purpose, sum(cost_usd) AS cost_usd
FROM v_overview_charges
WHERE at >= %(since)s AND at < %(now)s AND decided_at >= %(since)s AND decided_at < %(now)s
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: summed_cost_calls
SELECT date_bin(%(width)s, at, %(turn)s) AS at, purpose, sum(cost_usd) AS cost_usd
FROM v_spend_rollups
WHERE at >= %(since)s AND at < %(now)s AND (%(segment)s::text IS NULL OR segment = %(segment)s)
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(rows)s;

-- name: cost_changes
SELECT at, kind, standing, reason FROM v_changes
WHERE at >= %(turn)s AND (segment IS NULL OR %(segment)s::text IS NULL OR segment = %(segment)s)
ORDER BY at DESC, id DESC LIMIT %(rows)s;
