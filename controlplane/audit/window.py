"""The served answers of the audit's window, read from the tables, with their predictions."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from controlplane.audit.prediction import predict
from controlplane.audit.served import Served
from controlplane.connection import Connection
from controlplane.explain import shelf
from controlplane.observe import PostgresLog, key_of
from controlplane.sql import SQL
from dataplane.contract.records import Source
from dataplane.contract.terms import TRUSTED

SPAN = 20_000  # answers that the promise looks back on


class _Known(NamedTuple):
    """What never changes of a served answer."""

    predicted: float
    segment: str
    policy_version: int


class Window:
    """The latest ``span`` answers before the first unresolved draw.

    A prediction never changes, so it is computed once and kept while its answer is in the window;
    after a restart the kept ones are computed again.
    """

    def __init__(self, span: int = SPAN) -> None:
        self.span = span
        self._known: dict[UUID, _Known | None] = {}

    def read(self, connection: Connection, accepts: Sequence[Source] = TRUSTED) -> list[Served]:
        """Newest first; answers that no policy would have audited are left out.

        A label of a source that is not accepted counts as one that never came.
        """
        pending = connection.execute(SQL["first_unresolved"]).fetchone()
        until = {"at": None, "id": None} if pending is None else key_of(pending)._asdict()
        asked = until | {"limit": self.span, "accepts": list(accepts)}
        rows = connection.execute(SQL["served_window"], asked).fetchall()
        self._predict(connection, rows)
        return [
            Served(row["decision_id"], row["probability"], row["value"], *known)
            for row in rows
            if (known := self._known[row["decision_id"]]) is not None
        ]

    def _predict(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        missing = [key_of(row) for row in rows if row["decision_id"] not in self._known]
        document = shelf(connection)
        found: dict[UUID, _Known | None] = {}
        for seen in PostgresLog(connection).observations(missing):
            policy = document(seen.policy_version)
            predicted = predict(policy, seen) if policy else None
            if predicted is not None:
                found[seen.decision_id] = _Known(predicted, seen.segment, seen.policy_version)
        known = self._known | found
        self._known = {row["decision_id"]: known.get(row["decision_id"]) for row in rows}
