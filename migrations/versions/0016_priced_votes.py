"""Votes with what pages ask of them: counting them looked up the query of each, a month in seconds.

A trusted vote is written by the control plane, after its query was observed; a trigger sets it down
in the same transaction, in a row of its own: sums in shared rows would let labellers wait for each
other, or for ever. Votes of before are set down here, some seconds for each 100,000 of them, which
hold up labelling meanwhile.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE priced_votes (
    at timestamptz NOT NULL,
    id uuid NOT NULL,
    tenant text NOT NULL,
    segment text NOT NULL,
    policy_version integer NOT NULL,
    tier text NOT NULL,
    price_usd double precision,
    PRIMARY KEY (at, id)
)
"""
SET_DOWN = """
CREATE FUNCTION penstock_price_vote() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO priced_votes (at, id, tenant, segment, policy_version, tier, price_usd)
    SELECT NEW.at, NEW.id, d.tenant, d.segment, d.policy_version, NEW.key, terms.label_price_usd
    FROM decisions d LEFT JOIN policy_terms terms ON terms.version = d.policy_version
    WHERE d.at = NEW.at AND d.id = NEW.decision_id;
    RETURN NULL;
END
$$
"""
SINCE_NOW = """
CREATE TRIGGER priced AFTER INSERT ON outcomes FOR EACH ROW
WHEN (NEW.source IN ('ground_truth', 'verifier') AND NEW.labeller NOT LIKE 'application:%')
EXECUTE FUNCTION penstock_price_vote()
"""
OF_BEFORE = """
INSERT INTO priced_votes (at, id, tenant, segment, policy_version, tier, price_usd)
SELECT o.at, o.id, d.tenant, d.segment, d.policy_version, o.key, terms.label_price_usd
FROM outcomes o
CROSS JOIN LATERAL (
    SELECT * FROM decisions WHERE at = o.at AND id = o.decision_id OFFSET 0
) AS d
LEFT JOIN policy_terms terms ON terms.version = d.policy_version
WHERE o.source IN ('ground_truth', 'verifier') AND o.labeller NOT LIKE 'application:%'
"""
VIEW = """
CREATE VIEW v_priced_votes AS
SELECT at, tenant, segment, policy_version, tier, price_usd FROM priced_votes
"""
SHOWS = (
    "One row a trusted vote of a labeller, at its query's time: on whose answer, and its stated "
    "price (USD)."
)


def upgrade() -> None:
    """Make the table, its trigger and its view, and set down what there is."""
    for statement in (TABLE, SET_DOWN, SINCE_NOW, OF_BEFORE, VIEW):
        op.execute(statement)
    op.execute(f"COMMENT ON VIEW v_priced_votes IS '{SHOWS.replace(chr(39), chr(39) * 2)}'")
    op.execute("REVOKE EXECUTE ON FUNCTION penstock_price_vote FROM PUBLIC")
    op.execute("GRANT SELECT ON v_priced_votes TO penstock_dashboard")
    op.execute("GRANT SELECT, DELETE ON priced_votes TO penstock_controlplane")
