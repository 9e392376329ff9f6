"""How many labels a promotion and a rollback take, and how often either is wrong.

``python -m tests.benchmarks.promotion``. Pairs of labels are recorded outcomes (MMLU and GSM8K, the
served half of ``streams``): a window of queries by p_hat, of the share on which two policies part,
in which one policy serves locally what the other sends to the cloud. It is the window in which that
gains, or loses, as many points of quality as are asked about. Where none loses so many, local
answers that are right turn wrong until it does; that, and the order of pairs, is SIMULATED. A share
of the queries that part is drawn, 2,000 are known beforehand, and each pair is two labels. The live
policy is at its target and known to a point, so the margin is what the tolerance leaves: one point.

``cheaper`` figures are of a proposal that is cheaper than always-cloud because it is less good, and
still meets the target (``cheaper``): the share of the runs in which it is promoted, after how many
labels, how often one that misses what is promised is, and what comparing pairs alone would do.

Beside it what teams do today: half of all conversations each, and a t-test of the two means once a
day until it is significant. And whether the cause of a drift is named rightly (``drift_causes``),
on ten streams a seed; that takes most of the time.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from controlplane.promote import Terms, margin
from controlplane.stages import RECENT
from controlplane.stats import wilson
from controlplane.stats.contest import Claim, Contest, Verdict, compared, seen, verdict
from dataplane.contract.rule import Array
from tests.benchmarks import cheaper, command, drift_causes
from tests.benchmarks.figure import Figure
from tests.benchmarks.streams import Halves, halves

MINUTES = 75
RUNS = 100  # a seed
STREAMS = 10  # with drifts, a seed
SHARES = {"p10": 0.10, "p23": 0.23}
GAIN, LOSS = 0.02, -0.04
MARGIN = 0.01
DRAW = Terms().draw
MOST = 1500  # pairs, after which a run counts as undecided
A_DAY = 100  # labels of each half
DAYS = 60
TARGET, TOLERANCE = 0.92, 0.02
AUDITED = 1000  # labels behind the live policy's interval


class Window(NamedTuple):
    """Differences of labels where two policies part, and the share of queries on which they do."""

    differences: Array
    share: float

    @property
    def discordant(self) -> float:
        """The share of pairs whose labels differ."""
        return float((self.differences != 0).mean())


@dataclass(frozen=True, slots=True)
class Ended:
    """A run: what was said, None if nothing, after how many labels."""

    said: Verdict | None
    labels: int


def window(parts: Halves, share: float, points: float) -> Window:
    """The queries, next to each other by p_hat, on which going locally instead of to the cloud, or
    the reverse for a gain, changes the quality of all traffic by about so many points.
    """
    served = parts.served
    order = np.argsort(parts.p_hat, kind="stable")
    better = np.sign(points) * (served.cloud - served.local)[order]
    size = round(share * len(served))
    sums = np.concatenate([[0.0], np.cumsum(better)])
    means = (sums[size:] - sums[:-size]) / size
    first = int(np.abs(means * share - points).argmin())
    return Window(moved(better[first : first + size], points / share), share)


def moved(differences: Array, mean: float) -> Array:
    """The same pairs with that mean: of those that are above it, or below, some a label apart."""
    missing = round((mean - float(differences.mean())) * len(differences))
    step, places = np.sign(missing), np.random.default_rng(0).permutation(len(differences))
    turned = differences.copy()
    for bound in (0.0, 1.0):  # first those that the change makes equal, or apart from equal
        able = places[((differences * step <= -1 + bound) & (turned == differences))[places]]
        turned[able[: abs(missing)]] += step
        missing -= int(step) * min(len(able), abs(missing))
    return turned


def paired(found: Window, claim: Claim, rng: np.random.Generator) -> Ended:
    """Pairs drawn one after the other, until something is said."""
    contest = seen(Contest(), queries=RECENT, parted=round(RECENT * found.share))
    between = round(1 / (found.share * DRAW))  # queries from one pair to the next
    parted = round(1 / DRAW)
    for pair, difference in enumerate(rng.choice(found.differences, MOST).tolist(), 1):
        contest = compared(seen(contest, queries=between, parted=parted), difference, claim)
        said = verdict(contest, claim)
        if said is not None:
            return Ended(said, 2 * pair)
    return Ended(None, 2 * MOST)


def tested_daily(found: Window, quality: float, rng: np.random.Generator) -> Ended:
    """A canary of half the traffic: labels of all of it, and a t-test every evening."""
    change = found.share * float(found.differences.mean())
    shape = DAYS, A_DAY
    old = (rng.random(shape) < quality).astype(float)
    new = (rng.random(shape) < quality + change).astype(float)
    for day in range(1, DAYS + 1):
        a, b = old[:day].ravel(), new[:day].ravel()
        if stats.ttest_ind(b, a).pvalue < 0.05:
            return Ended("holds" if b.mean() > a.mean() else "fails", 2 * day * A_DAY)
    return Ended(None, 2 * DAYS * A_DAY)


def boundary(found: Window, claim: Claim) -> Window:
    """As many pairs that differ, now one way and now the other, so that the margin just holds."""
    size, mean = len(found.differences), -claim.margin / found.share
    counts = [round(size * (found.discordant + sign * mean) / 2) for sign in (1, -1)]
    ways = [1.0, -1.0, 0.0]
    return Window(np.repeat(ways, [*counts, size - sum(counts)]), found.share)


def chain(loss: float, rng: np.random.Generator) -> float:
    """What quality is after ten proposals, each of which loses this share of its margin."""
    quality = TARGET
    for _ in range(10):
        right = int(rng.binomial(AUDITED, quality))
        may_lose = margin(wilson(right / AUDITED, AUDITED).low, TARGET, TOLERANCE)
        if may_lose <= 0:
            continue
        share, mean = 0.15, -loss * may_lose / 0.15
        ways = [(0.4 - mean) / 2, 0.6, (0.4 + mean) / 2]
        pairs = rng.choice([-1.0, 0.0, 1.0], size=400, p=ways)
        if paired(Window(pairs, share), Claim(may_lose), rng).said == "holds":
            quality += share * mean
    return quality


def figures(parts: Halves, seeds: Sequence[int]) -> dict[str, Figure]:
    """The benchmark's figures by name."""
    named: dict[str, Figure] = {}
    claim = Claim(MARGIN)
    wrong: dict[str, list[bool]] = {"promotion": [], "rollback": []}
    wrong_daily: list[bool] = []
    for name, share in SHARES.items():
        for kind, points, right in (("promote", GAIN, "holds"), ("rollback", LOSS, "fails")):
            found = window(parts, share, points)
            runs = [paired(found, claim, rng) for rng in _generators(seeds, kind, name)]
            named[f"{kind}_labels_median_{name}"] = Figure.median([each.labels for each in runs])
            named[f"{kind}_right_{name}"] = Figure.share([each.said == right for each in runs])
            named[f"{kind}_points_{name}"] = Figure.known(share * float(found.differences.mean()))
            named[f"{kind}_parts_{name}"] = Figure.known(found.share)
            named[f"{kind}_discordant_{name}"] = Figure.known(found.discordant)
            daily = [tested_daily(found, TARGET, rng) for rng in _generators(seeds, kind, name)]
            named[f"{kind}_daily_labels_median_{name}"] = Figure.median(
                [each.labels for each in daily]
            )
            just = boundary(found, claim)
            ends = [paired(just, claim, rng) for rng in _generators(seeds, "at", kind, name)]
            wrong["promotion"] += [each.said == "holds" for each in ends]
            wrong["rollback"] += [each.said == "fails" for each in ends]
        none = Window(np.zeros(1), share)
        ends = [tested_daily(none, TARGET, rng) for rng in _generators(seeds, "none", name)]
        wrong_daily += [each.said is not None for each in ends]
        sys.stderr.write(f"{name}: done\n")
    for kind, hits in wrong.items():
        named[f"false_{kind}_rate"] = Figure.share(hits)
    named["false_decision_rate"] = max(map(Figure.share, wrong.values()), key=_value)
    named["false_decision_rate_daily"] = Figure.share(wrong_daily)
    for loss in (0.5, 0.95):
        ends_at = [chain(loss, rng) for rng in _generators(seeds, f"chain {loss}")]
        named[f"chain10_quality_loss_{loss}"] = _loss(ends_at)
        broken = [quality < TARGET - TOLERANCE for quality in ends_at]
        named[f"chain10_promise_broken_{loss}"] = Figure.share(broken)
    worst = max((named[f"chain10_quality_loss_{loss}"] for loss in (0.5, 0.95)), key=_value)
    return named | {"chain10_quality_loss": worst}


def _generators(seeds: Sequence[int], *names: str) -> list[np.random.Generator]:
    key = [ord(letter) for letter in "".join(names)]
    return [np.random.default_rng([seed, run, *key]) for seed in seeds for run in range(RUNS)]


def _value(figure: Figure) -> float:
    return figure.value


def _loss(qualities: Sequence[float]) -> Figure:
    """Of the target, on average; between the least and the most."""
    lost = TARGET - np.array(qualities)
    return Figure(
        float(lost.mean()), "fraction", "lower", float(lost.min()), float(lost.max()), len(lost)
    )


def _figures(data: Path, seeds: Sequence[int]) -> dict[str, Figure]:
    streams = [STREAMS * (seed - 1) + at for seed in seeds for at in range(1, STREAMS + 1)]
    parts = halves(data)
    named = figures(parts, seeds) | cheaper.figures(parts, seeds)
    return named | drift_causes.measured(data, streams)


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module's docstring."""
    return command.run("promotion", __doc__, "1-5", MINUTES, _figures, arguments)


if __name__ == "__main__":
    sys.exit(main())
