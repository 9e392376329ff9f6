"""The data planes by their answers to publications, as ``penstock policy planes`` tells them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard.store import Store


@dataclass(frozen=True, slots=True)
class Plane:
    """What it ``serves``, and what it ``refused`` and why where it did so last.

    ``standing`` is current, awaited, behind or refused; ``behind`` counts publications.
    """

    plane: str
    serves: Sequence[int]
    refused: Sequence[int]
    reason: str | None
    behind: int
    at: datetime
    standing: str

    @property
    def late(self) -> bool:
        """Whether it does not serve the newest publication, and is not just about to."""
        return self.standing in ("behind", "refused")

    @property
    def kept(self) -> str:
        """What it serves, in words."""
        return _versions(self.serves) or "what it began with"

    @property
    def wrong(self) -> str:
        """What it refused last, in words."""
        return _versions(self.refused)


def read(store: Store) -> list[Plane]:
    """All that were heard of lately, those furthest behind first."""
    return [Plane(**row) for row in store.rows("fleet")]


def _versions(numbers: Sequence[int]) -> str:
    return ", ".join(f"v{number}" if number else "the publication" for number in numbers)
