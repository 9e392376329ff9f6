"""A replay through the tables moves every policy as one in memory does."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

import psycopg

from controlplane.connection import connect
from controlplane.database import Database
from controlplane.evaluate.replay import Delay, Replay, ReplayLog, Served
from controlplane.learn.learner import Learner
from controlplane.observations import Labelled, Observation, Place
from controlplane.observe import PostgresLog, Watermark
from dataplane.contract.records import millisecond
from dataplane.strategies import Drawn
from tests.traffic import PostgresTraffic, decision_id
from tests.unit.controlplane.learn.rows import EASY, HARD, rows
from tests.unit.controlplane.learn.test_learner import SETTINGS, TIERS, start


@dataclass
class Tables:
    """A replay's log in Postgres. A replay counts its queries; there their ids are dated ones."""

    database: Database
    traffic: PostgresTraffic = field(init=False)
    _replayed: dict[UUID, Observation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.traffic = PostgresTraffic(self.database.url)

    def complete(self, observation: Observation, drawn: Iterable[Drawn] = ()) -> None:
        """As the recorder ships it."""
        dated = _dated(observation)
        self._replayed[dated.decision_id] = observation
        self.traffic.complete(dated, drawn)

    @property
    def pending(self) -> Collection[UUID]:
        """By the labels' tasks."""
        with psycopg.connect(self.database.url) as connection:
            found = connection.execute("SELECT decision_id FROM label_tasks WHERE status='pending'")
            return {self._replayed[id_].decision_id for (id_,) in found}

    def resolve(
        self, decision_id: UUID, right: Mapping[str, float], score: float | None = None
    ) -> None:
        """By outcomes, and the score of a shadow."""
        (mine,) = (o for o in self._replayed.values() if o.decision_id == decision_id)
        self.traffic.resolve(_dated(mine), right, None if mine.score is not None else score)

    def new(self, watermark: Watermark) -> tuple[list[Observation], Watermark]:
        """As the control plane's role reads it."""
        with connect(self.database.url_for("penstock_controlplane")) as connection:
            found, reached = PostgresLog(connection).new(watermark)
        return [self._back(each) for each in found], reached

    def labelled(self) -> list[Labelled]:
        """As the control plane's role reads it."""
        with connect(self.database.url_for("penstock_controlplane")) as connection:
            found = PostgresLog(connection).labelled()
        return [replace(each, observation=self._back(each.observation)) for each in found]

    def in_order(self, after: Place) -> tuple[list[Labelled], Place]:
        """As the control plane's role reads it."""
        with connect(self.database.url_for("penstock_controlplane")) as connection:
            found, reached = PostgresLog(connection).in_order(after)
        return [replace(each, observation=self._back(each.observation)) for each in found], reached

    def _back(self, dated: Observation) -> Observation:
        mine = self._replayed[dated.decision_id]
        return replace(dated, decision_id=mine.decision_id, at=mine.at)


def _dated(observation: Observation) -> Observation:
    id_ = decision_id(observation.decision_id.int)
    return replace(observation, decision_id=id_, at=millisecond(id_))


def replayed(log: ReplayLog | None) -> tuple[Replay, list[Served]]:
    learner, late = Learner(TIERS, SETTINGS), Delay(5, 50, silent=0.1)
    replay = Replay(
        start(trust="closed"), learner, seed=4, delay=late, every=25, log=log, gated=True
    )
    return replay, list(replay.run(rows(8, 450, EASY, HARD)))


def test_the_tables_lead_to_the_same_decisions_as_memory(database: Database) -> None:
    plain, served = replayed(None)
    stored, again = replayed(Tables(database))
    assert again == served
    assert stored.policies == plain.policies
    assert len(plain.policies) >= 3
    assert plain.learner is not None
    assert stored.learner is not None
    assert stored.learner.to_json() == plain.learner.to_json()
    assert stored.trust is not None
    assert plain.trust is not None
    assert stored.trust.trials == plain.trust.trials
    assert any(trial.queries for trial in plain.trust.trials.values())
