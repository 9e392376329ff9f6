"""What differs between two times, with its covariance, on signals that no policy moves.

All is conditional on p_hat under one frozen estimator, so it does not matter which queries a policy
had judged or labelled: audits fall by logged chances, and weights undo them. Each comparison is one
regression over both times, so that it carries the error of what was known before.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from controlplane.stats import auroc

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

LEAST, MOST = 0.05, 0.95  # of an expected share, where its variance is reckoned
RIDGE = 1e-6  # of precision: what nothing tells of has a vast variance
BATCH = 10  # queries in a row may be alike: their variance is that of means of so many
SUPPOSED = 20  # normal scores of variance 1, beside those that are known
UNTOLD = 1.0  # of what a mix does by what p_hat tells of it: as much again by what it does not
RIGHT = 0.5  # an answer whose label is at least that is right


class Seen(NamedTuple):
    """A query: when it came (seconds), its frozen p_hat, and the judge's score or NaN.

    The score of a query with a label is with that.
    """

    at: float
    p_hat: float
    score: float


class Told(NamedTuple):
    """A labelled local answer; ``weight`` is one over the chance of its audit."""

    at: float
    p_hat: float
    score: float
    right: float
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Columns of ``Seen`` (N, 3) and of ``Told`` (M, 5), and which came afterwards."""

    seen: Array
    told: Array
    since: float

    @property
    def seen_after(self) -> Mask:
        """(N,)."""
        return np.asarray(self.seen[:, 0] >= self.since)

    @property
    def told_after(self) -> Mask:
        """(M,)."""
        return np.asarray(self.told[:, 0] >= self.since)


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """Differences (M,), their covariance (M, M), and what D effects do to them (M, D)."""

    mean: Array
    covariance: Array
    design: Array

    def log_evidence(self, spread: Array) -> float:
        """Log Bayes factor of effects ~ N(0, ``spread`` ** 2) (D,) against there being none."""
        wider = self.covariance + (self.design * spread**2) @ self.design.T
        return _log_density(self.mean, wider) - _log_density(self.mean, self.covariance)

    def p_value(self, effects: Mask) -> float:
        """Of these effects (D,) being 0, whatever the others are, by their likelihood ratio."""
        return float(chi2.sf(self._left(~effects) - self._left(effects | True), effects.sum()))

    def _left(self, free: Mask) -> float:
        """Chi-square of the differences, less what free effects account for."""
        design = self.design[:, free]
        precise = np.linalg.inv(self.covariance)
        told = design.T @ precise @ self.mean
        known = design.T @ precise @ design
        return float(self.mean @ precise @ self.mean - told @ np.linalg.solve(known, told))


def _log_density(at: Array, covariance: Array) -> float:
    log_determinant = np.linalg.slogdet(covariance)[1]
    return -0.5 * float(log_determinant + at @ np.linalg.solve(covariance, at))


def of_mix(p_hat: Array, after: Mask) -> Shift:
    """How p_hat (N,) is spread: the mean of its rank in [0, 1], and how far out ranks lie."""
    rank = _rank(p_hat, p_hat[~after])
    moments = np.column_stack([rank, (2 * rank - 1) ** 2])
    before, later = moments[~after], moments[after]
    batches = before[: len(before) // BATCH * BATCH].reshape(-1, BATCH, 2).mean(axis=1)
    covariance = np.cov(batches, rowvar=False) * BATCH * (1 / len(later) + 1 / len(before))
    differs = later.mean(axis=0) - before.mean(axis=0)
    return Shift(differs, covariance + RIDGE * np.eye(2), np.eye(2))


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What labels and scores say of two times.

    ``shift``: four differences, in the share right, in the normal scores of the judge's scores of
    right and of wrong answers, and in those of unlabelled answers; three effects, on the first
    three. ``right`` and ``expected``: shares of the ``labels`` from afterwards. ``aurocs``: before
    and after.
    """

    shift: Shift
    labels: int
    right: float
    expected: float
    aurocs: tuple[float, float]


def of_answers(times: Times) -> Answers:
    """Compare local answers from before and from after."""
    told, after = times.told, times.told_after
    p, right, weight = told[:, 1], told[:, 3], told[:, 4] / told[:, 4].mean()
    usual = _solved(_powers(p), right, np.where(after, 0.0, weight))
    expected = np.clip(_powers(p) @ usual, LEAST, MOST)
    share = _share(p, after, right, weight, expected * (1 - expected))
    z_seen, z_told = _normal_scores(times)
    classes, apart = _by_class(told, z_told, after)
    rest = _unlabelled(times.seen[:, 1], z_seen, times.seen_after)
    scored = times.seen_after & ~np.isnan(z_seen)
    good = (
        float(np.clip(_powers(times.seen[scored, 1]) @ usual, 0, 1).mean()) if scored.any() else 0
    )
    untold = UNTOLD * _by_mix(times, usual, z_seen)
    design = np.vstack([np.eye(3), [apart, good, 1 - good]])
    covariance = _blocks(share.covariance, classes.covariance, rest.covariance)
    return Answers(
        Shift(
            np.concatenate([share.mean, classes.mean, rest.mean]),
            covariance + (design * untold**2) @ design.T,
            design,
        ),
        int(after.sum()),
        _mean(right[after], weight[after]),
        _mean(expected[after], weight[after]),
        (auroc_of(told[~after]), auroc_of(told[after])),
    )


def auroc_of(told: Array) -> float:
    """Of the judge over ``Told`` (M, 5); NaN where there are no right or no wrong answers."""
    known = told[~np.isnan(told[:, 2])]
    right = known[:, 3] >= RIGHT
    if not len(known) or right.all() or not right.any():
        return float("nan")
    return auroc(known[:, 2], right, 1 / known[:, 4]).estimate


class _Found(NamedTuple):
    mean: Array
    covariance: Array


def _share(p: Array, after: Mask, right: Array, weight: Array, variance: Array) -> _Found:
    """How the share right differs; labels may scatter more than the curve has it."""
    base, moved = _powers(p), after[:, None].astype(float)
    whole = np.hstack([base, moved])
    left = right - whole @ _solved(whole, right, weight / variance)
    wide = max(1.0, _mean(left**2 / variance, weight**2))
    return _added(base, moved, right, weight, wide * variance)


def _by_class(told: Array, z: Array, after: Mask) -> tuple[_Found, float]:
    """How the scores of right and of wrong answers differ; and how far apart they were."""
    known = ~np.isnan(z)
    p, right, weight, z, after = (
        told[known, 1],
        told[known, 3],
        told[known, 4],
        z[known],
        after[known],
    )
    weight = weight / max(_mean(weight, np.ones_like(weight)), 1e-9)
    base = np.column_stack([np.ones_like(p), p, right])
    moved = np.column_stack([after * right, after * (1 - right)])
    whole, good = np.hstack([base, moved]), right >= RIGHT
    left = z - whole @ _solved(whole, z, weight)
    of_right, of_wrong = (_variance(left[some], weight[some]) for some in (good, ~good))
    variance = np.where(good, of_right, of_wrong)
    apart = float(_solved(base, z, np.where(after, 0.0, weight))[2])
    return _added(base, moved, z, weight, variance), apart


def _by_mix(times: Times, usual: Array, z: Array) -> Array:
    """How far the mix by itself moves the share right and the scores of either class (3,).

    Queries (N,) with scores ``z`` are judged as a policy has it, so the curve that they give is
    taken over all.
    """
    powers, after = _powers(times.seen[:, 1]), times.seen_after
    before = ~after & ~np.isnan(z)
    scored = _solved(powers[before], z[before], np.ones(before.sum()))
    right, score = (
        float(np.diff([(powers[some] @ curve).mean() for some in (~after, after)])[0])
        for curve in (usual, scored)
    )
    return np.array([right, score, score])


def _unlabelled(p: Array, z: Array, after: Mask) -> _Found:
    known = ~np.isnan(z)
    base, moved, z = _powers(p[known]), after[known][:, None].astype(float), z[known]
    whole = np.hstack([base, moved])
    even = np.ones_like(z)
    left = z - whole @ _solved(whole, z, even)
    return _added(base, moved, z, even, _variance(left, even) * even)


def _normal_scores(times: Times) -> tuple[Array, Array]:
    """Of the scores of queries without a label and with one, among those from before."""
    seen, told = times.seen[:, 2], times.told[:, 2]
    before = np.concatenate([seen[~times.seen_after], told[~times.told_after]])
    before = before[~np.isnan(before)]
    if not len(before):
        return np.full(len(seen), np.nan), np.full(len(told), np.nan)
    z_seen, z_told = (
        np.where(np.isnan(each), np.nan, norm.ppf(_rank(each, before))) for each in (seen, told)
    )
    return z_seen, z_told


def _rank(values: Array, among: Array) -> Array:
    """In (0, 1), ties halved."""
    ordered, n = np.sort(among), len(among)
    below, upto = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return np.clip((below + upto) / (2 * n), 0.5 / n, 1 - 0.5 / n)


def _powers(p: Array) -> Array:
    return np.column_stack([np.ones_like(p), p, p**2])


def _solved(x: Array, y: Array, precision: Array) -> Array:
    """Coefficients (P,) of weighted least squares."""
    weighed = x * precision[:, None]
    return np.asarray(np.linalg.solve(x.T @ weighed + RIDGE * np.eye(x.shape[1]), weighed.T @ y))


def _added(base: Array, moved: Array, y: Array, weight: Array, variance: Array) -> _Found:
    """What columns (N, K) add to those of the base: coefficients (K,), covariance (K, K).

    Weights undo how the rows were drawn, and tell nothing of how sure they are.
    """
    x, place = np.hstack([base, moved]), base.shape[1]
    weighed, ridge = x * (weight / variance)[:, None], RIDGE * np.eye(x.shape[1])
    bread = np.linalg.inv(x.T @ weighed + ridge)
    covariance = bread @ ((weighed * weight[:, None]).T @ x + ridge) @ bread
    return _Found((bread @ weighed.T @ y)[place:], covariance[place:, place:])


def _blocks(*parts: Array) -> Array:
    whole = np.zeros((sum(len(part) for part in parts),) * 2)
    at = 0
    for part in parts:
        whole[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    return whole


def _variance(residual: Array, weight: Array) -> float:
    """Of normal scores, as it bears on a weighted mean: near 1, until there are enough."""
    bearing = weight**2
    return float(bearing @ residual**2 + SUPPOSED) / (float(bearing.sum()) + SUPPOSED)


def _mean(values: Array, weight: Array) -> float:
    return float(np.average(values, weights=weight)) if len(values) else float("nan")
