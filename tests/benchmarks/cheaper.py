"""A cheaper policy of lower quality that meets the target, in the place of always-cloud.

``python -m tests.benchmarks.cheaper``; ``promotion`` reports its figures, too.
The proposal is the document of the teaching half (``frontier.fitted``), cascade routing at the
lambda that just reaches the target on the served half: far cheaper, and some points less good than
the cloud. Beside it the same at the lambda at which what is promised, the target less its
tolerance, is just missed: that one must not be promoted. Answers are recorded, the judge and the
order of draws are SIMULATED. What is asked of a proposal, and when it is shown, say the product's
own parts; the live policy's interval is one of ``AUDITED`` labels, anew in each run. Both answers
of a draw are labelled, so each is two labels.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
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
from tests.benchmarks import command
from tests.benchmarks.figure import Figure
from tests.benchmarks.frontier import Sweep, fitted
from tests.benchmarks.streams import CLOUD_COST, JUDGE_COST, LOCAL_COST, Halves, halves, scores

AUDITED = 1000  # labels of the cloud, behind the live policy's interval
AUDIT = 0.05  # of the queries on which the two cannot part
DRAW = Terms().draw
MINUTES = 5
MOST = 10_000  # draws, after which a run counts as undecided
HALVINGS = 20
RUNS = 100  # a seed
PARTS = 10  # times as many where the promise is missed: a small chance is asked for


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


def runs(found: Scenario, seed: int, part: int = 0, *, pairs: bool = False) -> list[Ended]:
    """``RUNS`` proposals: what is asked, and what is said. ``pairs``: only ever to compare."""
    rng = np.random.default_rng([seed, 53, part])
    target, alone = found.promised + found.tolerance, Drawing(1.0, DRAW, AUDIT)
    asked = bar(found.promised, found.tolerance, alone)
    heard = _by_itself(found, asked, rng)
    ended = []
    for each in heard:
        known = wilson(float(rng.choice(found.cloud, AUDITED).mean()), AUDITED)
        claim = Claim(margin(known.low, target, found.tolerance))
        if not pairs and sooner(claim, asked, alone, known.estimate, found.change):
            ended.append(each)
        else:
            ended.append(_compared(found, claim, rng))
    return ended


def _by_itself(found: Scenario, asked: Bar, rng: np.random.Generator) -> list[Ended]:
    values, (up, down) = rng.choice(found.proposed, (RUNS, MOST)), asked.stakes(DRAW)
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


def figures(parts: Halves, seeds: Sequence[int]) -> dict[str, Figure]:
    """By name; ``cheaper_pairs`` are those of the same proposal where pairs alone are compared."""
    meets, misses = scenarios(parts)
    ended = [each for seed in seeds for each in runs(meets, seed)]
    pairs = [each for seed in seeds for each in runs(meets, seed, pairs=True)]
    false = [each for seed in seeds for part in range(PARTS) for each in runs(misses, seed, part)]
    sys.stderr.write("cheaper: done\n")
    return {
        "cheaper_promoted_share": _said("holds", ended, "higher"),
        "cheaper_refused_share": _said("fails", ended),
        "cheaper_labels_median": Figure.median([2 * each.draws for each in ended]),
        "cheaper_false_rate": _said("holds", false),
        "cheaper_asked_alone": Figure.share([each.alone for each in ended], "none"),
        "cheaper_saves": Figure.known(meets.saves),
        "cheaper_points": Figure.known(meets.change),
        "cheaper_pairs_promoted_share": _said("holds", pairs, "none"),
        "cheaper_pairs_refused_share": _said("fails", pairs, "none"),
    }


def _said(what: Verdict, ended: Sequence[Ended], better: str = "lower") -> Figure:
    return Figure.share([each.said == what for each in ended], better)


def measured(data: Path, seeds: Sequence[int]) -> dict[str, Figure]:
    """The figures over these seeds of the recordings in ``data``."""
    return figures(halves(data), seeds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 0 once measured."""
    return command.run("cheaper", __doc__, "1-5", MINUTES, measured, arguments)


if __name__ == "__main__":
    sys.exit(main())
