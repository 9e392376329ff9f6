"""Labels added up by time as they are written: counting them looks up the query of each.

A trusted vote is written by the control plane, after its query was observed; a trigger adds it in
the same transaction. Votes of before are added here, which takes some seconds for each 100,000 of
them, and holds up labelling meanwhile.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE label_rollups (
    at timestamptz NOT NULL,
    tenant text NOT NULL,
    segment text NOT NULL,
    policy_version integer NOT NULL,
    tier text NOT NULL,
    labels bigint NOT NULL,
    cost_usd double precision NOT NULL,
    PRIMARY KEY (at, tenant, segment, policy_version, tier)
)
"""
ADD = """
CREATE FUNCTION penstock_add_label() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO label_rollups AS sum (at, tenant, segment, policy_version, tier, labels, cost_usd)
    SELECT date_bin('10 minutes', d.at, '2000-01-01Z'), d.tenant, d.segment, d.policy_version,
        NEW.key, 1, coalesce(terms.label_price_usd, 0)
    FROM decisions d LEFT JOIN policy_terms terms ON terms.version = d.policy_version
    WHERE d.at = NEW.at AND d.id = NEW.decision_id
    ON CONFLICT (at, tenant, segment, policy_version, tier) DO UPDATE SET
        labels = sum.labels + excluded.labels, cost_usd = sum.cost_usd + excluded.cost_usd;
    RETURN NULL;
END
$$
"""
TRUSTED = "source IN ('ground_truth', 'verifier') AND labeller NOT LIKE 'application:%'"
SINCE_NOW = f"""
CREATE TRIGGER added_up AFTER INSERT ON outcomes FOR EACH ROW
WHEN ({TRUSTED.replace("source", "NEW.source").replace("labeller", "NEW.labeller")})
EXECUTE FUNCTION penstock_add_label()
"""
OF_BEFORE = """
INSERT INTO label_rollups (at, tenant, segment, policy_version, tier, labels, cost_usd)
SELECT date_bin('10 minutes', at, '2000-01-01Z'), tenant, segment, policy_version, tier, count(*),
    coalesce(sum(price_usd), 0)
FROM v_overview_labels GROUP BY 1, 2, 3, 4, 5
"""
VIEW = """
CREATE VIEW v_label_rollups AS
SELECT at, tenant, segment, policy_version, tier, labels, cost_usd FROM label_rollups
"""
SHOWS = (
    "Trusted votes of labellers by the ten minutes of their queries: how many, and their stated "
    "price (USD)."
)


def upgrade() -> None:
    """Make the table, its trigger and its view, and add what there is."""
    for statement in (TABLE, ADD, SINCE_NOW, OF_BEFORE, VIEW):
        op.execute(statement)
    op.execute(f"COMMENT ON VIEW v_label_rollups IS '{SHOWS}'")
    op.execute("REVOKE EXECUTE ON FUNCTION penstock_add_label FROM PUBLIC")
    op.execute("GRANT SELECT ON v_label_rollups TO penstock_dashboard")
    op.execute("GRANT SELECT, DELETE ON label_rollups TO penstock_controlplane")
