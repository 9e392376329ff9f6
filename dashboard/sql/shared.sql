-- What several pages ask: as everywhere here, views alone, bounded in rows, by the role
-- penstock_dashboard. Parameters are psycopg's: %(name)s. A filter that is not set is null:
-- `%(tenant)s::text IS NULL OR tenant = %(tenant)s`. `since` begins the period. It bounds every
-- `.._at` of a view, each of another partitioned table: Postgres would carry it to none.

-- name: now
-- The store's clock, by which periods and ages are told.
SELECT now() AS now;

-- name: filters
SELECT filter, value FROM v_filters ORDER BY filter, place, value LIMIT %(rows)s;

-- name: simulated
-- Names that say themselves that what they name is no real thing.
SELECT DISTINCT 'model ' || model AS name FROM v_overview_spend
WHERE at >= %(since)s AND model ILIKE '%%simulated%%'
UNION
SELECT DISTINCT 'labeller ' || labeller FROM v_overview_labels
WHERE at >= %(since)s AND decided_at >= %(since)s AND labeller ILIKE '%%simulated%%'
ORDER BY 1 LIMIT %(rows)s;
