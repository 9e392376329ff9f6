-- What the page on quality and cost asks, by name. All points of one frontier share their `at`.
-- An empty segment stands for all of them together.

-- name: frontier
SELECT at, kind, name, policy_version, queries, since, until, quality, quality_lo, quality_hi,
    usd, usd_lo, usd_hi, labels, method, refused
FROM v_frontier
WHERE at = (SELECT max(at) FROM v_frontier) AND segment = coalesce(%(segment)s, '')
ORDER BY kind, usd, name LIMIT %(rows)s;

-- name: frontier_course
-- What was served, as each frontier of the period told it.
SELECT at, labels, quality, quality_lo, quality_hi, usd, usd_lo, usd_hi FROM v_frontier
WHERE at >= %(since)s AND segment = coalesce(%(segment)s, '') AND kind = 'served'
ORDER BY at LIMIT %(rows)s;
