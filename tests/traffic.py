"""Queries that were served, as the data plane would have recorded and shipped them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from controlplane.observations import Observation, Used
from controlplane.observe import MEMORY, MemoryLog, Source
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import (
    Attempt,
    Completion,
    Decision,
    Draw,
    JudgeScore,
    Outcome,
    Record,
    Step,
    StepState,
    Text,
    millisecond,
    outcome_id,
)
from dataplane.features import FEATURE_VERSION, of_text
from dataplane.strategies import JUDGE, REPLY, Drawn, State, choose, consider

EPOCH_MS = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
OPTIONS = '{"temperature": 0}'
PROMPT = '[{"role": "user", "content": "3 + 4 ="}]'
Status: TypeAlias = Literal["ok", "error", "aborted"]

AUDIT = Drawn("audit", 0.1)


def decision_id(number: int) -> UUID:
    """The id of the query of that number: a UUIDv7, ten of them a second."""
    return UUID(int=(EPOCH_MS + 100 * number) << 80 | 0x7 << 76 | 0x2 << 62 | number)


def query(
    number: int,
    *,
    answered: Sequence[str] = ("local",),
    score: float | None = None,
    cost_usd: float = 0.001,
    policy_version: int = 1,
    excluded: Sequence[str] = (),
) -> Observation:
    """One answered query; the last tier to answer served it."""
    id_ = decision_id(number)
    return Observation(
        decision_id=id_,
        at=millisecond(id_),
        segment="default",
        policy_version=policy_version,
        features=of_text(f"query {number} of {number % 7}"),
        answered=tuple(answered),
        served=answered[-1],
        score=score,
        cost_usd=cost_usd,
        excluded=frozenset(excluded),
        used=dict.fromkeys(answered, Used(10, 2)),
        models={tier: f"{tier}-model" for tier in answered},
    )


def records(
    observation: Observation, drawn: Iterable[Drawn] = (), status: Status = "ok"
) -> list[Record]:
    """What the data plane would have written of it."""
    child = {"decision_id": observation.decision_id, "at": observation.at}
    tiers = [tier for tier in ("local", "cloud") if tier not in observation.excluded]
    found: list[Record] = [_decision(observation, (*tiers, JUDGE))]
    found += [
        Attempt(
            **child,
            index=index,
            tier=tier,
            model=f"{tier}-model",
            purpose="serve",
            **observation.used[tier]._asdict(),
            tokens_exact=True,
            cost_usd=observation.cost_usd / len(observation.answered),
            latency_ms=5.0,
            finish="stop",
        )
        for index, tier in enumerate(observation.answered)
    ]
    if observation.score is not None:
        found.append(judged(observation, observation.score, "serve"))
    found.append(
        Completion(
            **child,
            final_tier=observation.served if status == "ok" else None,
            escalated=len(observation.answered) > 1,
            cost_usd=observation.cost_usd,
            latency_ms=12.0,
            overhead_ms=1.0,
            status=status,
        )
    )
    fallen = list(drawn)
    found += [Draw(**child, **asdict(one)) for one in fallen]
    if fallen:
        found.append(Text(**child, key="prompt", body=PROMPT))
        found.append(Text(**child, key="options", body=OPTIONS))
        found += [answer(observation, tier) for tier in observation.answered]
    return found


def decided(number: int, policy: PolicyDocument, score: float, seed: int) -> list[Record]:
    """A query decided by the real strategies, step by step, as the gateway logs it."""
    seen = query(number, policy_version=policy.version)
    eligible = ("local", "cloud", JUDGE)
    context = consider(policy, seen.features, seen.segment, eligible)
    state = State()
    steps: list[Step] = []
    while not steps or steps[-1].action != REPLY:
        choice = choose(context, state, seed)
        known = StepState(
            answered=state.answered, score=state.score, judged=state.score is not None
        )
        steps.append(
            Step(
                decision_id=seen.decision_id,
                at=seen.at,
                index=len(steps),
                state=known,
                pmf=choice.pmf,
                action=choice.action,
                propensity=choice.propensity,
                threshold=choice.threshold,
                values=choice.values,
            )
        )
        if choice.action == JUDGE:
            state = State(state.answered, score)
        elif choice.action != REPLY:
            state = State((*state.answered, choice.action.removeprefix("call:")), state.score)
    return [_decision(seen, eligible, seed), *steps]


def _decision(observation: Observation, eligible: tuple[str, ...], seed: int = 7) -> Decision:
    silent = [tier for tier in ("local", "cloud") if tier not in eligible]
    return Decision(
        id=observation.decision_id,
        at=observation.at,
        tenant="tests",
        request_id=f"request-{observation.decision_id}",
        policy_version=observation.policy_version,
        feature_version=FEATURE_VERSION,
        features=observation.features.compact(),
        segment=observation.segment,
        eligible=eligible,
        excluded=dict.fromkeys(silent, "pinned by the request"),
        seed=seed,
    )


def judged(observation: Observation, raw: float, purpose: Literal["serve", "shadow"]) -> JudgeScore:
    """The judge's grade of the local answer."""
    return JudgeScore(
        decision_id=observation.decision_id,
        at=observation.at,
        index=0,
        purpose=purpose,
        judge="logprob",
        tier="local",
        raw=raw,
        bin=0,
        calibrated=0.5,
    )


def shadow(observation: Observation, tier: str) -> Attempt:
    """A call that the client did not see."""
    return Attempt(
        decision_id=observation.decision_id,
        at=observation.at,
        index=len(observation.answered),
        tier=tier,
        model=f"{tier}-model",
        purpose="shadow",
        **observation.used[tier]._asdict(),
        tokens_exact=True,
        cost_usd=0.0,
        latency_ms=5.0,
        finish="stop",
    )


def answer(observation: Observation, tier: str) -> Text:
    """A tier's answer in words."""
    key = f"answer:{tier}"
    return Text(
        decision_id=observation.decision_id, at=observation.at, key=key, body=f"{tier} says 7"
    )


@dataclass
class Shipping:
    """Ships records as a recorder does: each call is one frame of a spool segment, committed."""

    url: str
    _next: dict[Source, int] = field(default_factory=dict)

    def ship(self, *found: Record, source: Source = MEMORY) -> None:
        """Insert the rows with their source, and the shipment that covers them."""
        offset = self._next.get(source, 0)
        self._next[source] = offset + 1
        with psycopg.connect(self.url) as connection:
            for record in found:
                row = {k: _column(v) for k, v in record.model_dump().items()} | {
                    "plane": source.plane,
                    "spool_segment": source.segment,
                    "offset": offset,
                }
                connection.execute(_insert(record.table, row), row)
            connection.execute(
                "INSERT INTO shipments (plane, segment, first_offset, last_offset, rows)"
                " VALUES (%s, %s, %s, %s, %s)",
                (source.plane, source.segment, offset, offset, len(found)),
            )


def _insert(table: str, row: Mapping[str, Any]) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.Identifier(name) for name in row),
        sql.SQL(", ").join(sql.Placeholder(name) for name in row),
    )


def _column(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(value)
    return list(value) if isinstance(value, tuple) else value


@dataclass
class MemoryTraffic:
    """Drives a ``MemoryLog``."""

    log: MemoryLog = field(default_factory=MemoryLog)

    def complete(
        self, observation: Observation, drawn: Iterable[Drawn] = (), source: Source = MEMORY
    ) -> None:
        """One more answered query."""
        self.log.complete(observation, drawn, source)

    def resolve(
        self, observation: Observation, right: Mapping[str, float], score: float | None = None
    ) -> None:
        """Its labels came, and the score of its shadow."""
        self.log.resolve(observation.decision_id, right, score)


@dataclass
class PostgresTraffic:
    """Drives the tables behind a ``PostgresLog``, as the owner."""

    url: str
    shipping: Shipping = field(init=False)

    def __post_init__(self) -> None:
        self.shipping = Shipping(self.url)

    def complete(
        self,
        observation: Observation,
        drawn: Iterable[Drawn] = (),
        source: Source = MEMORY,
        status: Status = "ok",
    ) -> None:
        """One more completed query."""
        self.shipping.ship(*records(observation, drawn, status), source=source)

    def resolve(
        self, observation: Observation, right: Mapping[str, float], score: float | None = None
    ) -> None:
        """Its labels came, and the score of its shadow."""
        found: list[Record] = [label(observation, tier, value) for tier, value in right.items()]
        if score is not None:
            found.append(judged(observation, score, "shadow"))
        found += [shadow(observation, tier) for tier in sorted(observation.used)
                  if tier not in observation.answered]  # fmt: skip
        self.shipping.ship(*found)
        with psycopg.connect(self.url) as connection:
            for tier, value in right.items():
                connection.execute(
                    "INSERT INTO labels (at, decision_id, key, value, source, basis)"
                    " VALUES (%s, %s, %s, %s, 'ground_truth', 'single') ON CONFLICT DO NOTHING",
                    (observation.at, observation.decision_id, tier, value),
                )
            updated = connection.execute(
                "UPDATE label_tasks SET status = %s, resolved_at = now()"
                " WHERE decision_id = %s AND status IN ('pending', 'leased')",
                ("labelled" if right else "unsure", observation.decision_id),
            )
        if updated.rowcount != 1:
            raise KeyError(observation.decision_id)


def label(observation: Observation, tier: str, value: float, labeller: str = "anna") -> Outcome:
    """A person's verdict on one answer."""
    return Outcome(
        id=outcome_id(observation.decision_id, tier, "ground_truth", labeller),
        decision_id=observation.decision_id,
        at=observation.at,
        key=tier,
        source="ground_truth",
        value=value,
        labeller=labeller,
        observed_at=datetime(2026, 3, 2, tzinfo=UTC),
    )
