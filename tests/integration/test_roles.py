"""Each role can do what is its own, and cannot do what is not."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.types.json import Jsonb

from controlplane.database import VARIABLES, Database, Role
from dataplane.contract.records import KINDS
from dataplane.contract.shared import METADATA

RECORDS = tuple(KINDS)
PUBLISHED = ("policies", "publications", "api_keys")
LEARNERS_OWN = (
    "learner_state", "watermarks", "label_tasks", "shadow_tasks", "job_runs", "events", "estimates",
    "judge_reports", "query_rollups", "spend_rollups", "latency_rollups", "rollup_marks",
    "rollup_waiting",
)  # fmt: skip

MAY: dict[Role, dict[str, set[str]]] = {
    "penstock_dataplane": {
        **{table: {"INSERT"} for table in (*RECORDS, "shipments", "policy_acks")},
        **{table: {"SELECT"} for table in PUBLISHED},
        "staging": {"SELECT", "INSERT", "DELETE"},
        "plane_reports": {"INSERT"},
    },
    "penstock_controlplane": {
        **{table: {"SELECT"} for table in (*RECORDS, "shipments", "policy_acks")},
        **{table: {"SELECT", "INSERT", "UPDATE", "DELETE"} for table in LEARNERS_OWN},
        **{table: {"SELECT", "INSERT"} for table in PUBLISHED},
        **{table: {"SELECT", "INSERT"} for table in ("outcomes", "label_votes", "labels")},
        "texts": {"SELECT", "DELETE"},
        **{
            table: {"SELECT", "DELETE"}
            for table in ("plane_reports", "spool_rollups", "engine_rollups", "priced_votes")
        },
        "frontier_points": {"SELECT", "INSERT", "DELETE"},
        "policy_prices": {"SELECT"},
        "spool_arrivals": {"SELECT"},
        "spend_leases": {"SELECT", "DELETE"},
        "shipments": {"SELECT", "DELETE"},
    },
    "penstock_dashboard": {},
}
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

SHIP = """
INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, body || jsonb_build_object(
    'plane', plane, 'spool_segment', segment, 'offset', "offset"))).*
FROM staging WHERE kind = '{table}'
ON CONFLICT DO NOTHING
"""


@pytest.fixture
def dataplane(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url_for("penstock_dataplane"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def controlplane(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.url_for("penstock_controlplane"), autocommit=True) as connection:
        yield connection


def count(database: Database, table: str) -> int:
    with psycopg.connect(database.url) as owner:
        (number,) = owner.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
    return int(number)


def refused(database: Database, role: Role, statement: str) -> bool:
    with psycopg.connect(database.url_for(role)) as connection:
        try:
            connection.execute(statement.encode())
        except InsufficientPrivilege:
            return True
    return False


def stage(connection: psycopg.Connection, golden: dict[str, Any]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY staging FROM STDIN") as copy:
        for offset, (kind, body) in enumerate(golden.items()):
            copy.write_row((kind, Jsonb(body), "plane-1", 7, offset))


@pytest.mark.parametrize("role", MAY)
def test_privileges_are_exactly_these(shared_database: Database, role: Role) -> None:
    with psycopg.connect(shared_database.url) as owner:
        rows = owner.execute(
            """
            SELECT relname, privilege FROM pg_class, unnest(%s::text[]) AS privilege
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                AND has_table_privilege(%s, oid, privilege)
            """,
            (list(PRIVILEGES), role),
        ).fetchall()
    held: dict[str, set[str]] = {}
    for table, privilege in rows:
        held.setdefault(table, set()).add(privilege)
    assert held == MAY[role]  # and so nothing on any partition, nor on Alembic's own table


@pytest.mark.parametrize("role", VARIABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE decisions ADD COLUMN x int",
        "ALTER TABLE events DROP COLUMN body",
        "DROP TABLE staging",
        "CREATE TABLE mine (x int)",
        "CREATE INDEX mine ON decisions (tenant)",
        "CREATE ROLE friend",
        "ALTER ROLE penstock_dashboard SUPERUSER",
        "SET ROLE penstock",
        "UPDATE decisions SET tenant = 'x'",
        "UPDATE policies SET document = ''",
        "UPDATE api_keys SET scopes = '{admin}'",
        "DELETE FROM outcomes",
        "DELETE FROM label_votes",
        "UPDATE labels SET value = 1",
        "SELECT * FROM decisions_default FOR UPDATE",
        "COPY events TO PROGRAM 'cat'",
        "SELECT pg_read_file('PG_VERSION')",
    ],
)
def test_only_the_owner_may(shared_database: Database, role: Role, statement: str) -> None:
    assert refused(shared_database, role, statement)


@pytest.mark.parametrize("table", METADATA.tables)
def test_the_dashboard_reads_no_table(shared_database: Database, table: str) -> None:
    assert refused(shared_database, "penstock_dashboard", f"SELECT FROM {table}")


def test_the_data_plane_neither_reads_records_nor_changes_anything(
    shared_database: Database,
) -> None:
    for table in RECORDS:
        for statement in (f"SELECT FROM {table}", f"DELETE FROM {table}"):
            assert refused(shared_database, "penstock_dataplane", statement)


def test_the_control_plane_decides_nothing(shared_database: Database) -> None:
    for table in set(RECORDS) - {"outcomes"}:
        statement = f"INSERT INTO {table} (at) VALUES (now())"
        assert refused(shared_database, "penstock_controlplane", statement)


def test_the_data_plane_ships_what_it_cannot_read(
    database: Database, dataplane: psycopg.Connection, golden_records: dict[str, Any]
) -> None:
    for _ in range(3):  # at least once, and idempotent: exactly once
        with dataplane.transaction():
            stage(dataplane, golden_records)
            for table in RECORDS:
                dataplane.execute(SHIP.format(table=table).encode())
            dataplane.execute("DELETE FROM staging")
            dataplane.execute(
                "INSERT INTO shipments (plane, segment, first_offset, last_offset, rows)"
                " VALUES ('plane-1', 7, 0, 7, 8) ON CONFLICT DO NOTHING"
            )
    assert {table: count(database, table) for table in RECORDS} == dict.fromkeys(RECORDS, 1)
    assert count(database, "shipments") == 1
    assert count(database, "staging") == 0
    with pytest.raises(InsufficientPrivilege):
        dataplane.execute("SELECT FROM decisions")


def test_what_was_shipped_reads_back_as_the_record_it_was(
    database: Database, dataplane: psycopg.Connection, golden_records: dict[str, Any]
) -> None:
    stage(dataplane, golden_records)
    for table in RECORDS:
        dataplane.execute(SHIP.format(table=table).encode())
    with psycopg.connect(database.url_for("penstock_controlplane")) as controlplane:
        for table, kind in KINDS.items():
            columns = ", ".join(f'"{name}"' for name in kind.model_fields)
            row = controlplane.execute(f"SELECT {columns} FROM {table}".encode()).fetchone()
            assert row is not None
            read = kind.model_validate(dict(zip(kind.model_fields, row, strict=True)))
            assert read == kind.model_validate_json(json.dumps(golden_records[table]))


def test_a_publication_follows_its_parent_once(controlplane: psycopg.Connection) -> None:
    publish = "INSERT INTO publications (seq, parent, in_force, reason) VALUES (%s, %s, '[]', 'r')"
    controlplane.execute(publish, (1, None))
    controlplane.execute(publish, (2, 1))
    with pytest.raises(psycopg.errors.UniqueViolation):
        controlplane.execute(publish, (2, 1))
    with pytest.raises(psycopg.errors.CheckViolation):
        controlplane.execute(publish, (9, 2))


def test_publishing_and_changing_keys_notify(
    dataplane: psycopg.Connection, controlplane: psycopg.Connection
) -> None:
    dataplane.execute("LISTEN penstock_policy")
    dataplane.execute("LISTEN penstock_keys")
    controlplane.execute("INSERT INTO publications (seq, in_force, reason) VALUES (1, '[]', 'r')")
    controlplane.execute(
        "INSERT INTO api_keys (id, secret_sha256, tenant, scopes, name)"
        " VALUES ('k1', sha256('x'), 't', '{inference}', 'n')"
    )
    controlplane.execute("UPDATE api_keys SET revoked_at = now()")
    heard = [(n.channel, n.payload) for n in dataplane.notifies(timeout=10, stop_after=3)]
    assert heard == [("penstock_policy", "1"), ("penstock_keys", ""), ("penstock_keys", "")]


def test_a_key_is_a_digest_with_known_scopes(controlplane: psycopg.Connection) -> None:
    add = (
        "INSERT INTO api_keys (id, secret_sha256, tenant, scopes, name)"
        " VALUES ('k', %s, 't', %s, 'n')"
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        controlplane.execute(add, (b"plain secret", ["read"]))
    with pytest.raises(psycopg.errors.CheckViolation):
        controlplane.execute(add, (b"x" * 32, ["everything"]))


def test_the_control_plane_makes_partitions_and_no_other_role_does(database: Database) -> None:
    statement = b"SELECT penstock_ensure_partitions(3)"
    with psycopg.connect(database.url_for("penstock_controlplane")) as connection:
        connection.execute("SELECT penstock_ensure_partitions(2)")
        assert connection.execute(statement).fetchone() == (len(RECORDS),)
    for role in ("penstock_dataplane", "penstock_dashboard"):
        with (
            psycopg.connect(database.urls[role]) as connection,
            pytest.raises(InsufficientPrivilege),
        ):
            connection.execute(statement)
