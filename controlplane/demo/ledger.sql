-- What the demo reads of the store, by name; nothing here is written.

-- name: spent
-- Money by purpose, over every attempt.
SELECT purpose, sum(cost_usd) AS cost_usd, count(*) AS attempts FROM attempts GROUP BY purpose;

-- name: counts
SELECT
    (SELECT count(*) FROM decisions) AS decisions,
    (SELECT count(*) FROM completions) AS completions,
    (SELECT count(*) FROM completions c JOIN watermarks w ON w.plane = c.plane
        AND w.segment = c.spool_segment AND c."offset" <= w."offset") AS observed,
    (SELECT count(*) FROM label_tasks) AS label_tasks,
    (SELECT count(*) FROM label_tasks WHERE status IN ('pending', 'leased')) AS labels_awaited,
    (SELECT count(*) FROM label_tasks WHERE learned_at IS NULL) AS labels_to_learn,
    (SELECT count(*) FROM shadow_tasks WHERE status IN ('pending', 'leased')) AS shadows_awaited,
    (SELECT count(*) FROM outcomes WHERE source = 'verifier') AS labels;

-- name: estimate
-- The latest estimate of one window that has an interval.
SELECT n, quality, lo, hi, detail FROM estimates
WHERE "window" = %(window)s AND quality IS NOT NULL ORDER BY id DESC LIMIT 1;

-- name: events_since
SELECT id, at, kind, body FROM events WHERE id > %(id)s ORDER BY id;

-- name: versions
-- Every version: whether a data plane took it, and how many decisions it made.
SELECT p.version, p.document,
    EXISTS (SELECT FROM policy_acks a WHERE a.version = p.version AND a.status = 'ack') AS acked,
    (SELECT count(*) FROM decisions d WHERE d.policy_version = p.version) AS decisions
FROM policies p ORDER BY p.version;

-- name: cloud_call
-- What a call of the dear tier costs on average, of late: its price may have changed.
SELECT avg(cost_usd) AS cost_usd FROM (
    SELECT cost_usd FROM attempts
    WHERE tier = %(tier)s AND error IS NULL AND purpose IN ('serve', 'shadow')
    ORDER BY at DESC LIMIT 200
) AS late;
