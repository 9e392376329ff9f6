"""Fleet: the data planes, which version each of them serves, and which are behind."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal, TypeAlias

from controlplane.connection import Connection
from controlplane.sql import SQL

PATIENCE = timedelta(seconds=10)  # two polls: a publication so young makes nobody a straggler

Standing: TypeAlias = Literal["current", "awaited", "behind", "refused"]


@dataclass(frozen=True, slots=True)
class Plane:
    """A data plane by its answers to publications: ``serves`` are the versions that it took last.

    ``seq`` of the ``newest`` publications is the one that it answered last, at ``at``; where it
    refused that, ``reason`` says why and ``refused`` which versions.
    """

    plane: str
    serves: tuple[int, ...]
    refused: tuple[int, ...]
    reason: str | None
    seq: int
    newest: int
    at: datetime
    standing: Standing

    @property
    def words(self) -> str:
        """In a sentence."""
        kept = ", ".join(f"v{version}" for version in self.serves) or "what it began with"
        at = f"{self.at.astimezone():%Y-%m-%d %H:%M:%S}"
        match self.standing:
            case "refused":
                wrong = ", ".join(f"v{version}" for version in self.refused)
                return f"serves {kept}; refused {wrong} at {at}: {self.reason}"
            case "behind":
                return f"BEHIND by {self.newest - self.seq} publications: serves {kept} since {at}"
            case "awaited":
                return f"serves {kept}; its answer to the newest publication is awaited"
        return f"serves {kept} since {at}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"at": self.at.isoformat(), "words": self.words}


def planes(connection: Connection, now: datetime) -> list[Plane]:
    """By name; one that was not heard of in the day before the newest publication is gone."""
    rows = connection.execute(SQL["fleet"]).fetchall()
    by_plane = groupby(rows, key=lambda row: str(row["plane"]))
    return [_plane(name, list(answers), now) for name, answers in by_plane]


def _plane(name: str, rows: list[dict[str, Any]], now: datetime) -> Plane:
    """Rows of its last publication that it took and of its last answer, which may be the same."""
    last = max(rows, key=lambda row: row["seq"])
    refused = tuple(_versions(rows, last["seq"], "nack"))
    taken = max((row["seq"] for row in rows if row["status"] == "ack"), default=None)
    serves = () if taken is None else tuple(_versions(rows, taken, "ack"))
    standing: Standing = "current"
    if last["seq"] < last["newest"]:
        standing = "behind" if now - last["published_at"] > PATIENCE else "awaited"
    elif refused:
        standing = "refused"
    return Plane(
        name, serves, refused, last["reason"], last["seq"], last["newest"], last["at"], standing
    )


def _versions(rows: list[dict[str, Any]], seq: int, status: str) -> Iterator[int]:
    for row in rows:
        if (row["seq"], row["status"]) == (seq, status):
            yield row["version"]
