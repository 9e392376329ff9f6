"""Rehearsal: a learner serves the pairs of a recording from a cold start, as it would live traffic.

The start policy is untrained and sends everything to the cloud. What it is told beforehand is what
a price list and the judge's scale tell: mean costs of a call, and the range of the scores.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import nnls
from scipy.stats import norm

from controlplane.evaluate.pairing import Pairs, Scores
from controlplane.evaluate.replay import EPOCH, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.prior import NONE, Prior
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.learn.verdict import verdict
from controlplane.start import untrained
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import (
    AuditTerms,
    JudgeTable,
    Mode,
    QualityTarget,
    ShadowTerms,
    TierTerms,
    TrustTerms,
)

NO_JUDGE = "none"
RARE = 0.005  # share of scores that may lie below the range
USUAL = 1_000.0  # tokens of a usual completion, so that those of each call are whole ones


@dataclass(frozen=True, slots=True)
class Plan:
    """How to rehearse: the target, the draws once the learner is warm, the order, the cadence."""

    target: float
    tolerance: float = 0.02
    audit: float = 0.05
    shadow: float = 0.02
    seed: int = 0
    shuffle: bool = True
    repeat: int = 1
    every: int = 50
    gated: bool = False  # the judge must earn its say; else it has it


@dataclass
class Rehearsal:
    """One run; ``served`` fills as it goes, one entry a query, in the order of ``order``."""

    pairs: Pairs
    plan: Plan
    replay: Replay
    order: list[int]
    served: list[Served] = field(default_factory=list)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.order)

    def run(self) -> Iterator[Served]:
        """Serve everything once; ``seconds`` is the time taken so far."""
        started = time.perf_counter()
        for served in self.replay.run([self.pairs.rows[at] for at in self.order]):
            self.served.append(served)
            self.seconds = time.perf_counter() - started
            yield served

    def advice(self) -> str:
        """Which mode fits what was replayed, in words."""
        learner = self.replay.learner
        found = learner and learner.advise(self.replay.live, EPOCH)
        return verdict(found) if found else ""


def rehearse(pairs: Pairs, plan: Plan, prior: Prior = NONE) -> Rehearsal:
    """A rehearsal that is ready to run; a prior must come from other queries than these."""
    mode: Mode = "route" if pairs.judge is None else "cascade_route"
    settings = LearnerSettings(mode=mode).drawing(plan.audit, plan.shadow)
    start = start_policy(pairs, plan, settings.cold)
    learner = Learner(pairs.tiers, settings, prior)
    replay = Replay(start, learner, seed=plan.seed, every=plan.every, gated=plan.gated)
    return Rehearsal(pairs, plan, replay, order(len(pairs.rows), plan))


def order(count: int, plan: Plan) -> list[int]:
    """Places of the queries in the order in which they are served; each pass has its own."""
    rng = random.Random(plan.seed)  # noqa: S311 - reproducible, no secret
    places = list(range(count))
    passes = []
    for _ in range(plan.repeat):
        passes += rng.sample(places, count) if plan.shuffle else places
    return passes


def start_policy(pairs: Pairs, plan: Plan, cold: DrawRates) -> PolicyDocument:
    """Version 1 for the tiers of a recording."""
    rows = pairs.rows
    chars = np.array([row.features.chars for row in rows], dtype=np.float64)
    usd = np.array([row.usd for row in rows]).T
    return untrained(
        [price_list(name, chars, paid) for name, paid in zip(pairs.tiers, usd, strict=True)],
        judge_table(pairs.judge, rows),
        QualityTarget(target_quality=plan.target, tolerance=plan.tolerance),
        EPOCH,
        audit=AuditTerms(rate=cold.audit),
        shadow=ShadowTerms(rate=cold.shadow),
        prompt_chars=float(chars.mean()),
        gate=TrustTerms() if plan.gated else "open",
    )


def price_list(name: str, chars: Array, usd: Array) -> TierTerms:
    """A tier whose expected cost, averaged over the prompts, is the mean recorded cost.

    The expected cost of a call is affine in the prompt's characters: prompt tokens at a price and
    a usual completion at another. Both parts come from the recorded costs (N,) by least squares
    with neither negative, scaled so that the means agree.
    """
    (fixed, per_char), _ = nnls(np.column_stack([np.ones_like(chars), chars]), usd)
    expected = fixed + per_char * float(chars.mean())
    scale = float(usd.mean()) / expected if expected > 0 else 0.0
    return TierTerms(
        name=name,
        input_usd_per_mtok=per_char * scale * 1e6,
        output_usd_per_mtok=fixed * scale * 1e6 / USUAL,
        chars_per_token=1.0,
        completion_tokens=USUAL,
    )


def judge_table(scores: Scores | None, rows: Sequence[Row]) -> JudgeTable:
    """An untrained table of two bins over the range of the judge's scores.

    ``highest`` lies a little above every score, so that a cutoff there escalates all of them.
    """
    low, high = _range(scores)
    z = float(norm.ppf(0.75))
    return JudgeTable(
        judge=NO_JUDGE if scores is None else scores.name,
        lowest=low,
        highest=high + (high - low) / 100,
        edges=((low + high) / 2,),
        raw=(low + (high - low) / 4, high - (high - low) / 4),
        z=(-z, z),
        f1=(0.25, 0.75),
        f0=(0.75, 0.25),
        cost_usd=float(np.mean([row.judge_usd for row in rows])),
    )


def _range(scores: Scores | None) -> tuple[float, float]:
    """Lowest and highest score; a few far below the rest do not stretch it, they are clipped."""
    if scores is None:
        return 0.0, 1.0
    low, high = float(np.nanquantile(scores.raw, RARE)), float(np.nanmax(scores.raw))
    low = low if low < high else float(np.nanmin(scores.raw))
    return (low, high) if low < high else (low, low + 1.0)
