"""Alembic's entry: which schema, which database, and one transaction around all of it."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine, pool, text

from controlplane.database import dialect_url
from dataplane.contract.shared import METADATA
from dataplane.contract.tables import PARTITION

LOCK = 7_360_451_183  # any number, ours alone: two upgrades at once take turns


def main() -> None:
    """Migrate over the connection that was handed in, or one of our own."""
    given: Connection | None = context.config.attributes.get("connection")
    if context.is_offline_mode():
        _print_sql()
    elif given is not None:
        _migrate(given)
    else:
        with create_engine(dialect_url(_url()), poolclass=pool.NullPool).connect() as connection:
            _migrate(connection)


def _url() -> str:
    url = context.get_x_argument(as_dictionary=True).get("url") or os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("no database named: pass `-x url=postgresql://...` or set DATABASE_URL")
    return url


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        include_name=lambda name, kind, _: (
            not (kind == "table" and PARTITION.fullmatch(name or ""))
        ),
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()


def _print_sql() -> None:
    context.configure(dialect_name="postgresql", target_metadata=METADATA, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


main()
