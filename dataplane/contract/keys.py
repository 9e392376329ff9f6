"""API keys: their form, their digest and what each scope is called.

A key reads ``pk_<id>_<secret>``. The id is public and finds the row; of the 256-bit secret only the
SHA-256 is kept, which is enough for a secret that nobody chose.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["inference", "feedback", "label", "read", "admin"]
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))

CHANNEL = "penstock_keys"  # NOTIFY: a key was made or revoked

_KEY = re.compile(r"pk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A key in full: shown once, never stored, never printed by accident."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Key(id={self.id!r}, secret=...)"

    def reveal(self) -> str:
        """The string that a client sends."""
        return f"pk_{self.id}_{self.secret}"


def generate() -> Key:
    """A new key: 64 random bits of id, 256 of secret."""
    return Key(secrets.token_hex(8), secrets.token_urlsafe(32))


def parse(text: str) -> Key | None:
    """The key that a string spells, or None."""
    found = _KEY.fullmatch(text)
    return Key(*found.groups()) if found else None


def digest(secret: str) -> bytes:
    """SHA-256 of the secret: what the table keeps."""
    return hashlib.sha256(secret.encode()).digest()
