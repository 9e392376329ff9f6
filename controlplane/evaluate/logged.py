"""Logged queries for other policies to be tried on: what was seen of each, with which chance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.connection import Connection
from controlplane.explain import shelf
from controlplane.observations import Labelled, Observation
from controlplane.observe import PostgresLog, key_of
from controlplane.sql import SQL
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Source
from dataplane.strategies import probability
from dataplane.strategies.draws import on_trial


@dataclass(frozen=True, slots=True)
class Logged:
    """An answered query, the ``policy`` that served it, and the ``seed`` it was decided by.

    ``query`` has the chances of its draws whether they fell or not, and no label where none came.
    ``drawn`` and ``shadowed``: whether they fell. ``barred``: tiers that could not have answered,
    and ``judge`` where nothing could judge.
    """

    query: Labelled
    policy: PolicyDocument
    seed: int = 0
    barred: frozenset[str] = frozenset()
    drawn: bool = False
    shadowed: bool = False

    @property
    def seen(self) -> Observation:
        """The query as serving left it."""
        return self.query.observation

    @property
    def served_score(self) -> float | None:
        """The score that it was served by: one that a draw brought to light is none."""
        judges = self.policy.segment(self.seen.segment).judges
        return self.seen.score if judges and self.policy.local.name in self.seen.answered else None

    @property
    def score_chance(self) -> float:
        """With which its local answer came to have a score, served or shadowed."""
        if self.served_score is not None:
            return 1.0
        answered = self.policy.local.name in self.seen.answered
        never = answered and not on_trial(self.policy.segment(self.seen.segment))
        return 0.0 if never else self.query.shadow_probability

    def label_chance(self, tier: str) -> float:
        """With which its label of that tier's answer was asked for; 0 of a tier not known then."""
        known = tier in self.seen.answered or any(tier == each.name for each in self.policy.tiers)
        return self.query.probability(tier) if known else 0.0


def read(connection: Connection, last: int, accepts: Sequence[Source]) -> list[Logged]:
    """The last so many answered queries before the first unresolved draw, by decision id.

    Labels of sources that are not accepted count as never come; queries whose policy was never kept
    are left out. Nothing is written.
    """
    pending = connection.execute(SQL["first_unresolved"]).fetchone()
    until = {"at": None, "id": None} if pending is None else key_of(pending)._asdict()
    asked = until | {"limit": last, "accepts": list(accepts)}
    rows = connection.execute(SQL["logged_window"], asked).fetchall()
    return list(_joined(connection, rows))


def _joined(connection: Connection, rows: Sequence[dict[str, Any]]) -> Iterator[Logged]:
    document, by_id = shelf(connection), {row["decision_id"]: row for row in rows}
    for seen in PostgresLog(connection).observations([key_of(row) for row in rows]):
        policy = document(seen.policy_version)
        if policy is not None:
            yield logged(seen, policy, by_id[seen.decision_id])


def logged(seen: Observation, policy: PolicyDocument, row: dict[str, Any]) -> Logged:
    """One of them; a draw that did not fall has the chance that its policy gave it."""
    unlabelled = Logged(Labelled(seen, {}, 0.0, 0.0), policy)
    draws = policy.audit.of(policy.segment(seen.segment).name)
    audit, shadow = row["audit"], row["shadow"]
    if audit is None and draws is not None:
        audit = probability(policy, draws, seen.features, unlabelled.served_score)
    return Logged(
        Labelled(
            seen,
            row["labels"] or {},
            audit or 0.0,
            policy.shadow.rate if shadow is None else shadow,
        ),
        policy,
        row["seed"],
        frozenset(row["barred"]),
        drawn=row["audit"] is not None,
        shadowed=shadow is not None,
    )
