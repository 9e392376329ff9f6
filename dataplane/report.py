"""Report: how this data plane is, told to the store every few seconds for those who watch.

Unlike records, reports may be lost: each one says all that is so at its time.
"""

import json
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from dataplane.feed import Connection

EVERY_S = 10.0
TELL = "INSERT INTO plane_reports (plane, body) VALUES (%(plane)s, %(body)s) ON CONFLICT DO NOTHING"


class Report:
    """A source of the feed that tells instead of reading; ``ask`` never waits."""

    channel = "penstock_report"  # nobody notifies it: the feed's poll is its clock

    def __init__(self, plane: str, ask: Callable[[], Mapping[str, Any]]) -> None:
        self._plane = plane
        self._ask = ask
        self._due_s = 0.0

    def refresh(self, connection: Connection) -> None:
        """Tell, where it is time; see ``feed.Source``."""
        if monotonic() < self._due_s:
            return
        connection.execute(TELL, {"plane": self._plane, "body": json.dumps(self._ask())})
        self._due_s = monotonic() + EVERY_S
