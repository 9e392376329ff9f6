-- What the page on decisions asks. A page of the log is read in two steps: how far back the next so
-- many queries reach, and then those among them that fit, each table bounded by that.

-- name: decisions_reach
-- The oldest of the next `looked` queries before a place in the log, and how many they are.
SELECT count(*) AS queries, min(at) AS at FROM (
    SELECT at FROM v_decisions
    WHERE at >= %(since)s AND at <= %(before_at)s
        AND (at, decision_id) < (%(before_at)s, %(before_id)s)
    ORDER BY at DESC LIMIT %(looked)s
) AS next;

-- name: decisions_log
-- Newest first, those that fit all that is asked for; what is not asked for is null.
SELECT d.at, d.decision_id, d.request_id, d.tenant, d.segment, d.policy_version, e.final_tier,
    e.escalated, coalesce(e.status, 'unknown') AS status, s.raw AS score, e.cost_usd, e.latency_ms
FROM v_decisions d
LEFT JOIN v_decision_ends e ON e.at = d.at AND e.decision_id = d.decision_id
    AND e.at >= %(reached)s AND e.at <= %(before_at)s
LEFT JOIN v_decision_scores s ON s.at = d.at AND s.decision_id = d.decision_id
    AND s.purpose = 'serve' AND s.at >= %(reached)s AND s.at <= %(before_at)s
WHERE d.at >= %(reached)s AND d.at <= %(before_at)s
    AND (d.at, d.decision_id) < (%(before_at)s, %(before_id)s)
    AND (%(tenant)s::text IS NULL OR d.tenant = %(tenant)s)
    AND (%(segment)s::text IS NULL OR d.segment = %(segment)s)
    AND (%(version)s::integer IS NULL OR d.policy_version = %(version)s)
    AND (%(tier)s::text IS NULL OR e.final_tier = %(tier)s)
    AND (%(request)s::text IS NULL OR starts_with(d.request_id, %(request)s))
    AND (%(first)s::uuid IS NULL OR d.decision_id BETWEEN %(first)s AND %(last)s)
    AND (%(among)s::uuid[] IS NULL OR d.decision_id = ANY(%(among)s))
    AND (%(escalated)s::boolean IS NULL OR e.escalated = %(escalated)s)
    AND (%(status)s::text IS NULL OR coalesce(e.status, 'unknown') = %(status)s)
    AND (%(score_from)s::float8 IS NULL OR s.raw >= %(score_from)s)
    AND (%(score_to)s::float8 IS NULL OR s.raw <= %(score_to)s)
    AND (%(cost_from)s::float8 IS NULL OR e.cost_usd >= %(cost_from)s)
    AND (%(cost_to)s::float8 IS NULL OR e.cost_usd <= %(cost_to)s)
ORDER BY d.at DESC, d.decision_id DESC LIMIT %(page)s;

-- name: decisions_labelled_scores
-- Among the last labels of answers, those of a judge's scores, the newest first.
SELECT s.raw, l.value
FROM (
    SELECT at, decision_id, key, value FROM v_decision_labels
    WHERE at >= %(since)s ORDER BY at DESC LIMIT %(labels)s
) AS l
JOIN v_decision_scores s ON s.at = l.at AND s.decision_id = l.decision_id AND s.tier = l.key
WHERE s.at >= %(since)s AND s.judge = %(judge)s
ORDER BY l.at DESC LIMIT %(page)s;
