"""Registry: every policy version ever issued, where each came from, and what is in force."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from psycopg import errors
from psycopg.rows import class_row

from controlplane.connection import Connection
from dataplane.contract.errors import OperatorError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Part, parts

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
STRUCTURAL = """
WITH RECURSIVE line AS (
    SELECT version, parent, kind FROM policies WHERE version = %(version)s
    UNION ALL
    SELECT p.version, p.parent, p.kind FROM policies p JOIN line ON p.version = line.parent
    WHERE line.kind <> 'proposal'
)
SELECT min(version) AS began FROM line
"""
LATEST = "SELECT seq, in_force, reason, published_at FROM publications ORDER BY seq DESC LIMIT 1"


class ConflictError(OperatorError):
    """Someone else stored or published meanwhile: read what is newest, and decide again."""


class UnknownVersionError(OperatorError):
    """No such policy version is stored."""


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


@dataclass(frozen=True, slots=True)
class Publication:
    """What is in force from its moment on, until the next one."""

    seq: int
    parts: tuple[Part, ...]
    reason: str
    published_at: datetime

    @property
    def leading(self) -> int:
        """The version with the largest share."""
        return max(self.parts, key=lambda part: part.share).version


def store(connection: Connection, policy: PolicyDocument) -> None:
    """Keep a document for ever; raises `ConflictError` where its version is taken."""
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
        raise ConflictError(
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
    return _parsed(row["document"])


@lru_cache(maxsize=8)
def _parsed(document: str) -> PolicyDocument:
    """A stored document never changes, and takes some ten milliseconds to validate."""
    return PolicyDocument.from_json(document)


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


def structural(connection: Connection, version: int) -> int:
    """The nearest ancestor of a version, or itself, that was more than a retune; else the first."""
    row = connection.execute(STRUCTURAL, {"version": version}).fetchone()
    return (row and row["began"]) or version


def latest(connection: Connection) -> Publication | None:
    """The newest publication, None before the first."""
    row = connection.execute(LATEST).fetchone()
    if row is None:
        return None
    return Publication(row["seq"], parts(row["in_force"]), row["reason"], row["published_at"])


def live(connection: Connection) -> PolicyDocument:
    """The document that decides most of the traffic; raises `UnknownVersionError` before any."""
    newest = latest(connection)
    if newest is None:
        raise UnknownVersionError("no policy was ever published: start `penstock control` once")
    return load(connection, newest.leading)
