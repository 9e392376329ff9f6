"""A cheaper policy of lower quality that meets the target, in the place of always-cloud.

The proposal is the document of the teaching half (``frontier.fitted``), cascade routing at the
lambda that just reaches the target on the served half: far cheaper, and some points less good than
the cloud. Beside it the same at the lambda at which what is promised, the target less its
tolerance, is just missed: that one must not be promoted. Answers are recorded, the judge and the
order of draws are SIMULATED. What is asked of a proposal, and when it is shown, say the product's
own parts; the live policy's interval is one of ``AUDITED`` labels, anew in each run. Both answers
of a draw are labelled, so each is two labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.cycle import RECENT
from controlplane.evaluate.replay import Row
from controlplane.promote import Terms, margin
from controlplane.stats import standing, wilson
from controlplane.stats.contest import Claim, Contest, Verdict, compared, seen, verdict
from controlplane.stats.standing import Drawing, bar, sooner, told
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
MOST_PAIRS = 4_000  # the same where pairs are compared
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


@dataclass(frozen=True, slots=True)
class Ended:
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


def run(found: Scenario, rng: np.random.Generator, *, pairs: bool = False) -> Ended:
    """One proposal: what is asked of it, and what is said. ``pairs``: only ever by comparison."""
    labels = rng.choice(found.cloud, AUDITED)
    live = wilson(float(labels.mean()), AUDITED)
    claim = Claim(margin(live.low, found.promised + found.tolerance, found.tolerance))
    everywhere = Drawing(1.0, DRAW, AUDIT)
    asked = bar(found.promised, found.tolerance, everywhere)
    if not pairs and sooner(claim, asked, everywhere, live.estimate, found.change):
        contest = Contest()
        for draw, value in enumerate(rng.choice(found.proposed, MOST).tolist(), 1):
            contest = told(contest, value, DRAW, asked)
            if said := standing.verdict(contest, asked):
                return Ended(said, draw, alone=True)
        return Ended(None, MOST, alone=True)
    contest = seen(Contest(), queries=RECENT, parted=RECENT)
    differences = rng.choice(found.proposed - found.cloud, MOST_PAIRS).tolist()
    for draw, difference in enumerate(differences, 1):
        contest = compared(contest, difference, claim)
        if said := verdict(contest, claim):
            return Ended(said, draw, alone=False)
    return Ended(None, MOST_PAIRS, alone=False)


def runs(found: Scenario, keys: Sequence[Sequence[int]], *, pairs: bool = False) -> list[Ended]:
    """One run for each key of a generator."""
    return [run(found, np.random.default_rng(list(key)), pairs=pairs) for key in keys]
