"""Keys: made, listed and revoked in the table that the data planes follow."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import inf

from psycopg.rows import class_row

from controlplane.connection import Connect, Connection
from dataplane.contract.errors import OperatorError
from dataplane.contract.keys import SCOPES, Key, Scope, digest, generate

CREATE = """
INSERT INTO api_keys (id, secret_sha256, tenant, scopes, name, spend_usd_per_day)
VALUES (%(id)s, %(secret_sha256)s, %(tenant)s, %(scopes)s, %(name)s, %(spend_usd_per_day)s)
"""
LISTED = """
SELECT id, tenant, scopes, name, created_at, revoked_at, spend_usd_per_day,
    CASE WHEN spend_usd_per_day IS NOT NULL THEN coalesce(leased_usd, 0) END AS leased_usd_today
FROM api_keys
LEFT JOIN spend_leases ON key_id = id AND day = (now() AT TIME ZONE 'UTC')::date
ORDER BY created_at, id
"""
LIMIT = """
UPDATE api_keys SET spend_usd_per_day = %(usd)s WHERE id = %(id)s RETURNING id
"""
REVOKE = """
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %(id)s RETURNING id
"""


class ScopeExceededError(OperatorError):
    """A key may not be given what its creator lacks."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A key as it may be shown: nothing of its secret.

    ``leased_usd_today`` is what data planes have spent or set aside of its limit on this UTC day.
    """

    id: str
    tenant: str
    scopes: list[str]
    name: str
    created_at: datetime
    revoked_at: datetime | None
    spend_usd_per_day: float | None
    leased_usd_today: float | None


def create(
    connection: Connection,
    *,
    tenant: str,
    scopes: Collection[Scope],
    name: str = "",
    creator: Collection[Scope] | None = None,
    spend_usd_per_day: float | None = None,
) -> Key:
    """Make a key, whose secret exists in the returned value alone.

    ``creator``: the scopes of the key that asks; None: the operator, at the command line. Raises
    `ScopeExceededError`, and `OperatorError` for a key without tenant or scope, or of such a limit.
    """
    wanted = set(scopes)
    if unknown := wanted - SCOPES:
        known = ", ".join(sorted(SCOPES))
        raise OperatorError(f"unknown scope {min(unknown)}: known are {known}")
    if creator is not None and (excess := wanted.difference(creator)):
        raise ScopeExceededError(
            f"scope {', '.join(sorted(excess))} is not yours to give: ask with a key that has it"
        )
    if not tenant or not wanted:
        raise OperatorError("a key needs a tenant and at least one scope: name both")
    key, limit = generate(), _limit(spend_usd_per_day)
    row = {"id": key.id, "secret_sha256": digest(key.secret), "tenant": tenant, "name": name}
    connection.execute(CREATE, row | {"scopes": sorted(wanted), "spend_usd_per_day": limit})
    return key


def limit(connection: Connection, key_id: str, usd: float | None) -> None:
    """Let a key spend so much a day, from the next lease on; None: all it likes.

    Raises `OperatorError`.
    """
    if connection.execute(LIMIT, {"id": key_id, "usd": _limit(usd)}).fetchone() is None:
        raise _unknown(key_id)


def _limit(usd: float | None) -> float | None:
    if usd is not None and not 0 < usd < inf:
        raise OperatorError(f"a limit of {usd:g} USD a day: give more than 0, or none at all")
    return usd


def _unknown(key_id: str) -> OperatorError:
    return OperatorError(f"no key has the id {key_id}: see `penstock key list`")


def listed(connection: Connection) -> Sequence[Listed]:
    """All keys, the revoked ones too, oldest first."""
    with connection.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(LISTED).fetchall()


def revoke(connection: Connection, key_id: str) -> None:
    """Refuse a key from now on, everywhere; again is no error. Raises `OperatorError`."""
    if connection.execute(REVOKE, {"id": key_id}).fetchone() is None:
        raise _unknown(key_id)


@contextmanager
def lent(connect: Connect, scopes: Collection[Scope], name: str) -> Iterator[str]:
    """A key of Penstock's own parts, for as long as they run; revoked at the end."""
    with connect() as connection:
        key = create(connection, tenant="penstock", scopes=scopes, name=name)
    try:
        yield key.reveal()
    finally:
        with connect() as connection:
            revoke(connection, key.id)
