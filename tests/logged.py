"""Logs of queries whose truth is known: served by the real strategies, drawn by the real draws."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.evaluate.logged import Logged, logged
from controlplane.observations import Observation, Used
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import LinearEstimator
from dataplane.features import Features, of_text
from dataplane.strategies import JUDGE, REPLY, State, choose, consider, draw
from dataplane.strategies.draws import on_trial
from dataplane.strategies.seeded import uniform
from tests.traffic import query

WORDS = [
    "absolute", "borrow", "channel", "distance", "element", "function", "gravity", "history",
    "integral", "journey", "kinetic", "language", "molecule", "negative", "operator", "polygon",
    "quotient", "radius", "sequence", "triangle", "universe", "vector", "weather", "yesterday",
    "zoology",
]  # fmt: skip
BUCKETS = sorted({bucket for word in WORDS for bucket in of_text(word).buckets})
USED = {"local": Used(30, 12), "dear1": Used(30, 20), "cloud": Used(31, 17)}


@dataclass(frozen=True, slots=True)
class Truth:
    """What each tier's answer is worth, and the judge's score of the local one."""

    right: Mapping[str, float]
    score: float


def truths(seed: int, count: int, tiers: Sequence[str] = ("local", "cloud")) -> list[Truth]:
    """The local tier is right of seven in ten, others of nine; right answers score higher."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        right = {tier: float(rng.random() < (0.7 if tier == "local" else 0.9)) for tier in tiers}
        found.append(Truth(right, -rng.expovariate(4.0 if right["local"] else 1.0)))
    return found


def estimator(mean: float, spread: float, salt: str) -> LinearEstimator:
    """One whose p_hat differs from query to query."""
    weights = tuple(spread * (2 * uniform(bucket, salt) - 1) for bucket in BUCKETS)
    return LinearEstimator(intercept=mean, buckets=tuple(BUCKETS), weights=weights)


def asked(number: int) -> Features:
    """What the query of that number asks: a few words."""
    return of_text(" ".join(random.Random(number).sample(WORDS, 5)))


def serve(
    policy: PolicyDocument, number: int, truth: Truth, *, barred: Sequence[str] = (), seed: int = 0
) -> Logged:
    """One query, decided step by step, with the draws that fell and the labels that they brought.

    ``seed`` is that of the log: each query has its own from it.
    """
    features, own = asked(number), _own(number, seed)
    names = {tier.name for tier in policy.tiers}
    context = consider(policy, features, "default", (names | {JUDGE}) - set(barred))
    state, judged = State(), False
    while (action := choose(context, state, own).action) != REPLY:
        judged |= action == JUDGE
        answered = state.answered if action == JUDGE else (*state.answered, action[len("call:") :])
        state = State(answered, truth.score if judged else None)
    cost = sum(t.cost_usd(*USED[t.name]) for t in policy.tiers if t.name in state.answered)
    served = replace(
        query(number, policy_version=policy.version),
        features=features,
        answered=state.answered,
        served=state.answered[-1],
        score=state.score,
        cost_usd=cost + judged * policy.judge.cost_usd,
        excluded=frozenset(barred) - {JUDGE},
    )
    return _drawn(policy, served, truth, barred, own)


def serve_all(policy: PolicyDocument, known: Sequence[Truth]) -> list[Logged]:
    """All of them."""
    return [serve(policy, number, truth) for number, truth in enumerate(known)]


def redrawn(log: Sequence[Logged], known: Sequence[Truth], seed: int) -> list[Logged]:
    """The same log, had the draws fallen otherwise; serving has to be certain."""
    return [
        _drawn(
            each.policy,
            replace(each.seen, score=each.served_score),
            truth,
            sorted(each.barred),
            _own(number, seed),
        )
        for number, (each, truth) in enumerate(zip(log, known, strict=True))
    ]


def _own(number: int, seed: int) -> int:
    return int(uniform(number, f"log {seed}") * 2**60)


def _drawn(
    policy: PolicyDocument, served: Observation, truth: Truth, barred: Sequence[str], seed: int
) -> Logged:
    """With the draws of this seed."""
    state = State(served.answered, served.score)
    chance = {d.kind: d.probability for d in draw(policy, "default", served.features, state, seed)}
    tried = "local" not in served.answered or on_trial(policy.segments[0])
    names = [tier.name for tier in policy.tiers]
    told = names if "shadow" in chance else list(served.answered)
    seen = replace(
        served,
        score=truth.score if "shadow" in chance and tried else served.score,
        used={tier: USED[tier] for tier in told},
    )
    row = {
        "seed": seed,
        "barred": list(barred),
        "audit": chance.get("audit"),
        "shadow": chance.get("shadow"),
        "labels": {tier: truth.right[tier] for tier in told} if "audit" in chance else None,
    }
    return logged(seen, policy, row)
