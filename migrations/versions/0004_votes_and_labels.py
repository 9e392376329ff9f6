"""Votes and labels: who graded a task, and the one value that each answer was settled at.

Until now a label was the mean of its outcomes. What was labelled so is carried over, for the
outcomes of a task say no more than they did. A control plane of the release before settles nothing
here: stop it first. The control plane's role may add votes and labels, and change neither.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = (
    """
ALTER TABLE label_tasks
    ADD COLUMN doubled boolean DEFAULT false NOT NULL,
    ADD COLUMN disputed text[] DEFAULT '{}' NOT NULL,
    ADD COLUMN adjudicator text
""",
    """
CREATE TABLE label_votes (
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    labeller text NOT NULL,
    holder text NOT NULL,
    source text NOT NULL,
    cast_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (at, decision_id, labeller),
    CONSTRAINT source_is_known CHECK (source IN ('ground_truth', 'verifier', 'reference'))
)
""",
    """
CREATE TABLE labels (
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    key text NOT NULL,
    value double precision NOT NULL,
    source text NOT NULL,
    basis text NOT NULL,
    settled_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (at, decision_id, key),
    CONSTRAINT source_is_known CHECK (source IN ('ground_truth', 'verifier', 'reference')),
    CONSTRAINT basis_is_known CHECK (basis IN ('single', 'double', 'adjudicated')),
    CONSTRAINT value_is_a_probability CHECK (value >= 0 AND value <= 1)
)
""",
    "GRANT SELECT, INSERT ON label_votes, labels TO penstock_controlplane",
)

CARRIED_OVER = (
    """
INSERT INTO label_votes (at, decision_id, labeller, holder, source, cast_at)
SELECT at, decision_id, labeller, leased_by,
    CASE split_part(labeller, ':', 1)
        WHEN 'verifier' THEN 'verifier' WHEN 'reference' THEN 'reference' ELSE 'ground_truth'
    END,
    coalesce(resolved_at, created_at)
FROM label_tasks
CROSS JOIN LATERAL (SELECT substr(leased_by, strpos(leased_by, '/') + 1) AS labeller) AS named
WHERE status IN ('labelled', 'unsure') AND leased_by IS NOT NULL
""",
    """
INSERT INTO labels (at, decision_id, key, value, source, basis, settled_at)
SELECT t.at, t.decision_id, o.key, avg(o.value), min(o.source),
    CASE count(*) WHEN 1 THEN 'single' ELSE 'double' END,
    coalesce(t.resolved_at, t.created_at)
FROM label_tasks t JOIN outcomes o ON o.at = t.at AND o.decision_id = t.decision_id
WHERE t.status = 'labelled' AND o.source IN ('ground_truth', 'verifier')
GROUP BY t.at, t.decision_id, o.key
""",
)

VIEWS = {
    "v_overview_labels": (
        """
WITH terms AS MATERIALIZED (SELECT * FROM v_overview_terms)
SELECT o.at, d.at AS decided_at, o.decision_id, o.labeller, o.observed_at,
    terms.label_price_usd AS price_usd
FROM outcomes o
JOIN decisions d ON d.at = o.at AND d.id = o.decision_id
LEFT JOIN terms ON terms.version = d.policy_version
WHERE o.source IN ('ground_truth', 'verifier') AND o.labeller NOT LIKE 'application:%'
""",
        "One row a trusted vote of a labeller, at its query's time: who gave it, and its stated "
        "price (USD). What an application told of itself is not asked for, and costs nothing.",
    ),
    "v_overview_judged_labels": (
        """
SELECT j.at, a.at AS drawn_at, l.at AS labelled_at, j.decision_id, j.judge, j.tier,
    j.calibrated AS predicted, l.value
FROM judge_scores j
JOIN draws a ON a.at = j.at AND a.decision_id = j.decision_id AND a.kind = 'audit'
JOIN labels l ON l.at = j.at AND l.decision_id = j.decision_id AND l.key = j.tier
    AND l.source IN ('ground_truth', 'verifier')
""",
        "One row a judged answer that the audit drew and people or a verifier labelled: the "
        "probability of being right that the judge's score was read as, and the settled label.",
    ),
    "v_label_tasks": (
        """
SELECT t.at, d.at AS decided_at, t.decision_id, d.segment, t.probability, t.status,
    t.leased_until, t.doubled, t.disputed <> '{}' AS disagreeing,
    t.adjudicator IS NOT NULL AS adjudicated, t.created_at, t.resolved_at
FROM label_tasks t JOIN decisions d ON d.at = t.at AND d.id = t.decision_id
""",
        "One row a drawn query that was observed: where its label stands, and whether it wants "
        "two people, whether they disagreed, and whether a third one settled it.",
    ),
}


def upgrade() -> None:
    """Make the tables, carry over what was labelled, and let views read the settled labels."""
    for statement in (*TABLES, *CARRIED_OVER):
        op.execute(statement)
    for name, (query, shows) in VIEWS.items():
        op.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{shows.replace(chr(39), chr(39) * 2)}'")
    op.execute("GRANT SELECT ON v_label_tasks TO penstock_dashboard")
