"""What a key may spend a day, and what data planes have set aside of it.

A plane asks for a part of the limit ahead and spends that without asking again, so no two planes
can spend the same dollar, and requests wait for no database. What it gives back is free for others.
A plane of the release before knows no limit: upgrade all of them before the first one is set.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

LIMIT = """
ALTER TABLE api_keys ADD COLUMN spend_usd_per_day double precision
    CONSTRAINT spend_is_positive CHECK (spend_usd_per_day > 0 AND spend_usd_per_day < 'infinity')
"""
LEASES = """
CREATE TABLE spend_leases (
    key_id text NOT NULL,
    day date NOT NULL,
    leased_usd double precision NOT NULL,
    PRIMARY KEY (key_id, day),
    CONSTRAINT leased_is_positive CHECK (leased_usd >= 0)
)
"""
LEASE = """
CREATE FUNCTION penstock_lease_spend(of_key text, of_day date, wanted_usd double precision)
RETURNS double precision
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    most double precision;
    before_usd double precision;
    after_usd double precision;
BEGIN
    SELECT spend_usd_per_day INTO most FROM api_keys WHERE id = of_key AND revoked_at IS NULL;
    IF most IS NULL OR wanted_usd IN ('NaN', 'infinity', '-infinity') THEN
        RETURN 0;
    END IF;
    INSERT INTO spend_leases VALUES (of_key, of_day, 0) ON CONFLICT DO NOTHING;
    SELECT leased_usd INTO before_usd FROM spend_leases
    WHERE key_id = of_key AND day = of_day FOR UPDATE;
    after_usd := greatest(before_usd + wanted_usd, 0);
    IF wanted_usd > 0 THEN
        after_usd := greatest(least(after_usd, most), before_usd);
    END IF;
    UPDATE spend_leases SET leased_usd = after_usd WHERE key_id = of_key AND day = of_day;
    RETURN after_usd - before_usd;
END
$$
"""
GRANTS = (
    "REVOKE EXECUTE ON FUNCTION penstock_lease_spend FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION penstock_lease_spend TO penstock_dataplane",
    "GRANT SELECT, DELETE ON spend_leases TO penstock_controlplane",
    "GRANT UPDATE (spend_usd_per_day) ON api_keys TO penstock_controlplane",
)


def upgrade() -> None:
    """Add the limit, the leases, and the one way to take or return one."""
    for statement in (LIMIT, LEASES, LEASE, *GRANTS):
        op.execute(statement)
