"""Access: which keys are known, and what each may do.

Requests are checked against a snapshot in memory. It follows the table of keys, and is mirrored to
disk (digests only), so that with the database away known keys work and unknown ones are refused.
"""

import hmac
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from dataplane import snapshot
from dataplane.contract.keys import CHANNEL, SCOPES, Key, Scope, digest, parse
from dataplane.feed import Connection

KNOWN = """
SELECT id, encode(secret_sha256, 'hex') AS sha256, tenant, scopes, spend_usd_per_day
FROM api_keys WHERE revoked_at IS NULL ORDER BY id
"""

INFERENCE: Scope = "inference"
_NOBODY = bytes(32)  # compared with where the id is unknown, so that both cases take as long

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, by which key, and what that key may do; and spend, where it has a limit."""

    tenant: str
    key_id: str
    scopes: frozenset[Scope]
    spend_usd_per_day: float | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the key has the scope; none implies another."""
        return scope in self.scopes


@dataclass(frozen=True, slots=True)
class _Known:
    sha256: bytes
    principal: Principal


class Keys:
    """The keys that are known now; a source of the feed."""

    channel = CHANNEL

    def __init__(self, path: Path) -> None:
        self._path = path
        self._body = snapshot.read(path) or "[]"
        self._known = _known(json.loads(self._body))
        self._read_at: float | None = None

    def __len__(self) -> int:
        return len(self._known)

    @property
    def age_s(self) -> float | None:
        """Seconds since the table was last read; None: not since this process began."""
        return None if self._read_at is None else monotonic() - self._read_at

    def limits(self) -> dict[str, float]:
        """What keys that ask for answers may spend a day, in USD, by id; those with a limit."""
        asking = [each.principal for each in self._known.values() if each.principal.may(INFERENCE)]
        return {
            each.key_id: each.spend_usd_per_day
            for each in asking
            if each.spend_usd_per_day is not None
        }

    def authenticate(self, header: str | None) -> Principal | None:
        """Who sent this ``Authorization`` header (``Bearer pk_...``); None: refuse with 401."""
        scheme, _, credentials = (header or "").partition(" ")
        key = parse(credentials.strip())
        if key is None or scheme.lower() != "bearer":
            return None
        return self._identify(key)

    def _identify(self, key: Key) -> Principal | None:
        known = self._known.get(key.id)
        matches = hmac.compare_digest(digest(key.secret), known.sha256 if known else _NOBODY)
        return known.principal if known and matches else None

    def refresh(self, connection: Connection) -> None:
        """Read the table; see ``feed.Source``."""
        body = json.dumps(connection.execute(KNOWN).fetchall())
        self._read_at = monotonic()
        if body == self._body:
            return
        self._known = _known(json.loads(body))
        self._body = body
        try:
            snapshot.write(self._path, body)
        except OSError as error:
            self._body = ""  # so that the next refresh tries again
            log.warning("the keys could not be mirrored to %s: %s", self._path, error)


def _known(rows: Iterable[Mapping[str, Any]]) -> dict[str, _Known]:
    return {row["id"]: _Known(bytes.fromhex(row["sha256"]), _principal(row)) for row in rows}


def _principal(row: Mapping[str, Any]) -> Principal:
    scopes, limit = SCOPES.intersection(row["scopes"]), row.get("spend_usd_per_day")
    return Principal(row["tenant"], row["id"], scopes, limit)
