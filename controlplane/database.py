"""The store: which database, as which role, and its schema brought up to date.

``DATABASE_URL`` is the owner's, for migrations; each plane has a LOGIN role and a URL of its own.
Without ``DATABASE_URL`` a private server is run from the data directory (``cluster.py``).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine, make_url, pool
from sqlalchemy.exc import DBAPIError

from controlplane.cluster import OWNER, Cluster, ClusterError
from dataplane.contract.errors import OperatorError

Role: TypeAlias = Literal["penstock_dataplane", "penstock_controlplane", "penstock_dashboard"]

VARIABLES: Mapping[Role, str] = {
    "penstock_dataplane": "DATABASE_URL_DATAPLANE",
    "penstock_controlplane": "DATABASE_URL_CONTROLPLANE",
    "penstock_dashboard": "DATABASE_URL_DASHBOARD",
}
NAME = "penstock"
CONNECT_SECONDS = 5
SCHEMES = ("postgresql+psycopg://", "postgresql://", "postgres://")


class DatabaseUnavailable(OperatorError):  # noqa: N818  reads as what is the matter
    """One line: which database, why, and the remedy; never a password."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where the store is. URLs are libpq's; they may hold passwords, so they are not shown."""

    url: str = field(repr=False)
    urls: Mapping[Role, str] = field(repr=False)

    def url_for(self, role: Role) -> str:
        """The URL with which a plane connects; raises ``DatabaseUnavailable`` if it has none."""
        try:
            return self.urls[role]
        except KeyError:
            variable = VARIABLES[role]
            raise DatabaseUnavailable(
                f"{variable} is unset: with DATABASE_URL each plane needs a URL of its own; "
                f"name {role} and its password in {variable}"
            ) from None


@contextmanager
def embedded(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[Database]:
    """A private server under ``data_dir``, kept running while anyone is within this context.

    Raises ``DatabaseUnavailable``. ``settings`` are Postgres's, over those of ``cluster.py``.
    """
    cluster = Cluster(data_dir / "postgres", settings)
    try:
        cluster.start()
    except ClusterError as error:
        raise DatabaseUnavailable(str(error)) from None
    except OSError as error:
        raise DatabaseUnavailable(f"embedded Postgres in {cluster.directory}: {error}") from None
    try:
        _create_database(cluster.socket_directory)
        yield at_socket(cluster.socket_directory, NAME)
    finally:
        cluster.stop()


def at_socket(directory: Path, name: str) -> Database:
    """The database of that name of a server that trusts its socket."""

    def url(user: str) -> str:
        return f"postgresql://{user}@/{name}?host={quote(str(directory), safe='')}"

    return Database(url(OWNER), {role: url(role) for role in VARIABLES})


def external(environ: Mapping[str, str]) -> Database:
    """The database that ``DATABASE_URL`` and its like name; raises ``DatabaseUnavailable``."""
    urls = {role: environ[name] for role, name in VARIABLES.items() if environ.get(name)}
    for name in ("DATABASE_URL", *(VARIABLES[role] for role in urls)):
        _rest(environ[name], name)
    return Database(libpq_url(environ["DATABASE_URL"]), {r: libpq_url(u) for r, u in urls.items()})


def libpq_url(url: str) -> str:
    """The URL as libpq, psycopg and psql take it."""
    return f"postgresql://{_rest(url)}"


def dialect_url(url: str) -> URL:
    """The URL as SQLAlchemy takes it, on psycopg 3."""
    return make_url(f"postgresql+psycopg://{_rest(url)}")


def engine(url: str, **options: Any) -> Engine:
    """An SQLAlchemy engine that notices connections lost; options as of ``create_engine``."""
    return create_engine(dialect_url(url), pool_pre_ping=True, **options)


def check(url: str, variable: str = "DATABASE_URL") -> None:
    """Connect once; raises ``DatabaseUnavailable`` with the reason in one line."""
    try:
        parts = conninfo_to_dict(f"postgresql://{_rest(url, variable)}")
    except psycopg.Error:
        raise _not_a_url(variable) from None
    if not str(parts.get("port", "5432")).replace(",", "").isdecimal():
        raise _not_a_url(variable)
    try:
        psycopg.connect(libpq_url(url), connect_timeout=CONNECT_SECONDS).close()
    except psycopg.Error as error:
        where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
        raise DatabaseUnavailable(
            f"{variable}: cannot reach Postgres at {where} ({_reason(error, parts)}): "
            f"check {variable} or unset it to use the embedded server"
        ) from None


def upgrade(url: str, progress: Callable[[str], None] | None = None) -> None:
    """Bring the schema up to date, in one transaction; ``url`` is the owner's.

    ``progress`` is told each revision as it is applied. Raises ``DatabaseUnavailable``.
    """
    check(url)
    config = _alembic(progress)
    from alembic import command  # noqa: PLC0415  0.2 s that only an upgrade should cost

    one = create_engine(dialect_url(url), poolclass=pool.NullPool)
    try:
        with one.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise DatabaseUnavailable(
            f"the schema could not be upgraded ({reason}): nothing was changed; "
            "DATABASE_URL must name the owner, who may create roles"
        ) from error


def adopt_passwords(database: Database) -> None:
    """Give each role the password that its URL holds, as a digest made here.

    The operator may also do so by ``ALTER ROLE``; the embedded server needs none.
    """
    with psycopg.connect(database.url, autocommit=True) as connection:
        for role, url in database.urls.items():
            parts = conninfo_to_dict(url)
            if parts.get("user") == role and (password := parts.get("password")):
                digest = connection.pgconn.encrypt_password(
                    str(password).encode(), role.encode(), b"scram-sha-256"
                ).decode()
                statement = "ALTER ROLE {} PASSWORD {}"
                connection.execute(
                    psycopg.sql.SQL(statement).format(psycopg.sql.Identifier(role), digest)
                )


def _rest(url: str, variable: str = "DATABASE_URL") -> str:
    for scheme in SCHEMES:
        if url.startswith(scheme):
            return url.removeprefix(scheme)
    raise _not_a_url(variable)


def _not_a_url(variable: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"{variable} is not a Postgres URL: expected postgresql://user:password@host:port/database"
    )


def _reason(error: psycopg.Error, parts: Mapping[str, Any]) -> str:
    """The last clause of libpq's first line, which names no one but the server."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    reason = first.rpartition(" failed: ")[2]
    password = parts.get("password")
    return reason.replace(str(password), "***") if password else reason


def _create_database(socket_directory: Path) -> None:
    with psycopg.connect(at_socket(socket_directory, "postgres").url, autocommit=True) as server:
        known = server.execute("SELECT FROM pg_database WHERE datname = %s", (NAME,)).fetchone()
        if known is None:
            server.execute(f"CREATE DATABASE {NAME}")


def _alembic(progress: Callable[[str], None] | None) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    import migrations  # noqa: PLC0415

    def applied(step: Any, **_: Any) -> None:
        if progress:
            progress(f"{step.up_revision_id}: {step.up_revision.doc}")

    config = Config()
    directory = Path(str(migrations.__file__)).parent
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["on_version_apply"] = applied
    return config
