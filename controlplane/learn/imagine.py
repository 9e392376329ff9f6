"""What each arm would have done with each query, by the very rule that serves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.learn.traffic import Columns
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask, Places
from dataplane.contract.terms import JudgeTable, Mode
from dataplane.strategies.courses import Moves, first_moves

QUERIES = 400  # in a block


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
    units and weighs waiting, ``usd`` is what is billed. ``dear`` has the chances of each dear tier:
    one of them at most is called, and serves what it answers.
    ``hinges`` (N, A): whether another score would lead elsewhere.
    """

    quality: Array
    cost: Array
    usd: Array
    local: Array
    judged: Array
    dear: tuple[Array, ...]
    hinges: Mask

    @property
    def to_dear(self) -> Array:
        """(N, A) The chance that a dear tier serves."""
        return sum(self.dear[1:], self.dear[0])

    @classmethod
    def joined(cls, parts: Sequence["Imagined"]) -> "Imagined":
        """Of all their queries, in order."""
        names = ("quality", "cost", "usd", "local", "judged", "hinges")
        columns = {name: np.concatenate([getattr(each, name) for each in parts]) for name in names}
        dear = zip(*(each.dear for each in parts), strict=True)
        return cls(**columns, dear=tuple(np.concatenate(tier) for tier in dear))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What a draft's first segment makes of queries (N,) before any arm is followed over them.

    ``weights`` (N, 1, K): P(k | x), or, at a known score, those that interpolate between bins.
    """

    judge: JudgeTable
    score: Array
    beliefs: rule.Beliefs
    costs: rule.Costs
    bills: rule.Costs
    weights: Array

    @classmethod
    def of(cls, draft: PolicyDocument, queries: Columns) -> "Block":
        """Of these queries, under this draft's beliefs."""
        beliefs = draft.beliefs(draft.segments[0], queries.p_hat[:, None, :])
        asked = queries.chars[:, None], queries.category[:, None]
        return cls(
            draft.judge,
            queries.score,
            beliefs,
            draft.costs(*asked),
            draft.bills(*asked),
            _bin_weights(draft.judge, beliefs, queries.score),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What a draft makes of queries, block by block: arms times bins of so many fit a cache."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, draft: PolicyDocument, queries: Columns) -> "Outlook":
        """Of these queries, under this draft's beliefs."""
        firsts = range(0, max(len(queries.score), 1), QUERIES)
        return cls(tuple(Block.of(draft, _part(queries, first)) for first in firsts))


def _part(queries: Columns, first: int) -> Columns:
    rows = slice(first, first + QUERIES)
    p_hat, chars = queries.p_hat[rows], queries.chars[rows]
    return Columns(p_hat, chars, queries.score[rows], queries.category[rows])


def imagine(seen: Outlook, arms: ArmGrid) -> Imagined:
    """Follow every arm over every query."""
    return Imagined.joined([_followed(block, arms) for block in seen.blocks])


def _followed(seen: Block, arms: ArmGrid) -> Imagined:
    beliefs, costs, weights = seen.beliefs, seen.costs, seen.weights
    escalated = rule.best_escalation(beliefs, costs, arms.lambdas)
    moves = _first_moves(rule.value(beliefs, costs, arms.lambdas, escalated), arms)
    right = weights * beliefs.p_after
    by_bin, first = _first_kept(seen, arms, escalated)
    best, parted = _best_after(seen, by_bin, arms)
    judged, unjudged, dear = _from(right, first), right.sum(axis=-1), []
    for place, each in enumerate(rule.escalated_quality(beliefs)):
        wanted, called = weights * (best == place), moves.dear == place
        judged = judged + _until(wanted * each, first)
        escalated = np.where(moves.judged, _until(wanted, first), 0.0)
        dear.append(np.where(moves.straight, called, escalated))
        unjudged = np.where(moves.straight & called, (weights * each).sum(axis=-1), unjudged)
    calls: tuple[Array, Array, tuple[Array, ...]] = (
        np.where(moves.straight, 0.0, 1.0),
        np.where(moves.judged, 1.0, 0.0),
        tuple(dear),
    )
    return Imagined(
        np.where(moves.judged, judged, unjudged),
        _spent(costs, *calls),
        _spent(seen.bills, *calls),
        *calls,
        moves.judged & (parted | ((by_bin > 0) & (by_bin < weights.shape[-1]))),
    )


def moved(before: Imagined, after: Imagined) -> Array:
    """(N, A) The share of each query that another tier serves than did before."""
    local = np.abs(after.to_dear - before.to_dear)
    dear = sum(np.abs(b - a) for a, b in zip(after.dear, before.dear, strict=True))
    return np.asarray((local + dear) / 2)


def _spent(prices: rule.Costs, local: Array, judged: Array, dear: tuple[Array, ...]) -> Array:
    spent = local * prices.local + judged * prices.judge
    for chance, price in zip(dear, prices.dear, strict=True):
        spent = spent + chance * price
    return np.asarray(spent)


def _first_moves(values: rule.Values, arms: ArmGrid) -> Moves:
    """(N, A) each, as in strategies."""
    shape = values.local.shape
    moves = Moves(np.zeros(shape, bool), np.zeros(shape, np.intp), np.zeros(shape, bool))
    for mode in set(arms.modes):
        at = arms.of_mode(mode)
        dear = tuple(each[:, at] for each in values.dear)
        made = first_moves(rule.Values(values.local[:, at], dear, values.judged[:, at]), mode)
        moves.straight[:, at], moves.dear[:, at] = made.straight, made.dear
        moves.judged[:, at] = made.judged
    return moves


def _best_after(seen: Block, by_bin: Places, arms: ArmGrid) -> tuple[Places, Mask]:
    """(N, A, K) The dear tier that is worth most after each bin, or at a known score.

    And whether bins below ``by_bin`` go to different tiers (N, A).
    """
    if len(seen.beliefs.dear) == 1:
        return np.zeros((1, 1, 1), dtype=np.intp), np.zeros((1, 1), dtype=np.bool_)
    after = list(rule.after_escalation(seen.beliefs, seen.costs, arms.lambdas))
    best = rule.Best.of(after).at
    below = np.arange(best.shape[-1]) < by_bin[..., None]
    parted = (below & (best != best[..., :1])).any(axis=-1)
    at_score = rule.Best.of([(seen.weights * each).sum(axis=-1) for each in after]).at
    return np.where(np.isnan(seen.score)[:, None, None], best, at_score[..., None]), parted


def _first_kept(seen: Block, arms: ArmGrid, escalated: Array) -> tuple[Places, Places]:
    """(N, A): the lowest bin whose answer stays, 0 .. K; and so at a known score, all or none."""
    judge, raw = seen.judge, seen.judge.bins.raw
    ends = judge.lowest, judge.highest
    cutoff = rule.cutoff(seen.beliefs, seen.costs, arms.lambdas, raw, *ends, escalated)
    known = judge.clipped(seen.score)[:, None]
    by_bin = np.searchsorted(raw, cutoff, side="left")
    kept = np.where(known >= cutoff, 0, len(raw))
    return by_bin, np.where(np.isnan(known), by_bin, kept)


def _until(per_bin: Array, first: Places) -> Array:
    """(N, A): sums of (N, 1 or A, K) over the bins below ``first``."""
    none = np.zeros((*per_bin.shape[:-1], 1))
    sums = np.concatenate([none, np.cumsum(per_bin, axis=-1)], axis=-1)
    return rule.picked(sums, first)


def _from(per_bin: Array, first: Places) -> Array:
    """(N, A): sums of (N, 1 or A, K) over ``first`` and the bins above it."""
    return np.asarray(per_bin.sum(axis=-1) - _until(per_bin, first))


def _bin_weights(judge: JudgeTable, beliefs: rule.Beliefs, score: Array) -> Array:
    weights = judge.weights(score)[:, None, :]
    return np.where(np.isnan(score)[:, None, None], beliefs.bin_probability, weights)
