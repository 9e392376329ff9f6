-- Every statement of the control plane beyond the trivial, by name.
-- Parameters are psycopg's: %(name)s. `wanted` is a list of decisions as two parallel arrays.


-- ============================================================================ observe

-- name: arrived
-- How far each spool segment has arrived. Segments of a plane ascend in time, so a decision is read
-- before its completion in a later segment.
SELECT plane, segment, last_offset AS arrived FROM spool_arrivals ORDER BY plane, segment;

-- name: cut
-- At most so many completions of one source: how many, and the offset of the last one.
SELECT count(*) AS completions, max(c."offset") AS reached
FROM (
    SELECT "offset" FROM completions
    WHERE plane = %(plane)s AND spool_segment = %(segment)s
        AND "offset" > %(reached)s AND "offset" <= %(arrived)s
    ORDER BY "offset" LIMIT %(limit)s
) c;

-- name: completed
-- The answered queries of one source between two offsets; errors and aborts are never a reward.
SELECT at, decision_id FROM completions
WHERE plane = %(plane)s AND spool_segment = %(segment)s
    AND "offset" > %(reached)s AND "offset" <= %(until)s AND status = 'ok';

-- name: observations
-- Each wanted query as serving left it; the models that answered and the tokens of their calls,
-- shadows too. A serving judge score comes before a shadow's ('serve' < 'shadow'); of two scores
-- the later index holds.
SELECT d.id, d.at, d.segment, d.policy_version, d.features, c.final_tier, c.cost_usd,
    ARRAY(SELECT jsonb_object_keys(d.excluded - 'judge')) AS excluded,
    ARRAY(
        SELECT a.tier FROM attempts a
        WHERE a.at = d.at AND a.decision_id = d.id AND a.purpose = 'serve' AND a.error IS NULL
        ORDER BY a.index
    ) AS answered,
    (
        SELECT j.raw FROM judge_scores j
        WHERE j.at = d.at AND j.decision_id = d.id
        ORDER BY j.purpose, j.index DESC LIMIT 1
    ) AS score,
    called.models,
    called.used
FROM unnest(%(ats)s::timestamptz[], %(ids)s::uuid[]) AS wanted (at, id)
JOIN decisions d ON d.at = wanted.at AND d.id = wanted.id
JOIN completions c ON c.at = wanted.at AND c.decision_id = wanted.id
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(a.tier, a.model ORDER BY a.index) AS models,
        jsonb_object_agg(
            a.tier, jsonb_build_array(a.prompt_tokens, a.completion_tokens) ORDER BY a.index
        ) AS used
    FROM attempts a
    WHERE a.at = d.at AND a.decision_id = d.id AND a.purpose IN ('serve', 'shadow')
        AND a.error IS NULL
) called
ORDER BY d.id;

-- name: open_label_tasks
-- One task for each audit draw, however often the observer comes by.
INSERT INTO label_tasks (at, decision_id, probability, answers, waits_for_shadow, doubled)
SELECT audit.at, audit.decision_id, audit.probability, '[]'::jsonb, shadow.tier IS NOT NULL,
    wanted.doubled
FROM unnest(%(ats)s::timestamptz[], %(ids)s::uuid[], %(doubled)s::boolean[])
    AS wanted (at, id, doubled)
JOIN draws audit
    ON audit.at = wanted.at AND audit.decision_id = wanted.id AND audit.kind = 'audit'
LEFT JOIN draws shadow
    ON shadow.at = wanted.at AND shadow.decision_id = wanted.id AND shadow.kind = 'shadow'
ON CONFLICT DO NOTHING;

-- name: open_shadow_tasks
INSERT INTO shadow_tasks (at, decision_id, tier, probability)
SELECT draws.at, draws.decision_id, draws.tier, draws.probability
FROM unnest(%(ats)s::timestamptz[], %(ids)s::uuid[]) AS wanted (at, id)
JOIN draws ON draws.at = wanted.at AND draws.decision_id = wanted.id AND draws.kind = 'shadow'
ON CONFLICT DO NOTHING;

-- name: take_resolved
-- Each resolved task is learned from once: the mark moves with the learner's state.
UPDATE label_tasks SET learned_at = now()
WHERE status IN ('labelled', 'unsure', 'expired') AND learned_at IS NULL
RETURNING at, decision_id, probability, status;

-- name: resolved_beyond
-- Resolved draws in the order in which they were observed, up to the first that is not resolved.
WITH waits AS (
    SELECT created_at, at, decision_id FROM label_tasks WHERE status IN ('pending', 'leased')
    ORDER BY created_at, at, decision_id LIMIT 1
)
SELECT t.at, t.decision_id, t.probability, t.status, t.created_at
FROM label_tasks t
WHERE (t.created_at, t.at, t.decision_id) > (%(after)s::timestamptz, %(at)s::timestamptz, %(id)s::uuid)
    AND NOT EXISTS (
        SELECT FROM waits
        WHERE (waits.created_at, waits.at, waits.decision_id)
            <= (t.created_at, t.at, t.decision_id)
    )
ORDER BY t.created_at, t.at, t.decision_id
LIMIT %(limit)s;

-- name: latest_labelled
SELECT at, decision_id, probability FROM label_tasks
WHERE status = 'labelled' ORDER BY at DESC, decision_id DESC LIMIT %(limit)s;

-- name: labels_of
-- The settled labels of the wanted queries by answer.
SELECT l.decision_id, l.key, l.value
FROM unnest(%(ats)s::timestamptz[], %(ids)s::uuid[]) AS wanted (at, id)
JOIN labels l ON l.at = wanted.at AND l.decision_id = wanted.id;

-- name: settle_by_application
-- An application's own word settles a drawn query of which it tells all: one answer, no shadow, and
-- nobody at work on it. Where applications contradict each other, people are asked.
WITH told AS (
    SELECT t.at, t.decision_id, c.final_tier AS key, avg(o.value) AS value, count(*) AS votes
    FROM label_tasks t
    JOIN completions c ON c.at = t.at AND c.decision_id = t.decision_id
    JOIN outcomes o ON o.at = t.at AND o.decision_id = t.decision_id
        AND o.source = 'ground_truth' AND o.labeller LIKE 'application:%%'
        AND o.plane <> 'controlplane' AND o.key IN ('served', c.final_tier)
    WHERE t.status = 'pending' AND NOT t.waits_for_shadow
        AND NOT EXISTS (
            SELECT FROM label_votes v
            WHERE v.at = t.at AND v.decision_id = t.decision_id AND v.source = 'ground_truth'
        )
        AND NOT EXISTS (
            SELECT FROM attempts a
            WHERE a.at = t.at AND a.decision_id = t.decision_id AND a.purpose = 'serve'
                AND a.error IS NULL AND a.tier <> c.final_tier
        )
    GROUP BY t.at, t.decision_id, c.final_tier
    HAVING max(o.value) - min(o.value) <= %(tolerance)s
), settled AS (
    UPDATE label_tasks t SET status = 'labelled', resolved_at = now()
    FROM told WHERE t.at = told.at AND t.decision_id = told.decision_id AND t.status = 'pending'
    RETURNING t.at, t.decision_id
)
INSERT INTO labels (at, decision_id, key, value, source, basis)
SELECT told.at, told.decision_id, told.key, told.value, 'ground_truth',
    CASE told.votes WHEN 1 THEN 'single' ELSE 'double' END
FROM told JOIN settled ON settled.at = told.at AND settled.decision_id = told.decision_id
ON CONFLICT DO NOTHING;

-- name: draws_of
SELECT d.decision_id, max(d.rival) AS rival,
    coalesce(max(d.probability) FILTER (WHERE d.kind = 'shadow'), 0) AS shadow_probability
FROM unnest(%(ats)s::timestamptz[], %(ids)s::uuid[]) AS wanted (at, id)
JOIN draws d ON d.at = wanted.at AND d.decision_id = wanted.id
GROUP BY d.decision_id;

-- name: load_watermark
SELECT plane, segment, "offset" FROM watermarks;

-- name: save_watermark
INSERT INTO watermarks (plane, segment, "offset")
SELECT * FROM unnest(%(planes)s::text[], %(segments)s::bigint[], %(offsets)s::bigint[])
ON CONFLICT (plane, segment) DO UPDATE SET "offset" = excluded."offset"
WHERE watermarks."offset" < excluded."offset";


-- ============================================================================ state

-- name: load_state
SELECT body, checksum, schema FROM learner_state WHERE name = %(name)s;

-- name: lock_state
-- Whoever holds this row moves the learner; a second control plane waits, then sees a new checksum.
SELECT checksum FROM learner_state WHERE name = %(name)s FOR UPDATE;

-- name: first_state
INSERT INTO learner_state (name, body, checksum, schema)
VALUES (%(name)s, %(body)s, %(checksum)s, %(schema)s)
ON CONFLICT DO NOTHING;

-- name: save_state
INSERT INTO learner_state (name, body, checksum, schema)
VALUES (%(name)s, %(body)s, %(checksum)s, %(schema)s)
ON CONFLICT (name) DO UPDATE
SET body = excluded.body, checksum = excluded.checksum, schema = excluded.schema,
    updated_at = now();


-- ============================================================================ audit

-- name: lease_label_tasks
-- Oldest first, and only what can be shown: the prompt and an answer in words, and the shadow's
-- answer too if one was drawn, until its patience ends. SKIP LOCKED: no two labellers get one task.
-- Nobody gets a task that they have graded, and no program one that people have begun.
UPDATE label_tasks t
SET status = 'leased', leased_by = %(holder)s, leased_until = %(until)s
FROM (
    SELECT l.at, l.decision_id FROM label_tasks l
    WHERE (l.status = 'pending' OR (l.status = 'leased' AND l.leased_until <= %(now)s))
        AND l.decision_id <> ALL(%(skipped)s::uuid[])
        AND EXISTS (
            SELECT FROM texts p
            WHERE p.at = l.at AND p.decision_id = l.decision_id AND p.key = 'prompt'
        )
        AND EXISTS (
            SELECT FROM texts a
            WHERE a.at = l.at AND a.decision_id = l.decision_id AND a.key LIKE 'answer:%%'
        )
        AND (l.created_at <= %(patience)s OR NOT EXISTS (
            SELECT FROM shadow_tasks s
            WHERE s.at = l.at AND s.decision_id = l.decision_id
                AND (s.status IN ('pending', 'leased') OR (s.status = 'done' AND NOT EXISTS (
                    SELECT FROM texts a
                    WHERE a.at = s.at AND a.decision_id = s.decision_id
                        AND a.key = 'answer:' || s.tier
                )))
        ))
        AND NOT EXISTS (
            SELECT FROM label_votes v
            WHERE v.at = l.at AND v.decision_id = l.decision_id
                AND (v.labeller = %(labeller)s
                    OR (%(program)s AND v.source = 'ground_truth'))
        )
    ORDER BY l.at, l.decision_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) ready
WHERE t.at = ready.at AND t.decision_id = ready.decision_id
RETURNING t.at, t.decision_id;

-- name: waiting_label_tasks
-- Those that this labeller may get.
SELECT count(*) AS tasks FROM label_tasks l
WHERE l.status = 'pending' AND l.decision_id <> ALL(%(skipped)s::uuid[]) AND NOT EXISTS (
    SELECT FROM label_votes v
    WHERE v.at = l.at AND v.decision_id = l.decision_id
        AND (v.labeller = %(labeller)s OR (%(program)s AND v.source = 'ground_truth'))
);

-- name: texts_of
SELECT t.decision_id, t.key, t.body
FROM unnest(%(ats)s::timestamptz[], %(ids)s::uuid[]) AS wanted (at, id)
JOIN texts t ON t.at = wanted.at AND t.decision_id = wanted.id
ORDER BY t.decision_id, t.key;

-- name: show_answers
-- Which answers hide behind which blind key is fixed when the task is shown, and shown anew to
-- the next: once somebody has graded them they stay.
UPDATE label_tasks t SET answers = CASE
    WHEN EXISTS (
        SELECT FROM label_votes v WHERE v.at = t.at AND v.decision_id = t.decision_id
    ) THEN t.answers ELSE %(answers)s::jsonb
END
WHERE t.at = %(at)s AND t.decision_id = %(id)s RETURNING t.answers;

-- name: lock_label_task
SELECT status, leased_by, leased_until, answers, doubled, disputed FROM label_tasks
WHERE at = %(at)s AND decision_id = %(id)s FOR UPDATE;

-- name: add_vote
INSERT INTO label_votes (at, decision_id, labeller, holder, source, cast_at)
VALUES (%(at)s, %(id)s, %(labeller)s, %(holder)s, %(source)s, %(now)s);

-- name: votes_of
-- What labellers graded, a row an answer, one with a null where they were unsure of all; and what
-- applications told of themselves, by the tier that served.
SELECT v.labeller, v.holder, v.source, o.key, o.value
FROM label_votes v
LEFT JOIN outcomes o ON o.at = v.at AND o.decision_id = v.decision_id
    AND o.labeller = v.labeller AND o.source = v.source
WHERE v.at = %(at)s AND v.decision_id = %(id)s
UNION ALL
SELECT o.labeller, o.labeller, o.source,
    CASE o.key WHEN 'served' THEN c.final_tier ELSE o.key END, o.value
FROM outcomes o
JOIN completions c ON c.at = o.at AND c.decision_id = o.decision_id
WHERE o.at = %(at)s AND o.decision_id = %(id)s AND o.source = 'ground_truth'
    AND o.labeller LIKE 'application:%%' AND o.plane <> 'controlplane';

-- name: add_label
INSERT INTO labels (at, decision_id, key, value, source, basis, settled_at)
VALUES (%(at)s, %(id)s, %(key)s, %(value)s, %(source)s, %(basis)s, %(now)s);

-- name: reopen_label_task
-- For the next labeller, who sees nothing of the votes before.
UPDATE label_tasks
SET status = 'pending', leased_by = NULL, leased_until = NULL, disputed = %(disputed)s
WHERE at = %(at)s AND decision_id = %(id)s;

-- name: return_label_task
UPDATE label_tasks SET status = 'pending', leased_by = NULL, leased_until = NULL
WHERE at = %(at)s AND decision_id = %(id)s AND status = 'leased' AND leased_by = %(holder)s;

-- name: add_outcome
-- Without a target, so that it needs no right to read.
INSERT INTO outcomes (at, id, decision_id, key, source, value, labeller, observed_at,
    plane, spool_segment, "offset")
VALUES (%(at)s, %(id)s, %(decision_id)s, %(key)s, %(source)s, %(value)s, %(labeller)s,
    %(observed_at)s, 'controlplane', 0, 0)
ON CONFLICT DO NOTHING;

-- name: resolve_label_task
UPDATE label_tasks SET status = %(status)s, resolved_at = %(now)s, leased_until = NULL,
    adjudicator = %(adjudicator)s
WHERE at = %(at)s AND decision_id = %(id)s;

-- name: lone_label_tasks
-- Tasks out of time of which somebody has told: those that expire, and those whose second labeller
-- does not come. A disputed one waits for its adjudicator until it expires.
SELECT t.at, t.decision_id FROM label_tasks t
WHERE t.status IN ('pending', 'leased') AND t.disputed = '{}'
    AND (t.created_at <= %(before)s OR (t.status = 'pending' AND EXISTS (
        SELECT FROM label_votes v
        WHERE v.at = t.at AND v.decision_id = t.decision_id AND v.source = 'ground_truth'
            AND v.cast_at <= %(alone)s
    )))
    AND (EXISTS (
        SELECT FROM label_votes v WHERE v.at = t.at AND v.decision_id = t.decision_id
    ) OR EXISTS (
        SELECT FROM outcomes o
        WHERE o.at = t.at AND o.decision_id = t.decision_id AND o.source = 'ground_truth'
    ))
ORDER BY t.at, t.decision_id
FOR UPDATE SKIP LOCKED;

-- name: expire_label_tasks
UPDATE label_tasks SET status = 'expired', resolved_at = %(now)s, leased_until = NULL
WHERE status IN ('pending', 'leased') AND created_at <= %(before)s
RETURNING decision_id;

-- name: forget_texts
-- Words are kept until their query's draws are resolved, and no longer. Those whose draws nobody
-- has observed yet have no task: they stay. Of one query, or of all: texts are few, tasks many.
DELETE FROM texts t
WHERE (%(id)s::uuid IS NULL OR (t.at = %(at)s AND t.decision_id = %(id)s))
    AND (
        EXISTS (
            SELECT FROM label_tasks l
            WHERE l.at = t.at AND l.decision_id = t.decision_id
                AND l.status IN ('labelled', 'unsure', 'expired')
        )
        OR EXISTS (
            SELECT FROM shadow_tasks s
            WHERE s.at = t.at AND s.decision_id = t.decision_id
                AND s.status IN ('done', 'failed', 'expired', 'shed')
        )
    )
    AND NOT EXISTS (
        SELECT FROM label_tasks l
        WHERE l.at = t.at AND l.decision_id = t.decision_id AND l.status IN ('pending', 'leased')
    )
    AND NOT EXISTS (
        SELECT FROM shadow_tasks s
        WHERE s.at = t.at AND s.decision_id = t.decision_id AND s.status IN ('pending', 'leased')
    );

-- name: drawn_since
SELECT d.segment, count(*) AS drawn FROM label_tasks t CROSS JOIN LATERAL (
    SELECT segment FROM decisions WHERE at = t.at AND id = t.decision_id OFFSET 0
) d
WHERE t.at > %(since)s GROUP BY d.segment;

-- name: first_unresolved
-- The watermark of resolved draws: beyond it an estimate would take the pending for undrawn.
SELECT at, decision_id FROM label_tasks WHERE status IN ('pending', 'leased')
ORDER BY at, decision_id LIMIT 1;

-- name: served_window
-- The latest answers served before the first unresolved draw, newest first: whose answer it was,
-- whether it was drawn, and what the label says. Only what the observer has read.
SELECT c.at, c.decision_id, c.final_tier, t.probability, t.status,
    l.value
FROM completions c
JOIN watermarks w ON w.plane = c.plane AND w.segment = c.spool_segment AND c."offset" <= w."offset"
LEFT JOIN label_tasks t ON t.at = c.at AND t.decision_id = c.decision_id
LEFT JOIN labels l ON l.at = c.at AND l.decision_id = c.decision_id AND l.key = c.final_tier
    AND l.source = ANY(%(accepts)s)
WHERE c.status = 'ok'
    AND (%(at)s::timestamptz IS NULL OR (c.at, c.decision_id) < (%(at)s, %(id)s::uuid))
ORDER BY c.at DESC, c.decision_id DESC
LIMIT %(limit)s;

-- name: add_estimate
INSERT INTO estimates (policy_version, "window", n, quality, lo, hi, detail)
VALUES (%(policy_version)s, %(window)s, %(n)s, %(quality)s, %(lo)s, %(hi)s, %(detail)s);

-- name: keep_judge_report
INSERT INTO judge_reports (judge, segment, hour, at, policy_version, body)
VALUES (%(judge)s, %(segment)s, %(hour)s, %(at)s, %(policy_version)s, %(body)s)
ON CONFLICT (judge, segment, hour) DO UPDATE
SET at = excluded.at, policy_version = excluded.policy_version, body = excluded.body
WHERE judge_reports.at < excluded.at;

-- name: forget_judge_reports
DELETE FROM judge_reports WHERE hour < %(before)s;

-- name: models_of_tiers
-- The model that each tier answered with last.
SELECT DISTINCT ON (tier) tier, model FROM attempts
WHERE purpose IN ('serve', 'shadow') AND error IS NULL AND at >= now() - interval '7 days'
ORDER BY tier, at DESC;

-- name: judging_models
SELECT DISTINCT model FROM attempts
WHERE purpose = 'judge' AND error IS NULL AND at >= now() - interval '7 days';

-- name: judging_cost
-- What a verdict cost: the judge's calls of the last week.
SELECT count(*) AS calls, avg(cost_usd) AS mean, coalesce(stddev_samp(cost_usd), 0) AS sd
FROM attempts WHERE purpose = 'judge' AND error IS NULL AND at >= now() - interval '7 days';

-- name: alarm_times
-- The last ones: a window that holds more alarms than these is not quiet anyway.
SELECT at FROM events WHERE kind = 'alarm' ORDER BY id DESC LIMIT 100;

-- name: add_event
INSERT INTO events (kind, body) VALUES (%(kind)s, %(body)s);


-- ============================================================================ shadow

-- name: lease_shadow_tasks
-- One whose holder was killed may have been answered since: the data plane has it recorded.
UPDATE shadow_tasks t
SET status = 'leased', leased_until = %(until)s, attempts = t.attempts + 1
FROM (
    SELECT s.at, s.decision_id, s.tier FROM shadow_tasks s
    WHERE s.status = 'pending' OR (s.status = 'leased' AND s.leased_until <= %(now)s)
    ORDER BY s.at, s.decision_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) ready
WHERE t.at = ready.at AND t.decision_id = ready.decision_id AND t.tier = ready.tier
RETURNING t.at, t.decision_id, t.tier, t.attempts, t.created_at,
    (SELECT p.body FROM texts p
        WHERE p.at = t.at AND p.decision_id = t.decision_id AND p.key = 'prompt') AS prompt,
    (SELECT o.body FROM texts o
        WHERE o.at = t.at AND o.decision_id = t.decision_id AND o.key = 'options') AS options,
    EXISTS (
        SELECT FROM attempts a
        WHERE a.at = t.at AND a.decision_id = t.decision_id AND a.tier = t.tier
            AND a.purpose = 'shadow' AND a.error IS NULL
    ) AS answered,
    (SELECT d.policy_version FROM decisions d
        WHERE d.at = t.at AND d.id = t.decision_id) AS policy_version;

-- name: shadows_spent
-- Of the last day: what shadows were billed, and how long the local tier worked for them.
SELECT coalesce(sum(cost_usd), 0) AS usd,
    coalesce(sum(latency_ms) FILTER (WHERE tier = %(local)s), 0) / 1000 AS local_s
FROM attempts WHERE purpose = 'shadow' AND at >= %(since)s;

-- name: shed_shadow_tasks
UPDATE shadow_tasks SET status = 'shed', done_at = %(now)s
WHERE status = 'pending' OR (status = 'leased' AND leased_until <= %(now)s);

-- name: shadow_funnel
-- What became of the shadows that were drawn since a moment. Those of the local tier that are done
-- and have no score could not be judged.
SELECT s.tier, count(*) AS drawn,
    count(*) FILTER (WHERE s.status IN ('pending', 'leased')) AS awaited,
    count(*) FILTER (WHERE s.status = 'shed') AS shed,
    count(*) FILTER (WHERE s.status IN ('failed', 'expired')) AS failed,
    count(*) FILTER (WHERE s.status = 'done' AND s.tier = %(local)s AND NOT EXISTS (
        SELECT FROM judge_scores j WHERE j.at = s.at AND j.decision_id = s.decision_id
    )) AS unjudgeable,
    count(*) FILTER (WHERE s.status = 'done') AS done
FROM shadow_tasks s WHERE s.at >= %(since)s GROUP BY s.tier ORDER BY s.tier;

-- name: finish_shadow_task
-- A task that was leased anew meanwhile belongs to its new holder.
UPDATE shadow_tasks SET status = %(status)s, leased_until = %(until)s, done_at = %(done_at)s
WHERE at = %(at)s AND decision_id = %(id)s AND tier = %(tier)s AND status = 'leased'
    AND attempts = %(attempts)s;


-- ============================================================================ schedule

-- name: claim_run
-- Runs of one job never overlap: one of the last that is still said to be running was left behind,
-- by a control plane that was killed or is stopped. If that wakes, it says itself how its run ended.
WITH claimed AS (
    INSERT INTO job_runs (job, due_at, plane, status)
    VALUES (%(job)s, %(due_at)s, %(plane)s, 'running')
    ON CONFLICT DO NOTHING RETURNING job, due_at
), abandoned AS (
    UPDATE job_runs r SET status = 'abandoned', detail = 'its control plane did not finish it'
    FROM (
        SELECT l.job, l.due_at FROM claimed
        JOIN job_runs l ON l.job = claimed.job AND l.due_at < claimed.due_at
        ORDER BY l.due_at DESC LIMIT 10
    ) last
    WHERE r.job = last.job AND r.due_at = last.due_at AND r.status = 'running'
)
SELECT job FROM claimed;

-- name: finish_run
UPDATE job_runs SET finished_at = now(), status = %(status)s, detail = %(detail)s
WHERE job = %(job)s AND due_at = %(due_at)s;

-- name: forget_runs
DELETE FROM job_runs WHERE due_at < %(before)s;

-- name: drop_records
SELECT of_table, records FROM penstock_drop_records(%(before)s);

-- name: oldest_unobserved
-- When the first shipment came that is not both observed and added up.
SELECT min(s.shipped_at) AS shipped_at FROM shipments s
LEFT JOIN watermarks seen ON seen.plane = s.plane AND seen.segment = s.segment
LEFT JOIN rollup_marks added ON added.plane = s.plane AND added.segment = s.segment
WHERE s.last_offset > coalesce(seen."offset", -1) OR s.last_offset > coalesce(added."offset", -1);

-- name: forget_leases
DELETE FROM spend_leases WHERE day < %(before)s;

-- name: forget_plane_reports
DELETE FROM plane_reports WHERE at < %(before)s;

-- name: forget_shipments
-- Those that were observed and added up: how far each spool segment has come stays known.
DELETE FROM shipments s USING watermarks seen, rollup_marks added
WHERE seen.plane = s.plane AND seen.segment = s.segment AND seen."offset" >= s.last_offset
    AND added.plane = s.plane AND added.segment = s.segment AND added."offset" >= s.last_offset
    AND s.shipped_at < %(before)s;

-- name: forget_spool_sums
DELETE FROM spool_rollups WHERE at < %(before)s;

-- name: forget_engine_sums
DELETE FROM engine_rollups WHERE at < %(before)s;


-- ============================================================================ api

-- name: active_keys
SELECT id, secret_sha256, tenant, scopes FROM api_keys WHERE revoked_at IS NULL;

-- name: label_counts
SELECT status, count(*) AS tasks FROM label_tasks GROUP BY status;

-- name: outcome_count
SELECT count(*) AS labels FROM outcomes
WHERE source IN ('ground_truth', 'verifier') AND labeller NOT LIKE 'application:%';

-- name: label_funnel
-- Where the observed draws of each window and segment stand; the first five counts add up to all.
-- The sums are over the served answers of resolved draws before the segment's first unresolved one:
-- how many queries they stand for, the same squared, those right, and those of which nobody told.
SELECT w.name AS "window", t.segment, count(*) AS drawn,
    count(*) FILTER (WHERE t.status = 'pending' OR (t.status = 'leased' AND NOT t.held)) AS waiting,
    count(*) FILTER (WHERE t.status = 'leased' AND t.held) AS leased,
    count(*) FILTER (WHERE t.status = 'labelled') AS labelled,
    count(*) FILTER (WHERE t.status = 'unsure') AS unsure,
    count(*) FILTER (WHERE t.status = 'expired') AS expired,
    count(*) FILTER (WHERE t.doubled) AS double,
    count(*) FILTER (WHERE t.disputed <> '{}') AS disagreeing,
    count(*) FILTER (WHERE t.adjudicator IS NOT NULL) AS adjudicated,
    coalesce(sum(1 / t.probability) FILTER (WHERE t.settled), 0) AS weight,
    coalesce(sum(t.probability ^ -2) FILTER (WHERE t.settled), 0) AS squared,
    coalesce(sum(l.value / t.probability) FILTER (WHERE t.settled), 0) AS "right",
    coalesce(sum(1 / t.probability) FILTER (WHERE t.settled AND l.value IS NULL), 0) AS silent
FROM unnest(%(windows)s::text[], %(sinces)s::timestamptz[]) AS w (name, since)
JOIN (
    SELECT t.*, d.segment, coalesce(t.leased_until > %(now)s, false) AS held,
        t.at < coalesce(min(t.at) FILTER (WHERE t.status IN ('pending', 'leased'))
            OVER (PARTITION BY d.segment), 'infinity') AS settled
    FROM label_tasks t JOIN decisions d ON d.at = t.at AND d.id = t.decision_id
) t ON w.since IS NULL OR t.at >= w.since
JOIN completions c ON c.at = t.at AND c.decision_id = t.decision_id
LEFT JOIN labels l ON l.at = t.at AND l.decision_id = t.decision_id AND l.key = c.final_tier
GROUP BY w.name, t.segment
ORDER BY array_position(%(windows)s::text[], w.name), t.segment;

-- name: double_votes
-- The first two people's grades of one answer, where both were sure.
WITH people AS (
    SELECT at, decision_id, labeller,
        row_number() OVER (PARTITION BY at, decision_id ORDER BY cast_at, labeller) AS place
    FROM label_votes WHERE source = 'ground_truth'
)
SELECT d.at, d.segment, a.value AS first, b.value AS second
FROM people f
JOIN people s ON s.at = f.at AND s.decision_id = f.decision_id AND s.place = 2
JOIN outcomes a ON a.at = f.at AND a.decision_id = f.decision_id AND a.labeller = f.labeller
    AND a.source = 'ground_truth'
JOIN outcomes b ON b.at = s.at AND b.decision_id = s.decision_id AND b.labeller = s.labeller
    AND b.source = 'ground_truth' AND b.key = a.key
JOIN decisions d ON d.at = f.at AND d.id = f.decision_id
WHERE f.place = 1;

-- name: latest_estimates
SELECT DISTINCT ON ("window") "window", at, policy_version, n, quality, lo, hi, detail
FROM estimates ORDER BY "window", id DESC;

-- name: recent_events
SELECT id, at, kind, body FROM events ORDER BY id DESC LIMIT %(limit)s;

-- name: policy_list
SELECT p.version, p.parent, p.kind, p.author, p.reason, p.digest, p.created_at,
    count(a.plane) FILTER (WHERE a.status = 'ack') AS acks,
    count(a.plane) FILTER (WHERE a.status = 'nack') AS nacks
FROM policies p LEFT JOIN policy_acks a ON a.version = p.version
GROUP BY p.version ORDER BY p.version DESC LIMIT %(limit)s;


-- ============================================================================ explain

-- name: policy_document
SELECT document FROM policies WHERE version = %(version)s;

-- name: decided
-- One decision and its steps in order; without steps there is nothing to explain.
SELECT d.id, d.policy_version, d.features, d.segment, d.eligible, d.excluded, d.seed,
    jsonb_agg(to_jsonb(s) - 'plane' - 'spool_segment' - 'offset' ORDER BY s.index) AS steps
FROM decisions d JOIN steps s ON s.at = d.at AND s.decision_id = d.id
WHERE d.at = %(at)s AND d.id = %(id)s
GROUP BY d.at, d.id;

-- name: all_decided
SELECT d.id, d.policy_version, d.features, d.segment, d.eligible, d.excluded, d.seed,
    jsonb_agg(to_jsonb(s) - 'plane' - 'spool_segment' - 'offset' ORDER BY s.index) AS steps
FROM decisions d JOIN steps s ON s.at = d.at AND s.decision_id = d.id
GROUP BY d.at, d.id
ORDER BY d.at, d.id;

-- name: records_of
-- All that was written of one decision, by table.
SELECT
    (SELECT to_jsonb(r) FROM decisions r WHERE r.at = %(at)s AND r.id = %(id)s) AS decision,
    ARRAY(SELECT to_jsonb(r) FROM attempts r
        WHERE r.at = %(at)s AND r.decision_id = %(id)s ORDER BY r.purpose, r.index) AS attempts,
    ARRAY(SELECT to_jsonb(r) FROM judge_scores r
        WHERE r.at = %(at)s AND r.decision_id = %(id)s ORDER BY r.purpose, r.index)
        AS judge_scores,
    (SELECT to_jsonb(r) FROM completions r
        WHERE r.at = %(at)s AND r.decision_id = %(id)s) AS completion,
    ARRAY(SELECT to_jsonb(r) FROM draws r
        WHERE r.at = %(at)s AND r.decision_id = %(id)s ORDER BY r.kind) AS draws,
    ARRAY(SELECT to_jsonb(r) FROM steps r
        WHERE r.at = %(at)s AND r.decision_id = %(id)s ORDER BY r.index) AS steps,
    ARRAY(SELECT to_jsonb(r) FROM outcomes r
        WHERE r.at = %(at)s AND r.decision_id = %(id)s ORDER BY r.observed_at) AS outcomes,
    ARRAY(SELECT to_jsonb(r) FROM labels r
        WHERE r.at = %(at)s AND r.decision_id = %(id)s ORDER BY r.settled_at) AS labels;

-- name: texts_kept
-- What a query and its answers say, as long as that is kept.
SELECT key, left(body, %(chars)s) AS body, length(body) AS chars FROM texts
WHERE at = %(at)s AND decision_id = %(id)s ORDER BY key <> 'prompt', key;

-- name: texts_containing
-- Among the newest texts, the queries of those that hold the words, as typed or as JSON has them.
WITH looked AS (
    SELECT at, decision_id, body FROM texts
    WHERE at >= %(since)s AND key <> 'options' ORDER BY at DESC LIMIT %(limit)s
)
SELECT count(*) AS looked, min(at) AS back_to,
    coalesce(array_agg(DISTINCT decision_id) FILTER (
        WHERE strpos(lower(body), lower(%(words)s)) > 0
            OR strpos(lower(body), lower(%(escaped)s)) > 0
    ), '{}') AS found
FROM looked;


-- ============================================================================ proposals

-- name: publications_back
SELECT in_force, published_at FROM publications ORDER BY seq DESC LIMIT %(limit)s;

-- name: recent_completions
SELECT at, decision_id FROM completions WHERE status = 'ok'
ORDER BY at DESC, decision_id DESC LIMIT %(limit)s;

-- name: served_since
-- What a canary and the policies beside it served since a moment. A client that went away tells
-- nothing of either.
SELECT d.policy_version = %(version)s AS canary, count(*) AS queries,
    count(*) FILTER (WHERE c.status = 'error') AS failed,
    count(*) FILTER (WHERE c.status = 'ok') AS answered,
    avg(ln(greatest(c.latency_ms, 0.001))) FILTER (WHERE c.status = 'ok') AS log_ms,
    var_samp(ln(greatest(c.latency_ms, 0.001))) FILTER (WHERE c.status = 'ok') AS log_ms_variance,
    avg(c.cost_usd) FILTER (WHERE c.status = 'ok') AS usd,
    var_samp(c.cost_usd) FILTER (WHERE c.status = 'ok') AS usd_variance
FROM completions c
JOIN decisions d ON d.at = c.at AND d.id = c.decision_id
WHERE c.at >= %(since)s AND c.status <> 'aborted'
GROUP BY 1;


-- ============================================================================ alerts and metrics

-- name: events_to_tell
-- A proposal that came back is told as a rollback.
SELECT id, at, kind, body FROM (
    SELECT id, at, body,
        CASE body ->> 'stage' WHEN 'rolled_back' THEN 'rollback' ELSE kind END AS kind
    FROM events WHERE id > %(after)s
) AS told
WHERE kind = ANY(%(kinds)s) ORDER BY id LIMIT %(limit)s;

-- name: newest_event
SELECT coalesce(max(id), 0) AS id FROM events;

-- name: last_event_before
SELECT coalesce(max(id), 0) AS id FROM events WHERE at < %(at)s;

-- name: alerts_waiting
SELECT count(*) AS events, min(at) AS oldest FROM events
WHERE id > %(after)s
    AND CASE body ->> 'stage' WHEN 'rolled_back' THEN 'rollback' ELSE kind END = ANY(%(kinds)s);

-- name: job_run_counts
SELECT job, coalesce(status, 'running') AS status, count(*) AS runs FROM job_runs
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: event_counts
SELECT kind, count(*) AS events FROM events GROUP BY kind ORDER BY kind;

-- name: last_estimates
-- Those of one evaluation: its rows have one time.
SELECT "window", quality, lo, hi FROM estimates
WHERE at = (SELECT max(at) FROM estimates) ORDER BY id;

-- name: fleet
SELECT plane, serves, refused, reason, seq, newest, at, standing FROM v_fleet ORDER BY plane;


-- ============================================================================ cost drift

-- Of a span: completed queries by segment; calls by segment, tier and purpose, and what their tokens
-- cost by the prices of the policy that charged them. Postgres carries a bound on `at` to no joined
-- table. A statement's twin `summed_..` reads the rollups, of whole ten minutes.

-- name: first_query
SELECT min(at) AS at FROM completions WHERE at >= %(since)s AND at < %(until)s;

-- name: count_summed_queries
SELECT coalesce(sum(queries), 0)::bigint AS queries FROM query_rollups
WHERE at >= %(since)s AND at < %(until)s;

-- name: sums_begin
-- From when on both sums have all.
SELECT greatest((SELECT min(at) FROM query_rollups), (SELECT min(at) FROM spend_rollups)) AS at;

-- name: count_unsummed
-- Records that arrived and are in no sum yet; those of the last seconds are on their way.
SELECT coalesce(sum(records), 0)::bigint AS records FROM v_rollup_lag
WHERE records > 0 AND waiting_since < now() - interval '30 seconds';

-- name: queries_by_segment
SELECT d.segment, count(*)::float8 AS queries
FROM completions c JOIN decisions d ON d.at = c.at AND d.id = c.decision_id
WHERE c.at >= %(since)s AND c.at < %(until)s AND d.at >= %(since)s AND d.at < %(until)s
GROUP BY d.segment ORDER BY d.segment;

-- name: summed_queries_by_segment
SELECT segment, sum(queries)::float8 AS queries FROM query_rollups
WHERE at >= %(since)s AND at < %(until)s GROUP BY segment ORDER BY segment;

-- name: spend
SELECT d.segment, a.tier, a.purpose, count(*)::float8 AS calls,
    sum(a.prompt_tokens)::float8 AS prompt_tokens,
    sum(a.completion_tokens)::float8 AS completion_tokens,
    coalesce(sum(a.prompt_tokens * p.prompt_usd), 0) AS prompt_usd,
    coalesce(sum(a.completion_tokens * p.completion_usd), 0) AS completion_usd,
    sum(a.cost_usd) AS cost_usd
FROM attempts a
JOIN decisions d ON d.at = a.at AND d.id = a.decision_id
LEFT JOIN policy_prices p ON p.version = d.policy_version AND p.tier = a.tier
WHERE a.at >= %(since)s AND a.at < %(until)s AND d.at >= %(since)s AND d.at < %(until)s
GROUP BY d.segment, a.tier, a.purpose ORDER BY d.segment, a.tier, a.purpose;

-- name: summed_spend
SELECT s.segment, s.tier, s.purpose, sum(s.calls)::float8 AS calls,
    sum(s.prompt_tokens)::float8 AS prompt_tokens,
    sum(s.completion_tokens)::float8 AS completion_tokens,
    coalesce(sum(s.prompt_tokens * p.prompt_usd), 0) AS prompt_usd,
    coalesce(sum(s.completion_tokens * p.completion_usd), 0) AS completion_usd,
    sum(s.cost_usd) AS cost_usd
FROM spend_rollups s
LEFT JOIN policy_prices p ON p.version = s.policy_version AND p.tier = s.tier
WHERE s.at >= %(since)s AND s.at < %(until)s
GROUP BY s.segment, s.tier, s.purpose ORDER BY s.segment, s.tier, s.purpose;


-- ============================================================================ evaluate

-- name: logged_window
-- The latest answered queries before the first unresolved draw, newest first: what was barred from
-- them, the draws that fell and with which chance, and the labels of each answer. Only what the
-- observer has read. They are found first, or the planner joins all that was ever served.
WITH latest AS MATERIALIZED (
    SELECT c.at, c.decision_id FROM completions c
    JOIN watermarks w ON w.plane = c.plane AND w.segment = c.spool_segment
        AND c."offset" <= w."offset"
    WHERE c.status = 'ok'
        AND (%(at)s::timestamptz IS NULL OR (c.at, c.decision_id) < (%(at)s, %(id)s::uuid))
    ORDER BY c.at DESC, c.decision_id DESC
    LIMIT %(limit)s
)
SELECT c.at, c.decision_id, d.seed, ARRAY(SELECT jsonb_object_keys(d.excluded)) AS barred,
    t.probability AS audit, shadowed.probability AS shadow, told.labels
FROM latest c
CROSS JOIN LATERAL (
    SELECT seed, excluded FROM decisions WHERE at = c.at AND id = c.decision_id OFFSET 0
) d
LEFT JOIN LATERAL (
    SELECT probability FROM label_tasks WHERE at = c.at AND decision_id = c.decision_id OFFSET 0
) t ON true
CROSS JOIN LATERAL (
    SELECT min(s.probability) AS probability FROM draws s
    WHERE s.at = c.at AND s.decision_id = c.decision_id AND s.kind = 'shadow'
) shadowed
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(l.key, l.value) AS labels FROM labels l
    WHERE l.at = c.at AND l.decision_id = c.decision_id AND l.source = ANY(%(accepts)s)
) told
ORDER BY c.at DESC, c.decision_id DESC;


-- ============================================================================ frontier

-- name: keep_frontier_point
-- What a version served itself comes first, and says more than what it would have served.
INSERT INTO frontier_points (at, segment, kind, name, policy_version, queries, since, until,
    quality, quality_lo, quality_hi, usd, usd_lo, usd_hi, labels, method, refused)
VALUES (%(at)s, %(segment)s, %(kind)s, %(name)s, %(policy_version)s, %(queries)s, %(since)s,
    %(until)s, %(quality)s, %(quality_lo)s, %(quality_hi)s, %(usd)s, %(usd_lo)s, %(usd_hi)s,
    %(labels)s, %(method)s, %(refused)s)
ON CONFLICT (at, segment, kind, name) DO NOTHING;

-- name: forget_frontier
DELETE FROM frontier_points WHERE at < %(before)s;

-- name: structural_versions
-- The latest policies that were more than a retune, or the first, and were in force once.
SELECT version FROM policies p
WHERE (kind = 'proposal' OR parent IS NULL) AND version <> %(live)s AND EXISTS (
    SELECT FROM publications WHERE in_force @> jsonb_build_array(jsonb_build_object('version', p.version))
)
ORDER BY version DESC LIMIT %(limit)s;


-- ============================================================================ rollups

-- name: lock_rollups
-- One at a time: a second control plane waits, then sees the marks of the first.
SELECT pg_advisory_xact_lock(hashtext('penstock_rollups'));

-- name: few_rows_of_many
-- What is added is little against the tables that it is joined to.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);

-- name: load_rollup_marks
SELECT plane, segment, "offset" FROM rollup_marks;

-- name: move_rollup_mark
INSERT INTO rollup_marks (plane, segment, "offset") VALUES (%(plane)s, %(segment)s, %(until)s)
ON CONFLICT (plane, segment) DO UPDATE SET "offset" = excluded."offset";

-- name: roll_up_queries
-- Completions of one source between two offsets, and those that waited for a decision that is there
-- now. A plane's attempts come before their completion, so what it paid is known with it.
WITH late AS (
    DELETE FROM rollup_waiting w WHERE w.kind = 'completion' AND EXISTS (
        SELECT FROM decisions d WHERE d.at = w.at AND d.id = w.decision_id
    )
    RETURNING w.at, w.decision_id
), taken AS MATERIALIZED (
    SELECT c.at, c.decision_id, c.status, c.final_tier, c.escalated, c.latency_ms
    FROM completions c
    WHERE c.plane = %(plane)s AND c.spool_segment = %(segment)s
        AND c."offset" > %(reached)s AND c."offset" <= %(until)s
    UNION ALL
    SELECT c.at, c.decision_id, c.status, c.final_tier, c.escalated, c.latency_ms
    FROM late JOIN completions c ON c.at = late.at AND c.decision_id = late.decision_id
), decided AS MATERIALIZED (
    SELECT taken.*, d.id, d.tenant, d.segment, d.policy_version,
        (d.features ->> 'chars')::float8 AS chars
    FROM taken LEFT JOIN decisions d ON d.at = taken.at AND d.id = taken.decision_id
), known AS MATERIALIZED (
    SELECT decided.*, coalesce(final_tier, '') AS tier, status = 'ok' AS answered,
        status = 'ok' AND final_tier = terms.local AS local, paid.usd AS paid_usd,
        call_usd + char_usd * chars AS expected_usd
    FROM decided
    LEFT JOIN v_overview_terms terms ON terms.version = decided.policy_version
    LEFT JOIN LATERAL (
        SELECT sum(a.cost_usd) AS usd FROM attempts a
        WHERE a.at = decided.at AND a.decision_id = decided.decision_id AND a.purpose = 'serve'
            AND a.tier = terms.cloud AND a.error IS NULL
    ) AS paid ON decided.status = 'ok'
    WHERE decided.id IS NOT NULL
), waiting AS (
    INSERT INTO rollup_waiting (kind, at, decision_id, purpose, index)
    SELECT 'completion', at, decision_id, '', 0 FROM decided WHERE id IS NULL
), latencies AS (
    INSERT INTO latency_rollups AS sum (measure, at, tenant, segment, policy_version, tier, bin, n)
    SELECT 'answer', date_trunc('hour', at, 'UTC'), tenant, segment, policy_version, tier,
        floor(ln(greatest(latency_ms, 0.01)) / ln(1.1::float8)), count(*)
    FROM known WHERE answered GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (measure, at, tenant, segment, policy_version, tier, bin)
    DO UPDATE SET n = sum.n + excluded.n
)
INSERT INTO query_rollups AS sum (at, tenant, segment, policy_version, tier, queries, answered,
    local, escalated, failed, paid_cloud_usd, expected_cloud_usd)
SELECT date_bin('10 minutes', at, '2000-01-01Z'), tenant, segment, policy_version, tier, count(*),
    count(*) FILTER (WHERE answered), count(*) FILTER (WHERE local),
    count(*) FILTER (WHERE answered AND escalated), count(*) FILTER (WHERE status = 'error'),
    coalesce(sum(paid_usd) FILTER (WHERE answered), 0),
    coalesce(sum(expected_usd) FILTER (WHERE answered AND paid_usd IS NULL), 0)
FROM known GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (at, tenant, segment, policy_version, tier) DO UPDATE SET
    queries = sum.queries + excluded.queries,
    answered = sum.answered + excluded.answered,
    local = sum.local + excluded.local,
    escalated = sum.escalated + excluded.escalated,
    failed = sum.failed + excluded.failed,
    paid_cloud_usd = sum.paid_cloud_usd + excluded.paid_cloud_usd,
    expected_cloud_usd = sum.expected_cloud_usd + excluded.expected_cloud_usd;

-- name: roll_up_calls
-- Attempts of one source between two offsets, and those that waited for a decision that is there now.
-- A shadow is called once its draw was read, so its chance is known with it.
WITH late AS (
    DELETE FROM rollup_waiting w WHERE w.kind = 'attempt' AND EXISTS (
        SELECT FROM decisions d WHERE d.at = w.at AND d.id = w.decision_id
    )
    RETURNING w.at, w.decision_id, w.purpose, w.index
), taken AS MATERIALIZED (
    SELECT a.* FROM attempts a
    WHERE a.plane = %(plane)s AND a.spool_segment = %(segment)s
        AND a."offset" > %(reached)s AND a."offset" <= %(until)s
    UNION ALL
    SELECT a.* FROM late JOIN attempts a ON a.at = late.at AND a.decision_id = late.decision_id
        AND a.purpose = late.purpose AND a.index = late.index
), decided AS MATERIALIZED (
    SELECT taken.*, d.id, d.tenant, d.segment, d.policy_version,
        (d.features ->> 'chars')::float8 AS chars
    FROM taken LEFT JOIN decisions d ON d.at = taken.at AND d.id = taken.decision_id
), known AS MATERIALIZED (
    SELECT decided.*, shadow.of_cloud, shadow.probability,
        call_usd + char_usd * chars AS expected_usd
    FROM decided
    LEFT JOIN v_overview_terms terms ON terms.version = decided.policy_version
    LEFT JOIN LATERAL (
        SELECT true AS of_cloud, (
            SELECT s.probability FROM draws s
            WHERE s.at = decided.at AND s.decision_id = decided.decision_id
                AND s.kind = 'shadow' AND s.tier = decided.tier
        ) AS probability
    ) AS shadow
        ON decided.purpose = 'shadow' AND decided.error IS NULL AND decided.tier = terms.cloud
    WHERE decided.id IS NOT NULL
), waiting AS (
    INSERT INTO rollup_waiting (kind, at, decision_id, purpose, index)
    SELECT 'attempt', at, decision_id, purpose, index FROM decided WHERE id IS NULL
), latencies AS (
    INSERT INTO latency_rollups AS sum (measure, at, tenant, segment, policy_version, tier, bin, n)
    SELECT measure, date_trunc('hour', at, 'UTC'), tenant, segment, policy_version, tier,
        floor(ln(greatest(value, 0.01)) / ln(1.1::float8)), count(*)
    FROM known CROSS JOIN LATERAL (
        VALUES ('call', latency_ms), ('ttft', ttft_ms), ('speed', tokens_per_s)
    ) AS measured (measure, value)
    WHERE purpose = 'serve' AND error IS NULL AND value IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (measure, at, tenant, segment, policy_version, tier, bin)
    DO UPDATE SET n = sum.n + excluded.n
)
INSERT INTO spend_rollups AS sum (at, tenant, segment, policy_version, tier, purpose, model, calls,
    failed, prompt_tokens, completion_tokens, cost_usd, shadow_calls, shadow_usd,
    shadow_expected_usd)
SELECT date_bin('10 minutes', at, '2000-01-01Z'), tenant, segment, policy_version, tier, purpose,
    model, count(*), count(error), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd),
    count(of_cloud), coalesce(sum(cost_usd / probability) FILTER (WHERE of_cloud), 0),
    coalesce(sum(expected_usd / probability) FILTER (WHERE of_cloud), 0)
FROM known GROUP BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT (at, tenant, segment, policy_version, tier, purpose, model) DO UPDATE SET
    calls = sum.calls + excluded.calls,
    failed = sum.failed + excluded.failed,
    prompt_tokens = sum.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = sum.completion_tokens + excluded.completion_tokens,
    cost_usd = sum.cost_usd + excluded.cost_usd,
    shadow_calls = sum.shadow_calls + excluded.shadow_calls,
    shadow_usd = sum.shadow_usd + excluded.shadow_usd,
    shadow_expected_usd = sum.shadow_expected_usd + excluded.shadow_expected_usd;

-- name: forget_query_sums
-- The oldest, by whole ten minutes: what is left begins with all of one.
DELETE FROM query_rollups WHERE at < least(%(before)s, greatest(
    coalesce((
        SELECT at FROM query_rollups WHERE at < %(before)s ORDER BY at OFFSET %(most)s LIMIT 1
    ), 'infinity'),
    (SELECT min(at) FROM query_rollups) + interval '10 minutes'
));

-- name: forget_spend_sums
DELETE FROM spend_rollups WHERE at < least(%(before)s, greatest(
    coalesce((
        SELECT at FROM spend_rollups WHERE at < %(before)s ORDER BY at OFFSET %(most)s LIMIT 1
    ), 'infinity'),
    (SELECT min(at) FROM spend_rollups) + interval '10 minutes'
));

-- name: forget_votes
DELETE FROM priced_votes WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM priced_votes WHERE at < %(before)s ORDER BY at LIMIT %(most)s
));

-- name: forget_latency_sums
DELETE FROM latency_rollups WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM latency_rollups
    WHERE measure IN ('answer', 'call', 'ttft', 'speed') AND at < %(before)s LIMIT %(most)s
));

-- name: forget_waiting
-- Records whose decision never came.
DELETE FROM rollup_waiting WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM rollup_waiting
    WHERE kind IN ('completion', 'attempt') AND at < %(before)s LIMIT %(most)s
));


-- ============================================================================ export

-- name: first_day
-- The first day (UTC) with a decision.
SELECT (min(at) AT TIME ZONE 'UTC')::date AS first FROM decisions;
