"""Push: publications, and what the data planes answered.

Publishing is a compare-and-swap: publication n + 1 can be inserted once, by whoever read n. The
table's trigger tells the data planes when the transaction commits, not before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import errors
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from controlplane import registry
from controlplane.connection import Connection
from controlplane.errors import StaleParent, UnknownVersionError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Part, parts

PUBLISH = """
INSERT INTO publications (seq, parent, in_force, reason)
SELECT coalesce(%(parent)s::bigint, 0) + 1, %(parent)s, %(in_force)s, %(reason)s
WHERE %(parent)s::bigint IS NULL OR EXISTS (SELECT FROM publications WHERE seq = %(parent)s)
RETURNING seq
"""
LATEST = "SELECT seq, in_force, reason, published_at FROM publications ORDER BY seq DESC LIMIT 1"
ACKS = """
SELECT plane, version, status, reason, at FROM policy_acks WHERE seq = %(seq)s
ORDER BY at, plane, version
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is in force from its moment on, until the next one."""

    seq: int
    parts: tuple[Part, ...]
    reason: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class Ack:
    """What a data plane answered to one version of a publication: ``ack``, or ``nack`` and why."""

    plane: str
    version: int
    status: str
    reason: str | None
    at: datetime


def publish(
    connection: Connection, in_force: Sequence[Part], parent: int | None, reason: str
) -> int:
    """Put versions in force in place of publication ``parent``; returns the new number.

    Raises `StaleParent` if ``parent`` is not the newest, `UnknownVersionError` for a version that
    is not stored, ``ValueError`` for shares that make no whole. Either way nothing is published.
    """
    chosen = parts([part.model_dump() for part in in_force])
    unknown = registry.missing(connection, [part.version for part in chosen])
    if unknown:
        raise UnknownVersionError(f"policy version {unknown[0]} is not stored: store it first")
    row: dict[str, Any] = {
        "parent": parent,
        "in_force": Jsonb([part.model_dump() for part in chosen]),
        "reason": reason,
    }
    try:
        with connection.transaction():
            published = connection.execute(PUBLISH, row).fetchone()
    except errors.UniqueViolation:
        published = None
    if published is None:
        raise StaleParent(
            f"publication {parent or 0} is not the newest: read the newest and decide again"
        )
    return int(published["seq"])


def release(connection: Connection, policy: PolicyDocument, parent: int | None) -> int:
    """Store a new version and put all traffic on it, both or neither; raises as ``publish``."""
    with connection.transaction():
        registry.store(connection, policy)
        return publish(connection, [Part(version=policy.version)], parent, policy.reason)


def latest(connection: Connection) -> Publication | None:
    """The newest publication, None before the first."""
    row = connection.execute(LATEST).fetchone()
    if row is None:
        return None
    return Publication(row["seq"], parts(row["in_force"]), row["reason"], row["published_at"])


def acks(connection: Connection, seq: int) -> Sequence[Ack]:
    """The answers to a publication so far, in the order in which they came."""
    with connection.cursor(row_factory=class_row(Ack)) as cursor:
        return cursor.execute(ACKS, {"seq": seq}).fetchall()
