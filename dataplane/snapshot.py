"""Snapshot: the last good state of something, on disk, for a start with the database away.

One JSON file with a checksum, readable by its owner only, replaced atomically: after a crash at
any instant a reader finds the old body or the new one, whole.
"""

import hashlib
import json
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def write(path: Path, body: str) -> None:
    """Replace the snapshot, durably; raises ``OSError``, and then the old one still stands."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(file, "w", encoding="utf-8") as stream:  # noqa: PTH123 - opened with its mode above
        json.dump({"sha256": _checksum(body), "body": body}, stream)
        stream.flush()
        os.fsync(file)
    fresh.replace(path)
    _sync_directory(path.parent)


def read(path: Path) -> str | None:
    """The body last written, or None where there is none that is whole."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        body = str(stored["body"])
        whole = stored["sha256"] == _checksum(body)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read and is passed over: %s", path, error)
        return None
    if not whole:
        log.warning("%s does not match its checksum and is passed over", path)
        return None
    return body


def take(path: Path) -> str | None:
    """The body last written, which nobody can read again; None as ``read``."""
    body = read(path)
    path.unlink(missing_ok=True)
    if path.parent.exists():
        _sync_directory(path.parent)
    return body


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
