-- What the page on the judge asks, by name. All rows of one report share its `at`.

-- name: judge_reports
-- The last report of each segment.
SELECT * FROM v_judge_reports WHERE at = (SELECT max(at) FROM v_judge_reports)
ORDER BY segment LIMIT %(rows)s;

-- name: judge_bins
SELECT labels, predicted, right_share, right_share_lo, right_share_hi FROM v_judge_calibration
WHERE at = %(at)s AND segment = %(segment)s ORDER BY bin LIMIT %(rows)s;

-- name: judge_roc
SELECT cutoff, wrong_accepted, right_accepted FROM v_judge_roc
WHERE at = %(at)s AND segment = %(segment)s
ORDER BY wrong_accepted, right_accepted LIMIT %(rows)s;

-- name: judge_scores
SELECT low, high, right_labels, wrong_labels, right_share, wrong_share FROM v_judge_scores
WHERE at = %(at)s AND segment = %(segment)s ORDER BY low LIMIT %(rows)s;

-- name: judge_stretches
-- Stretches of as many labels each, that reach into the period.
SELECT greatest(since, %(since)s) AS at, until, labels, auroc, auroc_lo, auroc_hi,
    wrong_accepted, wrong_accepted_lo, wrong_accepted_hi,
    calibration_error, calibration_error_lo, calibration_error_hi
FROM v_judge_periods
WHERE at = %(at)s AND segment = %(segment)s AND until >= %(since)s
ORDER BY until LIMIT %(rows)s;

-- name: judge_hours
-- What the last report of each stretch said, of the same judge. Reports are long: only those that are
-- shown are opened.
SELECT at, labels, auroc, auroc_lo, auroc_hi, wrong_accepted, wrong_accepted_lo, wrong_accepted_hi
FROM v_judge_reports
WHERE judge = %(judge)s AND segment = %(segment)s AND auroc IS NOT NULL AND hour IN (
    SELECT max(hour) FROM v_judge_reports
    WHERE hour >= %(since)s - interval '1 hour' AND at >= %(since)s
        AND judge = %(judge)s AND segment = %(segment)s
    GROUP BY date_bin(%(width)s, at, '2000-01-01Z')
)
ORDER BY at LIMIT %(rows)s;

-- name: judge_changes
SELECT at, kind, standing, reason FROM v_changes
WHERE at >= %(since)s AND kind IN ('gate', 'alarm', 'drift', 'certificate', 'certificate_void')
    AND (segment IS NULL OR segment = %(segment)s)
ORDER BY at DESC, id DESC LIMIT %(rows)s;

-- name: judge_waiting
-- What became of the queries that were drawn in the period.
SELECT status, count(*) AS tasks FROM v_label_tasks
WHERE at >= %(since)s AND decided_at >= %(since)s
    AND (%(segment)s::text IS NULL OR segment = %(segment)s)
GROUP BY status ORDER BY status LIMIT %(rows)s;
