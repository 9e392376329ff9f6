"""The decision rule on plain numbers: what the figures of a policy mean.

Source: Penstock's docs/decisions and Dekoninck et al., "A Unified Approach to Routing and
Cascading for LLMs" (arXiv 2410.10347, sections 2 to 4), written out for two tiers.

Names follow the formulas. ``p``: P(local right | x). For a judge bin ``k`` of ``K``:
``f1[k]`` = P(k | local right), ``f0[k]`` = P(k | local wrong), ``g[k]`` = P(cloud right | local
wrong, x, k), ``b[k]`` = P(cloud wrong | local right, x, k). Costs are in units of one mean cloud
call, ``lambda_`` in quality per such unit. Every function broadcasts ``lambda_`` of shape (..., 1)
against bins of shape (K,), so the gateway (one lambda) and the learner (all its arms) run the
same arithmetic.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

EDGE = 1e-6  # probabilities are kept this far from 0 and 1 before a logit


def logit(p: float | Array) -> Array:
    """Log-odds of ``p``, clipped away from 0 and 1."""
    clipped = np.clip(p, EDGE, 1 - EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)


def expit(x: float | Array) -> Array:
    """The logistic function, safe for large arguments."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -40, 40))), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Costs:
    """Expected costs of one query, in units of one mean cloud call."""

    local: float
    judge: float
    cloud: float


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What a policy believes of one query, before and after each judge bin."""

    p: float
    bin_probability: Array  # (K,) P(k | x)
    p_after: Array  # (K,) P(local right | x, k)
    g: Array  # (K,)
    b: Array  # (K,)
    g_mean: float
    b_mean: float


@dataclass(frozen=True, slots=True)
class Values:
    """Quality minus lambda times cost of the three first moves; arrays follow ``lambda_``."""

    local: Array
    cloud: Array
    judged: Array


def believe(p: float, f1: Array, f0: Array, g: Array, b: Array) -> Beliefs:
    """Bayes over the judge's bins; ``f1``, ``f0``, ``g``, ``b`` have shape (K,)."""
    right, wrong = p * f1, (1 - p) * f0
    bin_probability = right + wrong
    p_after = np.divide(right, bin_probability, out=np.full_like(f1, p), where=bin_probability > 0)
    g_mean, b_mean = float(f0 @ g), float(f1 @ b)
    return Beliefs(p, bin_probability, p_after, g, b, g_mean, b_mean)


def value(beliefs: Beliefs, costs: Costs, lambda_: float | Array) -> Values:
    """Values of answering locally, going straight to the cloud, and judging the local answer.

    ``lambda_`` is a float or has shape (A,); each value has the same shape.
    """
    price = np.asarray(lambda_, dtype=np.float64)
    p, g, b = beliefs.p, beliefs.g_mean, beliefs.b_mean
    local = p - price * costs.local
    cloud = p * (1 - b) + (1 - p) * g - price * costs.cloud
    kept = np.maximum(beliefs.p_after, after_escalation(beliefs, costs, price[..., None]))
    judged = (kept * beliefs.bin_probability).sum(axis=-1) - price * (costs.local + costs.judge)
    return Values(local, cloud, np.asarray(judged))


def after_escalation(beliefs: Beliefs, costs: Costs, lambda_: Array) -> Array:
    """Value of escalating after bin k: (..., K) for ``lambda_`` of shape (..., 1)."""
    p, g, b = beliefs.p_after, beliefs.g, beliefs.b
    return np.asarray(p * (1 - b) + (1 - p) * g - lambda_ * costs.cloud)


def cutoff(
    beliefs: Beliefs,
    costs: Costs,
    lambda_: float | Array,
    raw: Array,
    lowest: float,
    highest: float,
) -> Array:
    """The raw judge score below which this query escalates.

    The margin of keeping over escalating is known at the bins' raw mid-points ``raw`` (K,),
    ascending; between the last bin that escalates and the next one it is interpolated, so that the
    cutoff moves smoothly with lambda. ``lowest``: nothing escalates; ``highest``: everything does.
    """
    price = np.asarray(lambda_, dtype=np.float64)[..., None]
    margin = beliefs.p_after - after_escalation(beliefs, costs, price)
    escalates = margin < 0
    last = len(raw) - 1
    below = last - np.argmax(escalates[..., ::-1], axis=-1)  # the highest bin that escalates
    above = np.minimum(below + 1, last)
    at_below = np.take_along_axis(margin, below[..., None], axis=-1)[..., 0]
    at_above = np.take_along_axis(margin, above[..., None], axis=-1)[..., 0]
    span = np.where(above > below, at_above - at_below, 1.0)
    crossing = raw[below] + (raw[above] - raw[below]) * (-at_below / span)
    inner = np.where(below == last, highest, crossing)
    return np.asarray(np.where(escalates.any(axis=-1), inner, lowest))


def indifference(beliefs: Beliefs, costs: Costs, lambda_: float) -> float:
    """The p below which this query goes to the cloud when judging is forbidden, in [0, 1]."""
    total = beliefs.g_mean + beliefs.b_mean
    if total <= 0:
        return 0.0 if costs.cloud >= costs.local else 1.0
    at = (beliefs.g_mean - lambda_ * (costs.cloud - costs.local)) / total
    return float(min(max(at, 0.0), 1.0))
