"""The decision rule on plain numbers: what the figures of a policy mean.

Source: Dekoninck et al., "A Unified Approach to Routing and Cascading for LLMs" (arXiv 2410.10347,
sections 2 to 4), written out for two tiers and a binned judge.

Names follow the formulas. ``p``: P(local right | x). For a judge bin ``k`` of ``K``:
``f1[k]`` = P(k | local right), ``f0[k]`` = P(k | local wrong), ``g[k]`` = P(cloud right | local
wrong, x, k), ``b[k]`` = P(cloud wrong | local right, x, k). Costs are in units of one mean cloud
call, ``lambda_`` in quality per such unit.

Everything broadcasts: ``p``, the costs and ``lambda_`` share leading shapes (one query and one
lambda in the gateway; queries (N, 1) against arms (A,) in the learner), bins are the last axis.
One arithmetic serves both, so the learner imagines exactly what the gateway would do.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

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
    """Expected costs of a query, in units of one mean cloud call."""

    local: float | Array
    judge: float | Array
    cloud: float | Array


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What a policy believes of a query, before and after each judge bin.

    ``p``, ``g_mean``, ``b_mean`` have the leading shape, the others a last axis of K bins.
    """

    p: Array
    bin_probability: Array  # P(k | x)
    p_after: Array  # P(local right | x, k)
    g: Array
    b: Array
    g_mean: Array
    b_mean: Array


@dataclass(frozen=True, slots=True)
class Values:
    """Quality minus lambda times cost of the three first moves."""

    local: Array
    cloud: Array
    judged: Array


def believe(p: float | Array, f1: Array, f0: Array, g: Array, b: Array) -> Beliefs:
    """Bayes over the judge's bins: ``f1``, ``f0`` (K,), ``g``, ``b`` (..., K), ``p`` (...)."""
    prior = np.asarray(p, dtype=np.float64)
    right, wrong = prior[..., None] * f1, (1 - prior[..., None]) * f0
    bin_probability = right + wrong
    p_after = right / np.maximum(bin_probability, 1e-300)
    g_mean, b_mean = (f0 * g).sum(axis=-1), (f1 * b).sum(axis=-1)
    return Beliefs(prior, bin_probability, p_after, g, b, g_mean, b_mean)


def value(beliefs: Beliefs, costs: Costs, lambda_: float | Array) -> Values:
    """Values of answering locally, going straight to the cloud, and judging the local answer."""
    local = beliefs.p - lambda_ * costs.local
    cloud = cloud_quality(beliefs) - lambda_ * costs.cloud
    kept = np.maximum(beliefs.p_after, after_escalation(beliefs, costs, lambda_))
    judged = (kept * beliefs.bin_probability).sum(axis=-1) - lambda_ * (costs.local + costs.judge)
    return Values(np.asarray(local), np.asarray(cloud), np.asarray(judged))


def cloud_quality(beliefs: Beliefs) -> Array:
    """P(cloud right | x)."""
    return np.asarray(beliefs.p * (1 - beliefs.b_mean) + (1 - beliefs.p) * beliefs.g_mean)


def escalated_quality(beliefs: Beliefs) -> Array:
    """P(cloud right | x, k), per bin."""
    p = beliefs.p_after
    return np.asarray(p * (1 - beliefs.b) + (1 - p) * beliefs.g)


def after_escalation(beliefs: Beliefs, costs: Costs, lambda_: float | Array) -> Array:
    """Value of escalating after bin k, per bin."""
    charge = np.asarray(lambda_ * costs.cloud, dtype=np.float64)
    return np.asarray(escalated_quality(beliefs) - charge[..., None])


def cutoff(
    beliefs: Beliefs,
    costs: Costs,
    lambda_: float | Array,
    raw: Array,
    lowest: float,
    highest: float,
) -> Array:
    """The raw judge score below which a query escalates.

    The margin of keeping over escalating is known at the bins' raw points ``raw`` (K,), ascending;
    between the last bin that escalates and the next one it is interpolated, so that the cutoff
    moves smoothly with lambda. ``lowest``: nothing escalates; ``highest``: everything does.
    """
    margin = beliefs.p_after - after_escalation(beliefs, costs, lambda_)
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


def indifference(beliefs: Beliefs, costs: Costs, lambda_: float | Array) -> Array:
    """The p below which a query goes to the cloud when judging is forbidden, in [0, 1]."""
    total = np.maximum(beliefs.g_mean + beliefs.b_mean, 1e-12)
    at = (beliefs.g_mean - lambda_ * (costs.cloud - costs.local)) / total
    return np.asarray(np.clip(at, 0.0, 1.0))
