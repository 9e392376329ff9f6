"""The decision rule for more models than a chain can hold: which set of them to have run.

Source: Dekoninck et al., "A Unified Approach to Routing and Cascading for LLMs" (arXiv 2410.10347,
section 4). A supermodel is a set S of models that contains those already called. It is taken to
return the best of its answers, so its quality is E[max of the Gaussians (q_hat, Sigma)] over S.
The S of the greatest quality minus lambda times cost is aimed at: its cheapest uncalled model is
called, and the choice made anew from what that answer taught; where nothing is left to call, the
best answer is the reply. Ties go to the cheaper set.

The expectation of the maximum is the mean over a fixed set of points: a Richtmyer lattice carried
to Gaussians, with mirrored points, made to have exactly the estimates' mean and covariance. Errors
cancel between a set and the next larger one, which is what is compared. With standard deviations
up to s an error of .016 s was the largest seen (of 40,000 pairs, one in a thousand beyond .007 s),
where Clark's recursion erred by .1 s; ``expected_maximum``, exact for two, bounds it by test.

Under one such measure the maximum of a set is submodular, as under the true one: a model not worth
its price beside the answers at hand is not so in any larger set, and those are dropped unseen. Of
what is left every set is looked at: with shared points a set costs one maximum of what a smaller
one left, less than asking whether to drop it.

Costs are in units of one mean cloud call, ``lambda_`` in quality per such unit.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from math import erf, exp, pi, sqrt
from statistics import NormalDist

import numpy as np

from dataplane.contract.rule import Array

# Taken one by one from those below 230, each so that no pair of models errs much: the first twelve
# line up in some direction, and err four times as much there.
PRIMES = (2, 3, 5, 59, 97, 47, 61, 107, 29, 191, 211, 53)
MODELS = len(PRIMES)  # at most: the sets double with each
POINTS = 1024
STRETCH = 256  # points at a time: what all sets need of them stays in the cache
TIE = 1e-12  # what rounding may add to a value: a dearer set must be better by more


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is believed of the quality of each model's answer to one query."""

    mean: Array  # (n,) q_hat
    covariance: Array  # (n, n) of the errors of q_hat; smaller for models already called

    def after(self, model: int, measured: float, variance: float) -> "Estimates":
        """The estimates once ``model`` answered and its quality was ``measured``.

        ``variance``: of the measurement, given the quality. What is learned of one model carries
        over to the others by their covariance.
        """
        shared = self.covariance[model]
        total = shared[model] + variance
        if total <= 0:  # nothing was uncertain
            return self
        gain = shared / total
        mean = self.mean + gain * (measured - self.mean[model])
        return Estimates(mean, self.covariance - np.outer(gain, shared))


@dataclass(frozen=True, slots=True)
class Supermodel:
    """A set of models, and what it is worth."""

    members: tuple[int, ...]  # ascending; those already called among them
    quality: float
    cost: float  # still to be paid: of the members not called yet

    def value(self, lambda_: float) -> float:
        """Quality minus lambda times cost."""
        return self.quality - lambda_ * self.cost


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next: exactly one of ``call`` and ``reply`` names a model."""

    aim: Supermodel
    call: int | None
    reply: int | None


def choose(
    estimates: Estimates, costs: Array, lambda_: float, called: Collection[int] = ()
) -> Move:
    """The next model to call, or the one to reply from; ``costs`` (n,) of a call."""
    aim = search(estimates, costs, lambda_, called)
    by_cost = sorted(aim.members, key=lambda model: costs[model])
    for model in by_cost:
        if model not in called:
            return Move(aim, model, None)
    return Move(aim, None, max(by_cost, key=lambda model: estimates.mean[model]))


def search(
    estimates: Estimates, costs: Array, lambda_: float, called: Collection[int] = ()
) -> Supermodel:
    """The best supermodel among all that contain the models already called.

    Raises ``ValueError`` where there is no model, or more than ``MODELS``.
    """
    drawn = draws(estimates)
    at_hand = drawn[sorted(called)].max(axis=0, initial=-np.inf)
    uncalled = [model for model in range(len(costs)) if model not in called]
    left = [each for each in uncalled if _pays(at_hand, drawn[each], lambda_ * costs[each])]
    quality, cost = _qualities(at_hand, drawn[left]), _sums(costs[left])
    value = quality - lambda_ * cost
    at = int(np.argmin(np.where(value >= value.max() - TIE, cost, np.inf)))
    joined = [model for bit, model in enumerate(left) if at >> bit & 1]
    return Supermodel(tuple(sorted([*called, *joined])), float(quality[at]), float(cost[at]))


def _pays(at_hand: Array, drawn: Array, charge: float) -> bool:
    """Whether a model is worth its price beside the answers at hand alone.

    If not, it is less so in any larger set, and no set with it need be looked at.
    """
    return bool(np.maximum(at_hand, drawn).mean() - at_hand.mean() > charge + TIE)


def _qualities(at_hand: Array, drawn: Array) -> Array:
    """(2^u,) E[max] of the answers at hand and each subset of u models; bit by bit of its index."""
    models = len(drawn)
    total = np.zeros(2**models)
    best = np.empty((2**models, STRETCH))
    for first in range(0, POINTS, STRETCH):
        stretch = slice(first, first + STRETCH)
        best[0] = at_hand[stretch]
        for model in range(models):
            without, joined = slice(2**model), slice(2**model, 2 ** (model + 1))
            np.maximum(best[without], drawn[model, stretch], out=best[joined])
        total += best.sum(axis=1)
    return total / POINTS


def _sums(costs: Array) -> Array:
    """(2^u,) The cost of each subset."""
    total = np.zeros(1)
    for cost in costs:
        total = np.concatenate([total, total + cost])
    return total


def draws(estimates: Estimates) -> Array:
    """(n, POINTS) Equally likely qualities, with exactly the estimates' mean and covariance."""
    models = len(estimates.mean)
    if not 1 <= models <= MODELS:
        raise ValueError(f"1 to {MODELS} models are searched, not {models}")
    spread, axes = np.linalg.eigh(estimates.covariance)
    root = (axes * np.sqrt(np.maximum(spread, 0.0))) @ axes.T  # there may be nothing to invert
    return np.asarray(estimates.mean[:, None] + root @ _points(models))


def expected_maximum(estimates: Estimates) -> float:
    """E[max] of the Gaussians: exact for one and two (Clark 1961), by ``draws`` for more."""
    mean, covariance = estimates.mean, estimates.covariance
    if len(mean) == 1:
        return float(mean[0])
    if len(mean) == 2:
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        return _clark(float(mean[0]), float(mean[1]), sqrt(max(float(variance), 0.0)))
    return float(draws(estimates).max(axis=0).mean())


def _clark(first: float, second: float, spread: float) -> float:
    """E[max] of two Gaussians whose difference has the standard deviation ``spread``."""
    if spread == 0:
        return max(first, second)
    apart = (first - second) / spread
    chosen = (1 + erf(apart / sqrt(2))) / 2  # P(the first is greater)
    density = exp(-apart * apart / 2) / sqrt(2 * pi)
    return first * chosen + second * (1 - chosen) + spread * density


@cache
def _points(models: int) -> Array:
    """(n, POINTS) Points of a standard Gaussian: mean exactly 0, covariance exactly 1."""
    count = np.arange(1, POINTS // 2 + 1)
    lattice = (0.5 + np.sqrt(np.array(PRIMES[:models]))[:, None] * count) % 1.0
    half = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])(lattice)
    mirrored = np.concatenate([half, -half], axis=1)
    spread, axes = np.linalg.eigh(mirrored @ mirrored.T / POINTS)
    whitened = (axes / np.sqrt(spread)) @ axes.T @ mirrored
    whitened.flags.writeable = False
    return np.asarray(whitened)
