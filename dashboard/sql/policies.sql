-- What the page on policies asks: small tables alone, but none of them read from its beginning.

-- name: policies_published
-- The newest publications, a row a version that each put in force.
SELECT seq, published_at, reason, place, version, share, draw, parent, kind, author, policy_reason
FROM v_publications
WHERE seq > coalesce((SELECT max(seq) FROM v_publications), 0) - %(publications)s
ORDER BY seq DESC, place LIMIT %(rows)s;

-- name: policies_events
SELECT at, kind, stage, version, reason FROM v_policy_events ORDER BY id DESC LIMIT %(page)s;

-- name: policies_freeze
SELECT frozen, since FROM v_policy_freeze;
