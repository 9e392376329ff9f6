"""A cheaper policy of lower quality that meets the target, in the place of always-cloud.

The proposal is the document of the teaching half (``frontier.fitted``), cascade routing at the
lambda that just reaches the target on the served half: far cheaper, and some points less good than
the cloud. Beside it the same at the lambda at which what is promised, the target less its
tolerance, is just missed: that one must not be promoted. Answers are recorded, the judge and the
order of draws are SIMULATED. What is asked of a proposal, and when it is shown, say the product's
own parts; the live policy's interval is one of ``AUDITED`` labels, anew in each run. Both answers
of a draw are labelled, so each is two labels.
"""

from dataclasses import dataclass
from math import inf, log
from typing import NamedTuple

import numpy as np

from controlplane.evaluate.replay import Row
from controlplane.promote import Terms, margin
from controlplane.stats import wilson
from controlplane.stats.betting import evidence_paths
from controlplane.stats.contest import STAKES, Claim, Verdict
from controlplane.stats.standing import Bar, Drawing, bar, sooner
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import QualityTarget
from dataplane.strategies import Queries, courses
from tests.benchmarks.frontier import Sweep, fitted
from tests.benchmarks.streams import CLOUD_COST, JUDGE_COST, LOCAL_COST, Halves, scores

AUDITED = 1000  # labels of the cloud, behind the live policy's interval
AUDIT = 0.05  # of the queries on which the two cannot part
DRAW = Terms().draw
MOST = 10_000  # draws, after which a run counts as undecided
HALVINGS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Queries (N,): labels of the cloud's and of the proposal's answers; what is promised.

    ``change``: what the proposal believes to add; ``saves``: the share of always-cloud's cost.
    """

    cloud: Array
    proposed: Array
    promised: float
    tolerance: float
    change: float
    saves: float


class Ended(NamedTuple):
    """A run: what was said, None if nothing, after how many draws, and whether it was of the
    proposal by itself.
    """

    said: Verdict | None
    draws: int
    alone: bool


def scenarios(parts: Halves) -> tuple[Scenario, Scenario]:
    """The proposal that just meets the target, and the one that just misses what is promised."""
    document, served = fitted(parts, "none"), parts.served
    raw = scores(served.local, "none", np.random.default_rng(11))
    worth = zip(served.local.tolist(), served.cloud.tolist(), strict=True)
    usd = (LOCAL_COST, CLOUD_COST)
    rows = [
        Row(features, right, usd, score, JUDGE_COST)
        for features, right, score in zip(served.features, worth, raw.tolist(), strict=True)
    ]
    sweep = Sweep(document, rows)
    tolerance = QualityTarget(target_quality=parts.target).tolerance
    promised = parts.target - tolerance
    just, short = least_above(sweep, parts.target), least_above(sweep, promised)
    return (
        _scenario(document, sweep, raw, just[0], promised, tolerance),
        _scenario(document, sweep, raw, short[1], promised, tolerance),
    )


def least_above(sweep: Sweep, quality: float) -> tuple[float, float]:
    """Lambdas beside each other, of which the first reaches the quality and the second does not."""
    above, below = 0.03, 1.2
    for _ in range(HALVINGS):
        middle = (above * below) ** 0.5
        reached = sweep.point(middle)[1] >= quality
        above, below = (middle, below) if reached else (above, middle)
    return above, below


def _scenario(
    document: PolicyDocument,
    sweep: Sweep,
    raw: Array,
    lambda_: float,
    promised: float,
    tolerance: float,
) -> Scenario:
    segment = document.segments[0].replaced(lambda_=lambda_)
    queries = Queries.of(document, [row.features for row in sweep.rows], raw)
    way = courses(document, segment, queries)
    proposed = np.where(way.to_dear, sweep.cloud, sweep.local)
    saves = 1 - sweep.point(lambda_)[0] / CLOUD_COST
    change = float((proposed - sweep.cloud).mean())
    return Scenario(sweep.cloud, proposed, promised, tolerance, change, saves)


def runs(found: Scenario, seed: int, count: int, *, pairs: bool = False) -> list[Ended]:
    """So many proposals: what is asked of each, and what is said. ``pairs``: only ever of pairs."""
    rng = np.random.default_rng([seed, 53])
    target, alone = found.promised + found.tolerance, Drawing(1.0, DRAW, AUDIT)
    asked = bar(found.promised, found.tolerance, alone)
    heard = _by_itself(found, asked, count, rng)
    ended = []
    for each in heard:
        known = wilson(float(rng.choice(found.cloud, AUDITED).mean()), AUDITED)
        claim = Claim(margin(known.low, target, found.tolerance))
        if not pairs and sooner(claim, asked, alone, known.estimate, found.change):
            ended.append(each)
        else:
            ended.append(_compared(found, claim, rng))
    return ended


def _by_itself(found: Scenario, asked: Bar, count: int, rng: np.random.Generator) -> list[Ended]:
    values, (up, down) = rng.choice(found.proposed, (count, MOST)), asked.stakes(DRAW)
    for_it = evidence_paths(values, asked.promised, 0.0, up)
    against = evidence_paths(-values, -asked.promised, -1.0, down)
    return [
        Ended(*_first(*paths, log(asked.evidence)), alone=True)
        for paths in zip(for_it, against, strict=True)
    ]


def _compared(found: Scenario, claim: Claim, rng: np.random.Generator) -> Ended:
    """As ``contest`` has it where the two may part on every query."""
    differences = rng.choice(found.proposed - found.cloud, MOST)
    for_it = evidence_paths(differences, -claim.margin, stakes=STAKES)
    against = evidence_paths(-differences, claim.margin, stakes=STAKES)
    return Ended(*_first(for_it, against, log(claim.evidence)), alone=False)


def _first(for_it: Array, against: Array, enough: float) -> tuple[Verdict | None, int]:
    """Which evidence (T,) is enough first, and after how many draws."""
    holds, fails = (int(np.argmax(np.append(each, inf) >= enough)) for each in (for_it, against))
    if min(holds, fails) == len(for_it):
        return None, len(for_it)
    return ("holds" if holds < fails else "fails"), min(holds, fails) + 1
