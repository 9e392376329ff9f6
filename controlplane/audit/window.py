"""The served answers of the audit's window, read from the tables, with their predictions."""

from collections.abc import Sequence
from typing import Any
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


class Window:
    """The latest ``span`` answers before the first unresolved draw.

    A prediction never changes, so it is computed once and kept while its answer is in the window;
    after a restart the kept ones are computed again.
    """

    def __init__(self, span: int = SPAN) -> None:
        self._span = span
        self._predicted: dict[UUID, float | None] = {}

    def read(self, connection: Connection, accepts: Sequence[Source] = TRUSTED) -> list[Served]:
        """Newest first; answers that no policy would have audited are left out.

        A label of a source that is not accepted counts as one that never came.
        """
        pending = connection.execute(SQL["first_unresolved"]).fetchone()
        until = {"at": None, "id": None} if pending is None else key_of(pending)._asdict()
        asked = until | {"limit": self._span, "accepts": list(accepts)}
        rows = connection.execute(SQL["served_window"], asked).fetchall()
        self._predict(connection, rows)
        return [
            Served(row["decision_id"], row["probability"], row["value"], predicted)
            for row in rows
            if (predicted := self._predicted[row["decision_id"]]) is not None
        ]

    def _predict(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        missing = [key_of(row) for row in rows if row["decision_id"] not in self._predicted]
        document = shelf(connection)
        found: dict[UUID, float | None] = {}
        for observation in PostgresLog(connection).observations(missing):
            policy = document(observation.policy_version)
            found[observation.decision_id] = predict(policy, observation) if policy else None
        known = self._predicted | found
        self._predicted = {row["decision_id"]: known.get(row["decision_id"]) for row in rows}
