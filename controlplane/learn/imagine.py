"""What each arm would have done with each query, by the very rule that serves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.learn.traffic import Columns
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask
from dataplane.contract.terms import Mode
from dataplane.strategies.courses import first_moves


@dataclass(frozen=True, slots=True)
class ArmGrid:
    """Arms as columns: ``modes`` and ``lambdas`` of length A."""

    modes: tuple[Mode, ...]
    lambdas: Array

    def __len__(self) -> int:
        return len(self.modes)

    def of_mode(self, mode: Mode) -> Mask:
        """(A,) booleans."""
        return np.array([each == mode for each in self.modes])


@dataclass(frozen=True, slots=True)
class Imagined:
    """Per query and arm, (N, A): expected quality, cost and bill, and the chances of each call.

    Where the score is known, all are those of the path that this score leads to. ``cost`` is in
    units and weighs waiting, ``usd`` is what is billed. The cloud serves whatever it answers.
    ``hinges`` (N, A): whether another score would lead elsewhere.
    """

    quality: Array
    cost: Array
    usd: Array
    local: Array
    judged: Array
    cloud: Array
    hinges: Mask


def imagine(draft: PolicyDocument, queries: Columns, arms: ArmGrid) -> Imagined:
    """Follow every arm over every query under the beliefs of ``draft``'s first segment."""
    beliefs = draft.beliefs(draft.segments[0], queries.p_hat[:, None, :])
    costs = draft.costs(queries.chars[:, None])
    straight, judges = _first_moves(rule.value(beliefs, costs, arms.lambdas), arms)
    weights = _bin_weights(draft, beliefs, queries.score)
    right = weights * beliefs.p_after[:, 0, :]
    mended = weights * rule.escalated_quality(beliefs)[:, 0, :]
    first, hinges = _first_kept(draft, beliefs, costs, queries.score, arms)
    judged = _from(right, first) + _until(mended, first)
    escalated = np.where(judges, _until(weights, first), 0.0)
    local = np.where(judges, judged, right.sum(axis=-1, keepdims=True))
    calls: tuple[Array, Array, Array] = (
        np.where(straight, 0.0, 1.0),
        np.where(judges, 1.0, 0.0),
        np.where(straight, 1.0, escalated),
    )
    return Imagined(
        np.where(straight, mended.sum(axis=-1, keepdims=True), local),
        _spent(costs, *calls),
        _spent(draft.bills(queries.chars[:, None]), *calls),
        *calls,
        judges & hinges,
    )


def _spent(prices: rule.Costs, local: Array, judged: Array, cloud: Array) -> Array:
    return np.asarray(local * prices.local + judged * prices.judge + cloud * prices.cloud)


def _first_moves(values: rule.Values, arms: ArmGrid) -> tuple[Mask, Mask]:
    """(N, A) booleans: straight to the cloud; local, and judged. As in strategies."""
    straight, judges = (np.zeros(values.cloud.shape, dtype=bool) for _ in range(2))
    for mode in set(arms.modes):
        at = arms.of_mode(mode)
        chosen = rule.Values(values.local[:, at], values.cloud[:, at], values.judged[:, at])
        straight[:, at], judges[:, at] = first_moves(chosen, mode)
    return straight, judges


def _first_kept(
    draft: PolicyDocument, beliefs: rule.Beliefs, costs: rule.Costs, score: Array, arms: ArmGrid
) -> tuple[NDArray[np.intp], Mask]:
    """(N, A): the lowest bin whose answer stays, 0 .. K; a known score keeps all bins or none.

    And whether some bins stay and others do not.
    """
    judge = draft.judge
    raw = judge.bins.raw
    cutoff = rule.cutoff(beliefs, costs, arms.lambdas, raw, judge.lowest, judge.highest)
    known = judge.clipped(score)[:, None]
    by_bin = np.searchsorted(raw, cutoff, side="left")
    first = np.where(np.isnan(known), by_bin, np.where(known >= cutoff, 0, len(raw)))
    return first, (by_bin > 0) & (by_bin < len(raw))


def _until(per_bin: Array, first: NDArray[np.intp]) -> Array:
    """(N, A): sums of (N, K) over the bins below ``first``."""
    sums = np.concatenate([np.zeros((len(per_bin), 1)), np.cumsum(per_bin, axis=-1)], axis=-1)
    return np.asarray(np.take_along_axis(sums, first, axis=-1))


def _from(per_bin: Array, first: NDArray[np.intp]) -> Array:
    """(N, A): sums of (N, K) over ``first`` and the bins above it."""
    return np.asarray(per_bin.sum(axis=-1, keepdims=True) - _until(per_bin, first))


def _bin_weights(draft: PolicyDocument, beliefs: rule.Beliefs, score: Array) -> Array:
    """(N, K): P(k | x), or, at a known score, the weights that interpolate between bins."""
    raw = draft.judge.bins.raw
    at = np.clip(np.nan_to_num(score, nan=raw[0]), raw[0], raw[-1])
    above = np.clip(np.searchsorted(raw, at, side="right"), 1, len(raw) - 1)
    share = (at - raw[above - 1]) / (raw[above] - raw[above - 1])
    rows = np.arange(len(score))
    weights = np.zeros((len(score), len(raw)))
    weights[rows, above - 1] = 1 - share
    weights[rows, above] = share
    return np.where(np.isnan(score)[:, None], beliefs.bin_probability[:, 0, :], weights)
