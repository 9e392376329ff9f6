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
from controlplane.registry import ConflictError, UnknownVersionError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Part, parts

PUBLISH = """
INSERT INTO publications (seq, parent, in_force, reason)
SELECT coalesce(%(parent)s::bigint, 0) + 1, %(parent)s, %(in_force)s, %(reason)s
WHERE %(parent)s::bigint IS NULL OR EXISTS (SELECT FROM publications WHERE seq = %(parent)s)
RETURNING seq
"""
ACKS = """
SELECT plane, version, status, reason, at FROM policy_acks WHERE seq = %(seq)s
ORDER BY at, plane, version
"""


@dataclass(frozen=True, slots=True)
class Ack:
    """What a data plane answered to one version of a publication: ``ack``, or ``nack`` and why."""

    plane: str
    version: int
    status: str
    reason: str | None
    at: datetime


def publish(connection: Connection, policy: PolicyDocument) -> int:
    """Store a new version and put it in force in place of its parent, both or neither.

    What is in force beside that stays: a canary, and what is compared.
    Returns the publication's number; raises `ConflictError` if the parent is no longer live.
    """
    with connection.transaction():
        newest = registry.latest(connection)
        live, parent = (newest.leading, newest.seq) if newest else (None, None)
        beside = [part for part in newest.parts if part.version != live] if newest else []
        if live != policy.parent:
            raise ConflictError(
                f"policy version {policy.version} replaces version {policy.parent}, but "
                f"{live} is live: read the live policy and decide again"
            )
        registry.store(connection, policy)
        share = 1 - sum(part.share for part in beside)
        in_force = [Part(version=policy.version, share=share), *beside]
        return put_in_force(connection, in_force, parent, policy.reason)


def succeed(
    connection: Connection, live: PolicyDocument, successor: PolicyDocument
) -> PolicyDocument:
    """Publish ``successor`` in place of ``live`` under the next free number; returns it so.

    Raises ``ConflictError`` where another policy is live by now; then nothing is changed.
    """
    version = registry.next_version(connection)
    numbered = successor.model_copy(update={"version": version, "parent": live.version})
    publish(connection, numbered)
    return numbered


def put_in_force(
    connection: Connection, in_force: Sequence[Part], parent: int | None, reason: str
) -> int:
    """Put stored versions in force in place of publication ``parent``; returns the new number.

    Raises `ConflictError` if ``parent`` is not the newest, `UnknownVersionError` for a version
    that is not stored, ``ValueError`` for shares that make no whole; then nothing is published.
    """
    chosen = [part.model_dump() for part in in_force]
    unknown = registry.missing(connection, [part.version for part in parts(chosen)])
    if unknown:
        raise UnknownVersionError(f"policy version {unknown[0]} is not stored: store it first")
    row: dict[str, Any] = {"parent": parent, "in_force": Jsonb(chosen), "reason": reason}
    try:
        with connection.transaction():
            published = connection.execute(PUBLISH, row).fetchone()
    except errors.UniqueViolation:
        published = None
    if published is None:
        raise ConflictError(
            f"publication {parent or 0} is not the newest: read the newest and decide again"
        )
    return int(published["seq"])


def acks(connection: Connection, seq: int) -> Sequence[Ack]:
    """The answers to a publication so far, in the order in which they came."""
    with connection.cursor(row_factory=class_row(Ack)) as cursor:
        return cursor.execute(ACKS, {"seq": seq}).fetchall()


def summary(policy: PolicyDocument) -> dict[str, object]:
    """What a person wants to know of a newly published policy."""
    segment = policy.segments[0]
    return {
        "version": policy.version,
        "parent": policy.parent,
        "author": policy.author,
        "reason": policy.reason,
        "mode": segment.mode,
        "lambda": segment.lambda_,
        "routing_threshold": segment.routing_threshold,
        "judge_cutoff": segment.judge_cutoff,
    }
