"""One run of the learning benchmark: a stream served by the product, measured by the frontier.

Streams of recorded queries (``streams``) are served by the product's own cycle and strategies, and
set against the frontier of policies fitted beforehand (``frontier``). Excess is serving cost over
the frontier at the quality that was realised; the total charges shadows too. Labels are counted,
and not charged. A drift begins half way.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np

from controlplane.evaluate.replay import EPOCH, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.prior import NONE, Prior
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.learn.traffic import Traffic
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.sections import Bandit
from dataplane.features import Features
from dataplane.strategies import courses
from tests.benchmarks.frontier import TIERS, Frontier, fitted, frontier, priced, start
from tests.benchmarks.streams import (
    CHEAPER,
    Drift,
    Halves,
    Stream,
    drifted,
    scores,
    stream,
    warm,
)

QUERIES = 20_000
WARM = 300
EVERY = 100  # queries between turns of the cycle
RAW_EVERY = 40  # where each turn is a pull of a bandit that learns of one arm at a time
PROBES = 4_000  # fixed queries of the drifted pool by which a policy is said to have recovered
HOLDS = 500  # queries for which it must stay so
TOLERANCE = 0.02
LABELLED, SHADOWED = 0.07, 0.02  # 5 % audits, and 2 % shadows whose answers are labelled too
MANY_LABELLED = 0.22  # 20 % audits and 2 % shadows
KAPPA = 0.0  # the mean quality is what is compared: no error is kept in hand


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of run."""

    drift: Drift = "none"
    labelled: float = LABELLED
    cold: bool = False
    bandit: Bandit = "policy_family"


SCENARIOS = {
    "stationary": Scenario(),
    "local_drift": Scenario("local"),
    "judge_drift": Scenario("judge"),
    "mix_drift": Scenario("mix"),
    "price_drift": Scenario("price"),
    "local_drift_audit20": Scenario("local", MANY_LABELLED),
    "judge_drift_audit20": Scenario("judge", MANY_LABELLED),
    "cold": Scenario(cold=True),
}


@dataclass(frozen=True, slots=True)
class Window:
    """Half a run: excess, total over the optimum at the target, quality less the target.

    ``cost``: of serving and shadowing a query, in mean cloud calls.
    """

    excess: float
    total: float
    error: float
    cost: float

    @property
    def shortfall(self) -> float:
        """Wrong answers beyond the target, per 10,000 queries."""
        return max(0.0, -self.error) * 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to.

    ``recovered``: queries of its second half until the policy held the tolerance; ``outside``: the
    share of them that a policy served which did not.
    """

    windows: tuple[Window, Window]
    recovered: int
    outside: float
    labels: int
    alarms: int
    state_bytes: int

    @classmethod
    def restored(cls, plain: dict[str, Any]) -> "Outcome":
        """Inverse of ``dataclasses.asdict``."""
        first, second = (Window(**each) for each in plain["windows"])
        return cls(**plain | {"windows": (first, second)})


class Once(QualityPredictor):
    """Learns of a prompt once: a stream drawn with replacement must not teach p_hat its answers."""

    def __init__(self, labels: int = 0) -> None:
        super().__init__(labels)
        self._seen: set[Features] = set()

    def learn(self, features: Features, right: float, usual: Array) -> None:
        """One label, unless the prompt had one before."""
        if features not in self._seen:
            self._seen.add(features)
            super().learn(features, right, usual)


def settings(scenario: Scenario) -> LearnerSettings:
    """The product's defaults, at the draws of the scenario."""
    rates = DrawRates(scenario.labelled, SHADOWED)
    alarmed = DrawRates(max(scenario.labelled, 0.10), 0.10)
    cold = DrawRates(0.2, 0.2) if scenario.cold else rates
    usual = scenario.bandit == "policy_family"
    return replace(
        LearnerSettings(),
        bandit=scenario.bandit,
        kappa=KAPPA,
        min_decisions=200 if usual else RAW_EVERY,
        min_news=200 if usual else RAW_EVERY,
        cold=cold,
        steady=rates,
        alarmed=alarmed,
    )


def learner(prior: Prior, chosen: LearnerSettings) -> Learner:
    """A learner that is taught by the prior, and by each prompt once."""
    made = Learner(TIERS, chosen, prior)
    made.quality = [Once.restore(each) for each in made.prior.predictors]
    return made


def begin(parts: Halves, scenario: Scenario, seed: int) -> Replay:
    """A replay whose learner has its prior and its warm labels, or neither."""
    chosen = settings(scenario)
    first = start(parts.target_under(scenario.drift), chosen.cold.audit, chosen.cold.shadow)
    made = learner(NONE if scenario.cold else parts.prior, chosen)
    live = first
    if not scenario.cold:
        _warm_up(made, warm(parts, seed, WARM), chosen)
        live = made.propose(first, EPOCH) or first
    every = EVERY if scenario.bandit == "policy_family" else RAW_EVERY
    return Replay(live, made, seed=seed, every=every)


def _warm_up(made: Learner, rows: Sequence[Row], chosen: LearnerSettings) -> None:
    """As if each had been answered by both tiers, and both answers labelled."""
    seen = [
        Observation(
            UUID(int=10**9 + at), EPOCH, "default", 1, row.features, TIERS, TIERS[1], row.score, 0.0
        )
        for at, row in enumerate(rows)
    ]
    made.observe(seen)
    rates = chosen.steady.audit, chosen.steady.shadow
    made.learn(
        [
            Labelled(each, dict(zip(TIERS, row.worth, strict=True)), *rates)
            for each, row in zip(seen, rows, strict=True)
        ]
    )


def run(parts: Halves, scenario: Scenario, seed: int, queries: int = QUERIES) -> Outcome:
    """One stream, served and measured."""
    drawn, middle = stream(parts, seed, queries, scenario.drift), queries // 2
    replay, served = serve(parts, scenario, seed, drawn)
    assert replay.learner is not None
    held = _held(parts, scenario.drift, seed, replay, served[middle:])
    return Outcome(
        windows=windows(parts, scenario.drift, Paid.of(served), drawn.rows),
        recovered=recovered(held),
        outside=1 - sum(held) / len(held),
        labels=sum(each.labels for each in served),
        alarms=len(replay.alarms),
        state_bytes=len(replay.learner.to_json()),
    )


def serve(
    parts: Halves, scenario: Scenario, seed: int, drawn: Stream
) -> tuple[Replay, list[Served]]:
    """Serve a stream; where the price falls half way, the operator says so."""
    replay, served = begin(parts, scenario, seed), list[Served]()
    for each in replay.run(drawn.rows):
        served.append(each)
        if scenario.drift == "price" and len(served) == len(drawn.rows) // 2:
            replay.policies.append(_repriced(replay.live))
    return replay, served


def _repriced(live: PolicyDocument) -> PolicyDocument:
    local, cloud = live.tiers
    return live.model_copy(
        update={
            "version": live.version + 1,
            "parent": live.version,
            "kind": "proposal",
            "author": "operator",
            "tiers": (local, priced(cloud.name, CHEAPER)),
            "cost_unit_usd": CHEAPER,
        }
    ).rederived()


@dataclass(frozen=True, slots=True, eq=False)
class Paid:
    """What queries came to, (N,) each: worth of the served answer, cost of serving, of shadows."""

    quality: Array
    cost: Array
    shadow: Array

    @classmethod
    def of(cls, served: Sequence[Served]) -> "Paid":
        """Of queries that the product served."""
        columns = [(each.quality, each.cost_usd, each.shadow_usd) for each in served]
        return cls(*np.array(columns).T)


def windows(parts: Halves, drift: Drift, paid: Paid, rows: Sequence[Row]) -> tuple[Window, Window]:
    """Both halves of a stream, each against its own frontier."""
    target, middle = parts.target_under(drift), len(rows) // 2
    first, second = (
        _window(target, paid, part, frontier(fitted_once(parts, now), rows[part]))
        for part, now in ((slice(0, middle), "none"), (slice(middle, None), drift))
    )
    return first, second


@cache
def fitted_once(parts: Halves, drift: Drift) -> PolicyDocument:
    """The frontier's document, which no seed changes."""
    return fitted(parts, drift)


def _window(target: float, paid: Paid, part: slice, best: Frontier) -> Window:
    quality, cost, shadow = (
        float(column[part].mean()) for column in (paid.quality, paid.cost, paid.shadow)
    )
    return Window(
        excess=cost / best.cost_at(quality) - 1,
        total=(cost + shadow) / best.cost_at(target),
        error=quality - target,
        cost=cost + shadow,
    )


def _held(
    parts: Halves, drift: Drift, seed: int, replay: Replay, served: Sequence[Served]
) -> list[bool]:
    """Of each query, whether the policy that served it is within the tolerance.

    By the policy's quality on fixed queries of the drifted pool.
    """
    judged = Probes.drawn(parts, drift, seed)
    floor = parts.target_under(drift) - TOLERANCE
    documents = {policy.version: policy for policy in replay.policies}
    good = {
        version: judged.quality(documents[version]) >= floor
        for version in {each.policy_version for each in served}
    }
    return [good[each.policy_version] for each in served]


def recovered(held: Sequence[bool]) -> int:
    """Queries until the live policy is within the tolerance, and stays so for ``HOLDS`` of them.

    All of them: it never came to that. What it leaves the tolerance by later is no matter of the
    drift: labels leave an error of 1.5 points, so without any drift it does that too.
    """
    return next((at for at in range(len(held)) if all(held[at : at + HOLDS])), len(held))


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Fixed queries of a drifted pool: their columns, and what either answer is worth (N,)."""

    traffic: Traffic
    local: Array
    cloud: Array

    @classmethod
    def drawn(cls, parts: Halves, drift: Drift, seed: int) -> "Probes":
        """Drawn by the seed, as the stream's were."""
        rng = np.random.default_rng([seed, 11])
        pool = drifted(parts.served, drift, seed).at(parts.drawn(PROBES, drift, rng))
        traffic = Traffic(PROBES, sys.maxsize)
        for features, score in zip(pool.features, scores(pool.local, drift, rng), strict=True):
            traffic.append(features, float(score))
        return cls(traffic, pool.local, pool.cloud)

    def quality(self, document: PolicyDocument) -> float:
        """Share right if this policy served them."""
        queries = self.traffic.columns(document.estimators)
        way = courses(document, document.segments[0], queries)
        return float(np.where(way.to_dear, self.cloud, self.local).mean())
