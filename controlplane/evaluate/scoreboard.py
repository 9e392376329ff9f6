"""Scoreboard: a rehearsal beside one tier, chance and perfect foresight, all with intervals."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from controlplane.evaluate.baselines import (
    Assignment,
    Outcomes,
    category_mean,
    oracle,
    random_mix,
)
from controlplane.evaluate.pairing import Pairs
from controlplane.evaluate.recorded import RecordingError
from controlplane.evaluate.rehearsal import Rehearsal
from controlplane.evaluate.replay import Served
from controlplane.stats.bootstrap import ratios
from dataplane.contract.policy import PolicyDocument
from dataplane.strategies import JUDGE, call

WARM = 3  # the first of so many parts is left out of the late line
SIMULATED = "the order of the queries, and the labels: each is the recorded outcome, at once"


class Line(BaseModel):
    """One way to serve the queries; intervals are bootstrapped over queries, 95 %.

    ``cost_share`` is the cost over that of sending the same queries to the cloud.
    """

    name: str
    quality: float
    quality_interval: tuple[float, float]
    cost_usd: float
    cost_share: float
    cost_share_interval: tuple[float, float]


class Version(BaseModel):
    """A policy that served, and how many queries it decided."""

    version: int
    decisions: int
    mode: str
    routing_threshold: float
    judge_cutoff: float
    reason: str


class Report(BaseModel):
    """Everything that `penstock replay --json` writes; ``shares`` of the answers, by tier."""

    file: str
    sources: tuple[str, ...]
    local: str
    between: tuple[str, ...]
    cloud: str
    judge: str | None
    queries: int
    lacking: int
    contaminated: int
    repeat: int
    shuffled: bool
    seed: int
    audit_rate: float
    shadow_rate: float
    target_quality: float
    tolerance: float
    target_reachable: bool
    penstock: Line
    penstock_late: Line
    baselines: tuple[Line, ...]
    saving_at_equal_quality: float
    labels: int
    serving_cost_usd: float
    judge_cost_usd: float
    shadow_cost_usd: float
    shares: dict[str, float]
    policy_versions: tuple[Version, ...]
    alarms: tuple[str, ...]
    advice: str
    simulated: str = SIMULATED
    seconds: float
    rows_per_s: float


def means(rows: Pairs) -> tuple[float, float]:
    """Quality of always-local and of always-cloud."""
    quality = Outcomes.of(rows.rows).quality.mean(axis=0)
    return float(quality[0]), float(quality[-1])


def report(file: str, rehearsal: Rehearsal) -> Report:
    """The figures of a rehearsal that has run; ``RecordingError`` where the cloud is free."""
    pairs, plan, served = rehearsal.pairs, rehearsal.plan, rehearsal.served
    local, *between, cloud = pairs.tiers
    outcomes = Outcomes.of([pairs.rows[at] for at in rehearsal.order])
    if not outcomes.always(-1).cost_usd.any():
        raise RecordingError(f"{file}: {cloud} costs nothing, so nothing can be saved; "
                             "give --cloud-price")  # fmt: skip
    clusters, mine = np.array(rehearsal.order), _spent(served)
    ways = {"penstock": mine, **_blind(outcomes, between, plan.target)}
    if pairs.categories:
        kinds = np.unique(pairs.categories, return_inverse=True)[1][clusters]
        ways["per-category mean"] = category_mean(outcomes, kinds, plan.target)
    ways["oracle"] = oracle(outcomes, plan.target)
    penstock, *baselines = _lines(ways, outcomes, clusters, plan.seed)
    warm = slice(len(served) // WARM, None)
    (late,) = _lines({"its last two thirds": mine}, outcomes, clusters, plan.seed, warm)
    blind = random_mix(outcomes, penstock.quality).cost_usd.sum()
    reach = max(line.quality for line in baselines if line.name.startswith("always"))
    judge_usd = _judge_usd(rehearsal)
    return Report(
        file=file,
        sources=pairs.sources,
        local=local,
        between=tuple(between),
        cloud=cloud,
        judge=pairs.judge and pairs.judge.name,
        queries=len(served),
        lacking=pairs.lacking,
        contaminated=pairs.contaminated,
        repeat=plan.repeat,
        shuffled=plan.shuffle,
        seed=plan.seed,
        audit_rate=plan.audit,
        shadow_rate=plan.shadow,
        target_quality=plan.target,
        tolerance=plan.tolerance,
        target_reachable=reach >= plan.target,
        penstock=penstock,
        penstock_late=late,
        baselines=tuple(baselines),
        saving_at_equal_quality=float(1 - penstock.cost_usd / blind),
        labels=sum(each.labels for each in served),
        serving_cost_usd=sum(each.cost_usd for each in served) - judge_usd,
        judge_cost_usd=judge_usd,
        shadow_cost_usd=sum(each.shadow_usd for each in served),
        shares=_shares(pairs.tiers, served),
        policy_versions=_versions(rehearsal.replay.policies, served),
        alarms=tuple(rehearsal.replay.alarms),
        advice=rehearsal.advice(),
        seconds=rehearsal.seconds,
        rows_per_s=len(served) / rehearsal.seconds,
    )


def _blind(outcomes: Outcomes, between: Sequence[str], target: float) -> dict[str, Assignment]:
    """What looks at no query: one tier, or a mixture."""
    names = ["local", *(model.rpartition("/")[2] for model in between), "cloud"]
    always = {f"always {name}": outcomes.always(tier) for tier, name in enumerate(names)}
    return {**always, "random mix": random_mix(outcomes, target)}


def _shares(tiers: Sequence[str], served: Sequence[Served]) -> dict[str, float]:
    """The share of the answers that each tier gave."""
    last = Counter(next(a for a in reversed(each.actions) if a != JUDGE) for each in served)
    return {tier: last[call(tier)] / len(served) for tier in tiers}


def _spent(served: Sequence[Served]) -> Assignment:
    """Quality served, and all costs charged: serving, judging, shadowing."""
    quality = np.array([each.quality for each in served])
    return Assignment(quality, np.array([each.cost_usd + each.shadow_usd for each in served]))


def _lines(
    ways: dict[str, Assignment],
    outcomes: Outcomes,
    clusters: NDArray[np.intp],
    seed: int,
    window: slice = slice(None),
) -> list[Line]:
    quality = np.column_stack([way.quality[window] for way in ways.values()])
    cost = np.column_stack([way.cost_usd[window] for way in ways.values()])
    cloud = np.repeat(outcomes.cost_usd[window, -1:], len(ways), axis=1)
    found = ratios(
        np.hstack([quality, cost]),
        np.hstack([np.ones_like(quality), cloud]),
        clusters[window],
        seed=seed,
    )
    return [
        Line(
            name=name,
            quality=q.estimate,
            quality_interval=(q.low, q.high),
            cost_usd=float(usd),
            cost_share=c.estimate,
            cost_share_interval=(c.low, c.high),
        )
        for name, q, c, usd in zip(
            ways, found[: len(ways)], found[len(ways) :], cost.sum(axis=0), strict=True
        )
    ]


def _judge_usd(rehearsal: Rehearsal) -> float:
    rows = rehearsal.pairs.rows
    return sum(
        each.actions.count(JUDGE) * rows[at].judge_usd
        for each, at in zip(rehearsal.served, rehearsal.order, strict=True)
    )


def _versions(policies: Sequence[PolicyDocument], served: Sequence[Served]) -> tuple[Version, ...]:
    versions = [each.policy_version for each in served]
    return tuple(
        Version(
            version=policy.version,
            decisions=versions.count(policy.version),
            mode=policy.segments[0].mode,
            routing_threshold=policy.segments[0].routing_threshold,
            judge_cutoff=policy.segments[0].judge_cutoff,
            reason=policy.reason,
        )
        for policy in policies
    )
