"""How far each spool segment has arrived: pages and the control plane looked it up among shipments.

Of two thousand segments that took 50 ms, many times a minute. A trigger keeps it in the transaction
of each shipment, so data planes of the release before keep it too. Each plane ships by itself: none
waits for another's row. Shipments of before are set down here, and shipping waits meanwhile.

Shipments that were observed and added up are of no use any more: the control plane may drop them.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE spool_arrivals (
    plane text NOT NULL,
    segment bigint NOT NULL,
    last_offset bigint NOT NULL,
    shipped_at timestamptz NOT NULL,
    PRIMARY KEY (plane, segment)
)
"""
ARRIVED = """
CREATE FUNCTION penstock_arrived() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO spool_arrivals AS known (plane, segment, last_offset, shipped_at)
    VALUES (NEW.plane, NEW.segment, NEW.last_offset, NEW.shipped_at)
    ON CONFLICT (plane, segment) DO UPDATE
    SET last_offset = greatest(known.last_offset, excluded.last_offset),
        shipped_at = greatest(known.shipped_at, excluded.shipped_at);
    RETURN NULL;
END
$$
"""
SINCE_NOW = """
CREATE TRIGGER arrived AFTER INSERT ON shipments FOR EACH ROW EXECUTE FUNCTION penstock_arrived()
"""
OF_BEFORE = """
INSERT INTO spool_arrivals (plane, segment, last_offset, shipped_at)
SELECT plane, segment, max(last_offset), max(shipped_at) FROM shipments GROUP BY plane, segment
"""
VIEW = """
CREATE OR REPLACE VIEW v_rollup_lag AS
SELECT here.plane, here.segment, here.shipped_at,
    here.last_offset - coalesce(mark."offset", -1) AS records,
    CASE WHEN here.last_offset > coalesce(mark."offset", -1) THEN (
        SELECT s.shipped_at FROM shipments s
        WHERE s.plane = here.plane AND s.segment = here.segment
            AND s.first_offset > coalesce(mark."offset", -1)
        ORDER BY s.first_offset LIMIT 1
    ) END AS waiting_since
FROM spool_arrivals here
LEFT JOIN rollup_marks mark ON mark.plane = here.plane AND mark.segment = here.segment
"""


def upgrade() -> None:
    """Make the table and its trigger, set down what there is, and read the view from it."""
    for statement in (TABLE, ARRIVED, SINCE_NOW, OF_BEFORE, VIEW):
        op.execute(statement)
    op.execute("REVOKE EXECUTE ON FUNCTION penstock_arrived FROM PUBLIC")
    op.execute("GRANT SELECT ON spool_arrivals TO penstock_controlplane")
    op.execute("GRANT DELETE ON shipments TO penstock_controlplane")
