"""Fleet: the data planes, which version each of them serves, and which are behind."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from controlplane.connection import Connection
from controlplane.sql import SQL

Standing: TypeAlias = Literal["current", "awaited", "behind", "refused"]


@dataclass(frozen=True, slots=True)
class Plane:
    """A data plane by its answers to publications: ``serves`` are the versions that it took last.

    ``seq`` of the ``newest`` publications is the one that it answered last, at ``at``; where it
    refused that, ``reason`` says why and ``refused`` which versions (0: the publication itself).
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
    def late(self) -> bool:
        """Whether it does not serve the newest publication, and is not just about to."""
        return self.standing in ("behind", "refused")

    @property
    def words(self) -> str:
        """In a sentence."""
        kept = ", ".join(f"v{version}" for version in self.serves) or "what it began with"
        at = f"{self.at.astimezone():%Y-%m-%d %H:%M:%S}"
        match self.standing:
            case "refused":
                wrong = ", ".join(f"v{n}" if n else f"publication {self.seq}" for n in self.refused)
                return f"serves {kept}; refused {wrong} at {at}: {self.reason}"
            case "behind":
                return f"BEHIND by {self.newest - self.seq} publications: serves {kept} since {at}"
            case "awaited":
                return f"serves {kept}; its answer to the newest publication is awaited"
        return f"serves {kept} since {at}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"at": self.at.isoformat(), "words": self.words}


def planes(connection: Connection) -> list[Plane]:
    """By name; one that was not heard of in the day before the newest publication is gone."""
    return [_plane(row) for row in connection.execute(SQL["fleet"])]


def _plane(row: dict[str, Any]) -> Plane:
    return Plane(**row | {"serves": tuple(row["serves"]), "refused": tuple(row["refused"])})
