"""The decision rule on plain numbers: what the figures of a policy mean.

Source: Dekoninck et al., "A Unified Approach to Routing and Cascading for LLMs" (arXiv 2410.10347,
sections 2 to 4), written out for a local tier with a binned judge and any number of dear tiers, of
which at most one is called.

Names follow the formulas. ``p``: P(local right | x). For a judge bin ``k`` of ``K``:
``f1[k]`` = P(k | local right), ``f0[k]`` = P(k | local wrong); and for each dear tier, ``g[k]`` =
P(dear right | local wrong, x, k), ``b[k]`` = P(dear wrong | local right, x, k). Costs are in units
of one mean cloud call, ``lambda_`` in quality per such unit.

Everything broadcasts: ``p``, the costs and ``lambda_`` share leading shapes (one query and one
lambda in the gateway; queries (N, 1) against arms (A,) in the learner), bins are the last axis.
Dear tiers are no axis but a tuple: of one, a maximum costs nothing.
One arithmetic serves both, so the learner imagines exactly what the gateway would do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]

EDGE = 1e-6  # probabilities are kept this far from 0 and 1 before a logit


def logit(p: float | Array) -> Array:
    """Log-odds of ``p``, clipped away from 0 and 1."""
    clipped = np.minimum(np.maximum(p, EDGE), 1 - EDGE)  # np.clip takes three times as long
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)


def expit(x: float | Array) -> Array:
    """The logistic function, safe for large arguments."""
    return np.asarray(1 / (1 + np.exp(-np.minimum(np.maximum(x, -40.0), 40.0))), dtype=np.float64)


def picked(values: Array, at: Places) -> Array:
    """Of ``values`` (..., K) those at the places ``at`` (...) of the last axis.

    As ``np.take_along_axis``, which takes several times as long.
    """
    rows = np.arange(0, values.size, values.shape[-1]).reshape(values.shape[:-1])
    return np.asarray(values.reshape(-1).take(rows + at))


@dataclass(frozen=True, slots=True)
class Costs:
    """Expected costs of a query, in units of one mean cloud call; ``dear`` of each dear tier."""

    local: float | Array
    judge: float | Array
    dear: tuple[float | Array, ...]


@dataclass(frozen=True, slots=True)
class Dear:
    """What is believed of a dear tier: ``g``, ``b`` (..., K) and their means over the bins."""

    g: Array
    b: Array
    g_mean: Array
    b_mean: Array


@dataclass(frozen=True, slots=True)
class Floor:
    """A raw ``score`` below which no local answer is accepted; ``barred`` (K,): the bins there.

    Without a score none is accepted either: one that is not judged goes to a dear tier.
    """

    score: float
    barred: Mask

    @classmethod
    def at(cls, score: float, raw: Array) -> "Floor":
        """A floor over bins that these raw points (K,) stand for."""
        return cls(score, raw < score)


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What a policy believes of a query, before and after each judge bin.

    ``p`` has the leading shape, the arrays after it a last axis of K bins. ``floor``: what the
    policy may not accept, whatever it believes.
    """

    p: Array
    bin_probability: Array  # P(k | x)
    p_after: Array  # P(local right | x, k)
    dear: tuple[Dear, ...]
    floor: Floor | None = None


@dataclass(frozen=True, slots=True)
class Best:
    """The greatest of several values, and the place of the first that has it."""

    value: Array
    at: Places

    @classmethod
    def of(cls, values: Sequence[Array]) -> "Best":
        """The best of at least one."""
        value, at = values[0], np.zeros((), dtype=np.intp)
        for place, each in enumerate(values[1:], 1):
            better = each > value
            value, at = np.where(better, each, value), np.where(better, place, at)
        return cls(value, at)


@dataclass(frozen=True, slots=True)
class Values:
    """Quality minus lambda times cost of the first moves; ``dear`` of each dear tier.

    A move that a floor bars is worth -inf.
    """

    local: Array
    dear: tuple[Array, ...]
    judged: Array


def believe(
    p: float | Array,
    f1: Array,
    f0: Array,
    g: Sequence[Array],
    b: Sequence[Array],
    floor: Floor | None = None,
) -> Beliefs:
    """Bayes over the judge's bins: ``f1``, ``f0`` (K,); by dear tier ``g``, ``b`` (..., K)."""
    prior = np.asarray(p, dtype=np.float64)
    right, wrong = prior[..., None] * f1, (1 - prior[..., None]) * f0
    bin_probability = right + wrong
    p_after = right / np.maximum(bin_probability, 1e-300)
    dear = tuple(
        Dear(mends, spoils, (f0 * mends).sum(axis=-1), (f1 * spoils).sum(axis=-1))
        for mends, spoils in zip(g, b, strict=True)
    )
    return Beliefs(prior, bin_probability, p_after, dear, floor)


def value(
    beliefs: Beliefs, costs: Costs, lambda_: float | Array, escalated: Array | None = None
) -> Values:
    """Values of answering locally, going straight to a dear tier, and judging the local answer.

    ``escalated`` is ``best_escalation``, where that is known already.
    """
    local, accepted = beliefs.p - lambda_ * costs.local, beliefs.p_after
    if beliefs.floor is not None:
        local = np.full_like(local, -np.inf)
        accepted = np.where(beliefs.floor.barred, -np.inf, accepted)
    dear = tuple(
        np.asarray(quality - lambda_ * cost)
        for quality, cost in zip(dear_quality(beliefs), costs.dear, strict=True)
    )
    after = [escalated] if escalated is not None else after_escalation(beliefs, costs, lambda_)
    kept = reduce(np.maximum, after, accepted)
    judged = (kept * beliefs.bin_probability).sum(axis=-1) - lambda_ * (costs.local + costs.judge)
    return Values(np.asarray(local), dear, np.asarray(judged))


def dear_quality(beliefs: Beliefs) -> tuple[Array, ...]:
    """P(dear right | x), by dear tier."""
    p = beliefs.p
    return tuple(np.asarray(p * (1 - each.b_mean) + (1 - p) * each.g_mean) for each in beliefs.dear)


def escalated_quality(beliefs: Beliefs) -> tuple[Array, ...]:
    """P(dear right | x, k), by dear tier and per bin."""
    p = beliefs.p_after
    return tuple(np.asarray(p * (1 - each.b) + (1 - p) * each.g) for each in beliefs.dear)


def right(beliefs: Beliefs, k: int | None) -> tuple[Array, ...]:
    """P(right | x) by tier, the local one first; given bin ``k`` where its answer was judged."""
    if k is None:
        return beliefs.p, *dear_quality(beliefs)
    return beliefs.p_after[..., k], *(each[..., k] for each in escalated_quality(beliefs))


def after_escalation(beliefs: Beliefs, costs: Costs, lambda_: float | Array) -> Iterator[Array]:
    """Value of escalating after bin k, per bin: of each dear tier in turn, for they are large."""
    for quality, cost in zip(escalated_quality(beliefs), costs.dear, strict=True):
        charge = np.asarray(lambda_ * cost, dtype=np.float64)
        yield np.asarray(quality - charge[..., None])


def best_escalation(beliefs: Beliefs, costs: Costs, lambda_: float | Array) -> Array:
    """Value of escalating after bin k, per bin, to the dear tier that is worth most there.

    There has to be one.
    """
    return reduce(np.maximum, after_escalation(beliefs, costs, lambda_))


def cutoff(
    beliefs: Beliefs,
    costs: Costs,
    lambda_: float | Array,
    raw: Array,
    lowest: float,
    highest: float,
    escalated: Array | None = None,
) -> Array:
    """The raw judge score below which a query escalates.

    The margin of keeping over escalating to the best dear tier is known at the bins' raw points
    ``raw`` (K,), ascending; between the last bin that escalates and the next one it is
    interpolated, so that the cutoff moves smoothly with lambda. ``lowest``: nothing escalates;
    ``highest``: everything does. Never below the floor of what may be accepted. ``escalated`` is
    ``best_escalation``, where that is known already.
    """
    if escalated is None:
        escalated = best_escalation(beliefs, costs, lambda_)
    margin = beliefs.p_after - escalated
    escalates = margin < 0
    last = len(raw) - 1
    below = last - np.argmax(escalates[..., ::-1], axis=-1)  # the highest bin that escalates
    above = np.minimum(below + 1, last)
    at_below, at_above = picked(margin, below), picked(margin, above)
    span = np.where(above > below, at_above - at_below, 1.0)
    crossing = raw[below] + (raw[above] - raw[below]) * (-at_below / span)
    inner = np.where(below == last, highest, crossing)
    at = np.asarray(np.where(at_below < 0, inner, lowest))  # not below 0: nothing escalates
    return at if beliefs.floor is None else np.maximum(at, beliefs.floor.score)


def indifference(beliefs: Beliefs, costs: Costs, lambda_: float | Array) -> Array:
    """The p below which some dear tier is called when judging is forbidden, in [0, 1]."""
    at: float | Array = 0.0
    for each, cost in zip(beliefs.dear, costs.dear, strict=True):
        total = np.maximum(each.g_mean + each.b_mean, 1e-12)
        at = np.maximum(at, (each.g_mean - lambda_ * (cost - costs.local)) / total)
    return np.asarray(np.minimum(at, 1.0))
