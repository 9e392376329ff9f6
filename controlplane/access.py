"""Who may call the control plane: API keys by their id, their secrets compared in constant time."""

import hmac
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from controlplane.connection import Connect
from controlplane.sql import SQL
from dataplane.contract import keys

KEPT_S = 2.0  # a revoked key works no longer than this
BETWEEN_MISSES_S = 0.25  # how often unknown keys may make us look

_NOBODY = bytes(32)
_PERSON = re.compile(r"[\w.@+'-]+(?: [\w.@+'-]+)*")
LONGEST_PERSON = 100


@dataclass(frozen=True, slots=True)
class Holder:
    """An API key that proved itself, and the person for whom it says that it speaks, if any."""

    id: str
    tenant: str
    scopes: frozenset[str]
    person: str = ""

    @property
    def who(self) -> str:
        """Whose word it is, in events and policies. The person is the key's claim, not proved.

        >>> Holder("0a1b", "acme", frozenset(), "ann@example.org").who
        'ann@example.org (key 0a1b)'
        """
        key = f"key {self.id}"
        return f"{self.person} ({key})" if self.person else key


def person(header: str | None) -> str:
    """The name in an ``X-Penstock-Person`` header, percent-encoded UTF-8; empty without one.

    Raises ``ValueError`` for what is no name: nothing in it may read as another key's words.

    >>> person("zo%C3%AB@example.org")
    'zoë@example.org'
    """
    name = unquote(header or "")  # bytes that are not UTF-8 become no letters
    if name and (len(name) > LONGEST_PERSON or not _PERSON.fullmatch(name)):
        raise ValueError(
            f"X-Penstock-Person: a name of at most {LONGEST_PERSON} letters, digits, . @ + ' - _ "
            "and single spaces, percent-encoded"
        )
    return name


class Access:
    """A short-lived copy of the keys table."""

    def __init__(self, connect: Connect, clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock = clock
        self._known: dict[str, tuple[bytes, Holder]] = {}
        self._read_at = float("-inf")
        self._mutex = threading.Lock()

    def holder(self, authorization: str | None) -> Holder | None:
        """Whose key an ``Authorization: Bearer`` header carries; None for nobody's."""
        scheme, _, text = (authorization or "").partition(" ")
        key = keys.parse(text.strip())
        if scheme.lower() != "bearer" or key is None:
            return None
        secret, holder = self._find(key.id)
        proved = hmac.compare_digest(secret, keys.digest(key.secret))
        return holder if proved else None

    def _find(self, key_id: str) -> tuple[bytes, Holder | None]:
        with self._mutex:
            patience = KEPT_S if key_id in self._known else BETWEEN_MISSES_S
            if self._clock() - self._read_at >= patience:
                self._read()
            return self._known.get(key_id, (_NOBODY, None))

    def _read(self) -> None:
        with self._connect() as connection:
            rows = connection.execute(SQL["active_keys"]).fetchall()
        self._known = {
            row["id"]: (
                bytes(row["secret_sha256"]),
                Holder(row["id"], row["tenant"], frozenset(row["scopes"])),
            )
            for row in rows
        }
        self._read_at = self._clock()
