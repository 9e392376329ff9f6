"""A recording sent through both planes decides, and moves every policy, as its replay in memory.

One query after the other goes to the data plane; its records are shipped, observed and learned
from, shadows answer, a person labels, and each policy that the learner publishes is taken up. From
the replay come the decisions' seeds, and when which label comes: all else must follow.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from controlplane import push, registry, states
from controlplane.audit import labels
from controlplane.audit.tasks import Labeller, Task, Verdict
from controlplane.connection import Connect, connect
from controlplane.cycle import LEARNER, Cycle, School
from controlplane.database import Database
from controlplane.evaluate.replay import EPOCH, Delay, Replay, Row
from controlplane.leader import Leader
from controlplane.learn.learner import Learner
from controlplane.observations import Observation, Used
from controlplane.observe import MEMORY, DecisionKey, MemoryLog, Source, Watermark
from controlplane.shadow import ShadowJob
from dataplane.app import Parts, create_app
from dataplane.budgets import Budgets
from dataplane.contract.policy import PolicyDocument
from dataplane.features import Features
from dataplane.feed import Connection
from dataplane.guarded_tier import GuardedTier
from dataplane.recorder import Recorder
from dataplane.spool import Spool
from dataplane.strategies import Drawn, State, draw
from dataplane.subscription import Subscription
from dataplane.telemetry import Telemetry
from dataplane.tiers.base import Answer
from dataplane.tiers.fake import FakeTier
from tests.fronts import FixedKeys, chat, served
from tests.unit.controlplane.learn.rows import EASY, HARD, asked
from tests.unit.controlplane.learn.test_learner import SETTINGS, start
from tests.unit.dataplane.policies import pool

WAYS: dict[str, set[tuple[str, ...]]] = {
    "open": {
        ("call:cloud", "reply"),
        ("call:local", "judge", "reply"),
        ("call:local", "judge", "call:cloud", "reply"),
    },
    "closed": {("call:cloud", "reply"), ("call:local", "reply")},
}
EVERY = 25  # queries between turns of the cycle
ALL_LEARNED = replace(SETTINGS, held_out=0.0, floor=0.3)  # ids differ, and say what is held out
ANNA = Labeller("anna", "key")
DECIDED = """
SELECT d.policy_version, d.seed, d.features, c.final_tier, c.cost_usd,
    ARRAY(SELECT s.action FROM steps s WHERE s.at = d.at AND s.decision_id = d.id
        ORDER BY s.index) AS actions,
    (SELECT j.raw FROM judge_scores j WHERE j.at = d.at AND j.decision_id = d.id
        AND EXISTS (SELECT FROM steps s WHERE s.at = d.at AND s.decision_id = d.id
            AND s.action = 'call:local')) AS score,
    ARRAY(SELECT jsonb_build_array(r.kind, r.probability, r.tier) FROM draws r
        WHERE r.at = d.at AND r.decision_id = d.id) AS drawn
FROM decisions d JOIN completions c ON c.at = d.at AND c.decision_id = d.id
ORDER BY d.id
"""


@dataclass(frozen=True, slots=True)
class Decided:
    """All that was decided of one query, and what its answer cost."""

    policy_version: int
    seed: int
    features: dict[str, Any]
    final_tier: str
    cost_usd: float
    actions: tuple[str, ...]
    score: float | None
    drawn: frozenset[Drawn]


@dataclass(frozen=True, slots=True)
class Passed:
    """What came of a recording: decisions, policies, and all that the learner knows."""

    decided: list[Decided]
    policies: list[PolicyDocument]
    learner: str


# -- in memory


@dataclass
class Remembering(MemoryLog):
    """A log in memory that keeps what it was told: queries, and the labels before each turn."""

    seen: list[tuple[Observation, tuple[Drawn, ...]]] = field(default_factory=list)
    labels: list[dict[int, Mapping[str, float]]] = field(default_factory=lambda: [{}])

    def complete(
        self, observation: Observation, drawn: Iterable[Drawn] = (), source: Source = MEMORY
    ) -> None:
        """One more query."""
        fallen = tuple(drawn)
        self.seen.append((observation, fallen))
        super().complete(observation, fallen, source)

    def resolve(
        self, decision_id: UUID, right: Mapping[str, float], score: float | None = None
    ) -> None:
        """One more label."""
        self.labels[-1][decision_id.int] = right
        super().resolve(decision_id, right, score)

    def new(self, watermark: Watermark) -> tuple[list[Observation], Watermark]:
        """What is told from here on is of the next turn."""
        self.labels.append({})
        return super().new(watermark)


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Those that a replay draws; the gateway then draws the same."""
    drawn: list[int] = []

    def noted(
        policy: PolicyDocument, segment: str, features: Features, state: State, seed: int
    ) -> tuple[Drawn, ...]:
        drawn.append(seed)
        return draw(policy, segment, features, state, seed)

    left = iter(drawn)
    monkeypatch.setattr("controlplane.evaluate.replay.draw", noted)
    monkeypatch.setattr("dataplane.trail.randbits", lambda _bits: next(left))
    return drawn


def replayed(
    first: PolicyDocument, rows: Sequence[Row], log: Remembering, seeds: Sequence[int]
) -> Passed:
    learner, delay = fresh(first), Delay(5, 50, silent=0.1)
    replay = Replay(first, learner, seed=4, delay=delay, every=EVERY, log=log, gated=True)
    ways = [(*each.actions, "reply") for each in replay.run(rows)]
    decided = [
        Decided(
            policy_version=seen.policy_version,
            seed=seed,
            features=seen.features.compact(),
            final_tier=seen.served,
            cost_usd=seen.cost_usd,
            actions=actions,
            score=seen.score,
            drawn=frozenset(drawn),
        )
        for (seen, drawn), seed, actions in zip(log.seen, seeds, ways, strict=True)
    ]
    return Passed(decided, replay.policies, learner.to_json())


def fresh(first: PolicyDocument) -> Learner:
    return Learner(tuple(tier.name for tier in first.tiers), ALL_LEARNED)


# -- through both planes


class RecordedTier(FakeTier):
    """As sure of its answers as it was when they were recorded."""

    def __init__(self, name: str, scores: Sequence[float | None]) -> None:
        super().__init__(name, [name], logprob=None)
        self._scores = scores

    async def complete(self, request: Mapping[str, Any], deadline: float) -> Answer:
        """Its name; `request` says of which query."""
        answer = await super().complete(request, deadline)
        score = self._scores[request["recorded"]]
        return replace(answer, logprobs=None if score is None else (score,))


@dataclass
class Planes:
    """Both planes, a labeller who leases all there is, and what was asked by number."""

    client: httpx.Client
    recorder: Recorder
    subscription: Subscription
    subscribed: Connection
    store: Connect
    cycle: Cycle
    asked: dict[UUID, int] = field(default_factory=dict)
    leased: dict[int, Task] = field(default_factory=dict)

    def ask(self, number: int, prompt: str) -> None:
        """A client's query."""
        body = chat(prompt, recorded=number)
        response = self.client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        self.asked[UUID(response.headers["x-penstock-decision-id"])] = number

    def turn(self, told: Mapping[int, Mapping[str, float]]) -> None:
        """Labels come, the learner learns, its policy is taken up, and the drawn are shadowed."""
        self._ship()
        for number, right in told.items():
            self._submit(self.leased.pop(number), right)
        self.cycle.run(EPOCH + timedelta(seconds=len(self.asked)))
        self.subscription.refresh(self.subscribed)
        endings = ShadowJob(self.store, self.client).run(datetime.now(UTC))
        assert endings.keys() <= {"done"}
        self._ship()
        self._lease()

    def _ship(self) -> None:
        assert asyncio.run(self.recorder.drain(30.0))

    def _submit(self, task: Task, right: Mapping[str, float]) -> None:
        verdicts = [Verdict(answer.key, right.get(answer.text)) for answer in task.answers]
        key = DecisionKey(task.at, task.decision_id)
        with self.store() as connection:
            labels.submit(connection, ANNA, key, verdicts, datetime.now(UTC))

    def _lease(self) -> None:
        with self.store() as connection:
            found = labels.lease(connection, ANNA, EVERY, datetime.now(UTC), labels.Terms())
        self.leased |= {self.asked[task.decision_id]: task for task in found}

    def passed(self) -> Passed:
        """What the tables say."""
        with self.store() as connection:
            decided = [_decided(row) for row in connection.execute(DECIDED)]
            versions = [each.version for each in registry.versions(connection)]
            policies = [registry.load(connection, version) for version in reversed(versions)]
            learner = states.load(connection, LEARNER)
        assert learner is not None
        return Passed(decided, policies, learner)


def _decided(row: dict[str, Any]) -> Decided:
    drawn = frozenset(Drawn(*each) for each in row["drawn"])
    return Decided(**row | {"actions": tuple(row["actions"]), "drawn": drawn})


@contextmanager
def planes(
    database: Database, directory: Path, first: PolicyDocument, rows: Sequence[Row]
) -> Iterator[Planes]:
    """Both planes in this process on one database, their first policy published."""
    local = RecordedTier("local", [row.score for row in rows])
    tiers = {
        tier.name: GuardedTier(tier, timeout_s=10.0)
        for tier in (local, *(FakeTier(t.name, [t.name], logprob=None) for t in first.dear))
    }
    school = School(lambda: fresh(first), lambda text: Learner.from_json(text, ALL_LEARNED))
    url = database.url_for("penstock_dataplane")
    store = partial(connect, database.url_for("penstock_controlplane"))
    spool = Spool(directory / "spool")
    recorder = Recorder(spool, url)
    subscription = Subscription(
        directory / "policy.json", plane=spool.plane, tiers=tiers, start=first
    )
    parts = Parts(tiers, subscription, recorder, FixedKeys(), Telemetry(), Budgets(), dict)
    with store() as connection:
        push.publish(connection, first)
    with ExitStack() as stack:
        stack.callback(lambda: asyncio.run(recorder.stop()))
        asyncio.run(_started(recorder, tiers.values()))
        base_url = stack.enter_context(served(create_app(parts)))
        headers = {"authorization": "Bearer all"}
        client = httpx.Client(base_url=base_url, headers=headers, trust_env=False)
        leader = stack.enter_context(Leader(database.url_for("penstock_controlplane")))
        assert leader.leads()
        yield Planes(
            stack.enter_context(client),
            recorder,
            subscription,
            stack.enter_context(psycopg.connect(url, autocommit=True, row_factory=dict_row)),
            store,
            Cycle(store, leader, school),
        )


async def _started(recorder: Recorder, tiers: Iterable[GuardedTier]) -> None:
    for guarded in tiers:
        await guarded.tier.start()
    await recorder.start()


def priced(row: Row, first: PolicyDocument) -> Row:
    """At what the tiers will charge for their answers; those between are wrong where local is."""
    used = tuple(Used(1, len(tier.name)) for tier in first.tiers)
    usd = tuple(tier.cost_usd(*each) for tier, each in zip(first.tiers, used, strict=True))
    (right, best), between = row.worth, len(first.tiers) - 2
    return replace(row, worth=(right, *[right] * between, best), usd=usd, used=used)


@pytest.mark.parametrize(
    ("tiers", "trust"),
    [pytest.param(2, "open", marks=pytest.mark.slow), (3, "open"), (2, "closed")],
)
def test_a_recording_decides_alike_through_the_gateway_and_in_memory(
    database: Database, tmp_path: Path, seeds: list[int], tiers: int, trust: str
) -> None:
    first = untrained(tiers, trust)
    recording = [(prompt, priced(row, first)) for prompt, row in asked(8, 450, EASY, HARD)]
    rows = [row for _, row in recording]
    log = Remembering()
    expected = replayed(first, rows, log, seeds)
    with planes(database, tmp_path, first, rows) as running:
        for number, (prompt, _) in enumerate(recording):
            running.ask(number, prompt)
            if (number + 1) % EVERY == 0:
                running.turn(log.labels[number // EVERY])
        found = running.passed()
    assert found.decided == expected.decided
    assert found.policies == expected.policies
    assert found.learner == expected.learner
    assert len(found.policies) >= 3
    names = {tier.name for tier in first.tiers}
    assert {fallen.tier for each in found.decided for fallen in each.drawn} == {None, *names}
    assert WAYS[trust] <= {each.actions for each in found.decided}
    tried = {each.actions for each in found.decided if each.score is not None}
    assert (("call:local", "reply") in tried) is (trust == "closed")


def untrained(tiers: int, trust: str) -> PolicyDocument:
    """Always-cloud."""
    two = start()
    return pool(
        tiers,
        segment={"mode": "always_cloud", "lambda_": 0.0, "trust": trust},
        estimators=two.estimators[:1] * tiers,
        objective=two.objective,
        audit=two.audit.replaced(held_out=0.0),
        shadow=two.shadow,
    )
