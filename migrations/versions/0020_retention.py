"""Dropping records of long ago: one partition a call, so that no shipper waits for more than one.

The control plane may drop what is older than a week, and nothing else. A partition is counted
before it is locked; where its table is busy for two seconds the call fails, and is made again
later. Records that arrive after their day was dropped are in the default partition: deleted there.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

DROP = """
CREATE FUNCTION penstock_drop_records(before date, OUT of_table text, OUT records bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s'
AS $$
DECLARE
    parent text;
BEGIN
    IF before > current_date - 7 THEN
        RAISE EXCEPTION 'records of the last week are not dropped: % is too late', before;
    END IF;
    SELECT child.relname INTO of_table
    FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    JOIN pg_partitioned_table ON partrelid = inhparent
    WHERE child.relnamespace = current_schema::regnamespace AND child.relname ~ '_p[0-9]{8}$'
        AND right(child.relname, 8) < to_char(before, 'YYYYMMDD')
    ORDER BY right(child.relname, 8), child.relname LIMIT 1;
    IF of_table IS NOT NULL THEN
        EXECUTE format('SELECT count(*) FROM %I', of_table) INTO records;
        EXECUTE format('DROP TABLE %I', of_table);
        RETURN;
    END IF;
    FOR parent IN
        SELECT relname FROM pg_class JOIN pg_partitioned_table ON partrelid = pg_class.oid
        WHERE relnamespace = current_schema::regnamespace ORDER BY relname
    LOOP
        of_table := parent || '_default';
        EXECUTE format('DELETE FROM %I WHERE at < $1', of_table) USING before::timestamptz;
        GET DIAGNOSTICS records = ROW_COUNT;
        IF records > 0 THEN
            RETURN;
        END IF;
    END LOOP;
    of_table := NULL;
    records := NULL;
END
$$
"""
GRANTS = (
    "REVOKE EXECUTE ON FUNCTION penstock_drop_records FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION penstock_drop_records TO penstock_controlplane",
)


def upgrade() -> None:
    """Add the one way in which the control plane drops records."""
    for statement in (DROP, *GRANTS):
        op.execute(statement)
