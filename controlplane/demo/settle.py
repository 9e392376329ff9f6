"""The end of a run: all on its way arrives, all labels drawn but those left are resolved."""

import time
from collections.abc import Callable

from controlplane.connection import Connection
from controlplane.demo import ledger
from controlplane.demo.ledger import Counts
from controlplane.launch import Part, PartFailedError

POLL_S = 0.1
DEADLINE_S = 90.0


def settle(
    connection: Connection, verifier: Part, watched: list[Part], decided: int, left: int = 0
) -> Counts:
    """Wait for records, shadows and labels; ``verifier`` is told to hand in all it has but the
    ``left`` newest.

    Raises ``PartFailedError`` for a part that ended, or for what never came.
    """

    def until(what: str, done: Callable[[Counts], bool]) -> Counts:
        return _until(connection, watched, what, done)

    until("records in Postgres", lambda now: now.completions >= decided)
    until("the observer", lambda now: now.observed >= now.completions)
    until("shadow answers", lambda now: now.shadows_awaited == 0)
    verifier.terminate()
    verifier.wait(DEADLINE_S)
    until("labels", lambda now: now.labels_awaited <= left)
    return until("the learner", lambda now: now.labels_to_learn == now.labels_awaited)


def _until(
    connection: Connection, watched: list[Part], what: str, done: Callable[[Counts], bool]
) -> Counts:
    deadline = time.monotonic() + DEADLINE_S
    while not done(counts := ledger.counts(connection)):
        for part in watched:
            part.check()
        if time.monotonic() > deadline:
            raise PartFailedError(f"{what}: not complete within {DEADLINE_S:g} s ({counts})")
        time.sleep(POLL_S)
    return counts
