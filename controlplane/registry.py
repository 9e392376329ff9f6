"""Registry: every policy version that was ever issued, and where each came from."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors
from psycopg.rows import class_row

from controlplane.connection import Connection
from controlplane.errors import StaleParent, UnknownVersionError
from dataplane.contract.policy import PolicyDocument

STORE = """
INSERT INTO policies (version, parent, kind, author, reason, digest, document)
VALUES (%(version)s, %(parent)s, %(kind)s, %(author)s, %(reason)s, %(digest)s, %(document)s)
"""
VERSIONS = """
SELECT version, parent, kind, author, reason, digest, created_at
FROM policies ORDER BY version DESC LIMIT %(most)s
"""
LINEAGE = """
WITH RECURSIVE line AS (
    SELECT * FROM policies WHERE version = %(version)s
    UNION ALL SELECT p.* FROM policies p JOIN line ON p.version = line.parent
)
SELECT version, parent, kind, author, reason, digest, created_at FROM line ORDER BY version DESC
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A stored version, without its document."""

    version: int
    parent: int | None
    kind: str
    author: str
    reason: str
    digest: str
    created_at: datetime


def store(connection: Connection, policy: PolicyDocument) -> None:
    """Keep a document for ever; raises `StaleParent` where its version is taken."""
    row = {
        "version": policy.version,
        "parent": policy.parent,
        "kind": policy.kind,
        "author": policy.author,
        "reason": policy.reason,
        "digest": policy.digest(),
        "document": policy.to_json().decode(),
    }
    try:
        with connection.transaction():
            connection.execute(STORE, row)
    except errors.UniqueViolation as error:
        raise StaleParent(
            f"policy version {policy.version} exists already: read the newest and decide again"
        ) from error


def load(connection: Connection, version: int) -> PolicyDocument:
    """A stored document, validated; raises `UnknownVersionError`."""
    statement = "SELECT document FROM policies WHERE version = %s"
    row = connection.execute(statement, (version,)).fetchone()
    if row is None:
        raise UnknownVersionError(
            f"policy version {version} is not stored: list them with `penstock policy list`"
        )
    return PolicyDocument.from_json(row["document"])


def missing(connection: Connection, versions: Collection[int]) -> list[int]:
    """Those of the versions that are not stored."""
    statement = "SELECT version FROM policies WHERE version = ANY(%s)"
    stored = {row["version"] for row in connection.execute(statement, (list(versions),))}
    return sorted(set(versions) - stored)


def next_version(connection: Connection) -> int:
    """The number of the version to come, unless someone else takes it first."""
    row = connection.execute("SELECT max(version) AS newest FROM policies").fetchone()
    return ((row and row["newest"]) or 0) + 1


def versions(connection: Connection, most: int = 100) -> Sequence[Version]:
    """The newest versions, newest first."""
    with connection.cursor(row_factory=class_row(Version)) as cursor:
        return cursor.execute(VERSIONS, {"most": most}).fetchall()


def lineage(connection: Connection, version: int) -> Sequence[Version]:
    """A version, its parent, and so on to the first."""
    with connection.cursor(row_factory=class_row(Version)) as cursor:
        return cursor.execute(LINEAGE, {"version": version}).fetchall()
