"""What labels say of each category, beside what p_hat makes of the text.

p_hat learns by steps, and what all queries of a category have in common takes each of them: its
mean in a category follows the last few dozen labels. The mean of all labels is far steadier, so the
weight of the category is shifted until both agree, or as nearly as there are labels: with n of
them n / (n + ``PRIOR``) of the way (docs/decisions/010).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.learn.evidence import Labels
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.traffic import Columns, Traffic
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, expit, logit
from dataplane.features import CATEGORIES

PRIOR = 20.0  # labels' worth of "the text says it all"
EDGE = 0.02  # no mean is believed to be nearer to 0 or 1
ROUNDS = 5  # of Newton's method
SLOPED = 0.3  # where a draft follows p_hat by less of a slope its level is left as it is
STRIDE = 1.0  # in log-odds, the most that a round goes
SIZE = CATEGORIES + 1  # with 0, of no category


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What labels say of one tier, by category (``SIZE``,): how many, faded, and their mean.

    ``overall``: the mean of them all.
    """

    count: Array
    mean: Array
    overall: float = 0.5

    @property
    def leaning(self) -> Array:
        """(SIZE,) The means as far as there are labels, and else that of all."""
        share = self.count / (self.count + PRIOR)
        return np.clip(self.overall + share * (self.mean - self.overall), EDGE, 1 - EDGE)


def told(labels: Labels, tier: int) -> Told:
    """Of the tier of this place.

    A label weighs one over the chance of being asked for, or the mean would be of what was served.
    """
    kinds = labels.category
    known = ~np.isnan(labels.right[:, tier]) & (labels.probability[:, tier] > 0)
    faded, at = labels.weight[known], kinds[known]
    weight = faded / labels.probability[known, tier]
    worth = np.bincount(at, weight * labels.right[known, tier], SIZE)
    total = np.bincount(at, weight, SIZE)
    count = np.bincount(at, faded, SIZE).astype(np.float64)
    count[0] = 0.0
    overall = float(worth.sum() / max(float(total.sum()), 1e-12))
    return Told(count, worth / np.maximum(total, 1e-12), overall)


def usual_words(traffic: Traffic, predictor: QualityPredictor) -> dict[int, float]:
    """The log-odds that the words of a usual query of each category come to."""
    kinds, said = traffic.categories(), traffic.log_odds(predictor.words())
    queries = np.bincount(kinds, minlength=SIZE)
    mean = np.bincount(kinds, said, SIZE) / np.maximum(queries, 1)
    return {kind: float(mean[kind]) for kind in np.flatnonzero(queries).tolist() if kind}


def shifts(traffic: Traffic, predictor: QualityPredictor, told: Told) -> dict[int, float]:
    """By how much the weight of each category should differ from what was learned step by step."""
    kinds, weight = traffic.categories(), traffic.weights()
    by = np.zeros(SIZE)
    by[list(predictor.shifts)] = list(predictor.shifts.values())
    stepped = traffic.log_odds(predictor.estimator()) - weight * by[kinds]
    queries = np.maximum(np.bincount(kinds, minlength=SIZE), 1)
    mean = np.bincount(kinds, expit(stepped), SIZE) / queries
    wanted = mean + told.count / (told.count + PRIOR) * (told.mean - mean)
    wanted = np.clip(wanted, EDGE, 1 - EDGE) * queries
    usual = np.bincount(kinds, weight, SIZE) / queries
    for _ in range(ROUNDS):
        p = expit(stepped + weight * by[kinds])
        slope = np.bincount(kinds, weight * p * (1 - p), SIZE)
        away = wanted - np.bincount(kinds, p, SIZE)
        most = STRIDE / np.maximum(usual, 1e-12)
        by += np.clip(away / np.maximum(slope, 1e-12), -most, most)
    seen = (told.count > 0) & (usual > 0)
    return {kind: float(by[kind]) for kind in np.flatnonzero(seen).tolist()}


def settled(draft: PolicyDocument, seen: Columns, weight: Array, tolds: Sequence[Told]) -> Array:
    """(tiers, SIZE) By how much further to shift, so that what a draft makes of each tier leans.

    Its calibrations are fitted to fewer labels than a tier has, and know no category: where one of
    several tiers is picked they part levels by more than labels do. ``weight`` (N,): of a bucket.
    """
    segment, kinds = draft.segments[0], seen.category
    queries = np.maximum(np.bincount(kinds, minlength=SIZE), 1)
    weighs = np.maximum(np.bincount(kinds, weight, SIZE) / queries, 1e-12)
    wanted = logit(np.stack([told.leaning for told in tolds]))
    slopes = np.array([1.0, *(each.dear_slope for each in segment.dear_if_local_wrong)])[:, None]
    known = np.stack([told.count > 0 for told in tolds]) & (slopes > SLOPED)
    by = np.zeros(known.shape)
    for _ in range(ROUNDS):
        beliefs = draft.beliefs(segment, expit(logit(seen.p_hat) + (weight * by[:, kinds]).T))
        made = (beliefs.p, *rule.dear_quality(beliefs))
        mean = np.stack([np.bincount(kinds, each, SIZE) / queries for each in made])
        away = (wanted - logit(mean)) / np.maximum(slopes, SLOPED)
        by += np.where(known, np.clip(away, -STRIDE, STRIDE), 0.0) / weighs
    return by
