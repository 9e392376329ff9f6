"""What another policy would have been worth on the queries of a log: three estimators, one refusal.

Of each query the log holds the labelled value of the answer that the policy in question would have
served, or does not; with which probability it came to hold it was known before. Nothing else is
assumed, so these are intervals of the mean over *those* queries, under drift and retuning alike.

``ips``: values weighted by one over their chance, over all queries (Horvitz and Thompson, JASA 47,
1952). ``snips``: over the sum of the weights instead, which no longer errs with how many happened
to be drawn (Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual Learning,
NIPS 2015). ``dr``: what a model expects of all queries, plus the weighted mean of its errors
(Dudik, Langford and Li, Doubly Robust Policy Evaluation and Learning, ICML 2011): right on average
whatever the model, and as narrow as the model is good. The first and the last are without bias, but
for what is cut off below 0 and above 1.

A log that hardly met what the policy would have done tells nothing of it, and all three say so
instead of giving a figure.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from controlplane.stats.aipw import aipw_scores
from controlplane.stats.intervals import Interval, normal_quantile
from controlplane.stats.survey import effective_labels

Array = NDArray[np.float64]

LEAST_LABELS = 50.0  # effective ones, below which a variance is not to be relied on
MOST_UNREACHABLE = 0.05  # share of queries that may be a matter of bounds alone
MOST_OF_ONE = 0.1  # share of all weight that one label may have
SUPPOSED = 2.0  # labels of either extreme that a variance counts beside those seen


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """A mean over all queries, from ``labels`` of them, that are worth ``effective_labels``.

    ``unreachable``: the share of queries whose value could not come to be known. The interval
    supposes nothing of them, and reaches from all of them worth 0 to all worth 1.
    """

    interval: Interval
    labels: int
    effective_labels: float
    unreachable: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a log cannot tell, and what would help: a sentence each."""

    reason: str
    remedy: str

    @property
    def words(self) -> str:
        """Both."""
        return f"{self.reason} {self.remedy}"


def ips(value: Array, chance: Array, confidence: float = 0.95) -> OffPolicy | Refusal:
    """Horvitz and Thompson's mean of ``value`` (N,) in [0, 1], NaN where not known.

    ``chance`` (N,) is the probability with which it came to be known: 0 if it never could. Raises
    ``ValueError`` for values outside [0, 1].

    >>> value, half = np.tile([1.0, np.nan, 0.0, np.nan], 50), np.full(200, 0.5)
    >>> told = ips(value, half)
    >>> told.labels, told.interval.estimate, round(told.interval.low, 2)
    (100, 0.5, 0.4)
    """
    return refusal(value, chance) or _corrected(value, chance, np.zeros(len(value)), confidence)


def dr(value: Array, chance: Array, model: Array, confidence: float = 0.95) -> OffPolicy | Refusal:
    """The doubly robust mean; ``value`` and ``chance`` as for ``ips``.

    ``model`` (N,) in [0, 1] is what is expected of each value, known or not, by one who has not
    seen any of these values. Raises ``ValueError`` for values or expectations outside [0, 1].

    >>> value, half = np.tile([1.0, np.nan, 0.0, np.nan], 50), np.full(200, 0.5)
    >>> told = dr(value, half, np.tile([0.9, 0.9, 0.1, 0.1], 50))
    >>> round(told.interval.low, 2), round(told.interval.high, 2)
    (0.48, 0.52)
    """
    return refusal(value, chance) or _corrected(value, chance, model, confidence)


def snips(value: Array, chance: Array, confidence: float = 0.95) -> OffPolicy | Refusal:
    """The self-normalised mean; all as for ``ips``.

    Biased by some 1 / ``effective_labels``; of chances only their ratios count.

    >>> value, half = np.tile([1.0, np.nan, 0.0, np.nan], 50), np.full(200, 0.5)
    >>> told = snips(value, half)
    >>> round(told.interval.low, 2), round(told.interval.high, 2)
    (0.43, 0.57)
    >>> snips(np.full(200, np.nan), np.zeros(200)).reason
    'The answers that 100.0 % of the queries want could not come to be known: 5 % may be so.'
    """
    refused = refusal(value, chance)
    if refused is not None:
        return refused
    known = ~np.isnan(value)
    weight, seen = 1 / chance[known], _within(value[known])
    mean = float(weight @ seen / weight.sum())
    squares = _squares(weight, seen - mean, mean**2 + (1 - mean) ** 2)
    found = _student(mean, squares / weight.sum() ** 2, effective_labels(weight), confidence)
    return _of_all(found, weight, chance)


def refusal(value: Array, chance: Array) -> Refusal | None:
    """Why no estimate can be made of these; None where one can. All as for ``ips``."""
    known, reached = ~np.isnan(value), chance > 0
    if not ((chance >= 0) & (chance <= 1)).all() or (known & ~reached).any():
        return Refusal(
            "Some logged chances are no probabilities, or 0 of what is known nevertheless.",
            "Log the probability of every draw before its label exists.",
        )
    unreachable = float((~reached).mean()) if len(value) else 0.0
    if unreachable > MOST_UNREACHABLE:
        return Refusal(
            f"The answers that {100 * unreachable:.1f} % of the queries want could not come to be "
            f"known: {100 * MOST_UNREACHABLE:.0f} % may be so.",
            "Shadow the tiers that do not serve, judge and audit those that do, for a while; then "
            "ask again.",
        )
    weight = 1 / chance[known]
    effective = effective_labels(weight)
    if effective < LEAST_LABELS:
        return Refusal(
            f"{known.sum()} labels tell of it, worth {effective:.0f}: {LEAST_LABELS:.0f} are "
            "wanted.",
            "Look back on more queries, or raise the shadow and audit rates; then ask again.",
        )
    heaviest = float(weight.max() / weight.sum())
    if heaviest > MOST_OF_ONE:
        return Refusal(
            f"One label has {100 * heaviest:.0f} % of all weight: {100 * MOST_OF_ONE:.0f} % is "
            "the most.",
            "Raise the least shadow and audit rates, so that no label stands for so many queries.",
        )
    return None


def _corrected(value: Array, chance: Array, model: Array, confidence: float) -> OffPolicy:
    """A model's mean, and that of its weighted errors."""
    known, reached = ~np.isnan(value), chance > 0
    scores = aipw_scores(model[reached], chance[reached], value[reached])
    weight, expected = 1 / chance[known], model[known]
    error = value[known] - expected
    squares = _squares(weight, error, expected**2 + (1 - expected) ** 2)
    found = _student(
        float(scores.phi.mean()),
        squares / reached.sum() ** 2,
        effective_labels(weight),
        confidence,
    )
    return _of_all(found, weight, chance)


def _squares(weight: Array, error: Array, extremes: Array | float) -> float:
    """The variance of a weighted sum of errors over the draw, estimated with caution.

    Errors that are rare may have been missed, so two more labels are counted that were as wrong as
    a label can be on the one side, and two on the other (after Agresti and Coull, American
    Statistician 52, 1998), each as weighty as that of a query which is picked at random.
    """
    share = weight * (weight - 1)
    supposed = SUPPOSED * float(weight @ (share * extremes)) / float(weight.sum())
    return float(share @ error**2) + supposed


def _student(mean: float, variance: float, labels: float, confidence: float) -> Interval:
    """Student's interval within [0, 1]; its centre may lie outside."""
    normal_quantile(confidence)
    reach = float(stdtrit(max(labels - 1, 1), (1 + confidence) / 2)) * sqrt(variance)
    return Interval(*(min(max(end, 0.0), 1.0) for end in (mean, mean - reach, mean + reach)))


def _of_all(found: Interval, weight: Array, chance: Array) -> OffPolicy:
    """Of all queries, from those that could be reached."""
    unreachable = float((chance == 0).mean())
    reached = 1 - unreachable
    all_ = Interval(found.estimate, reached * found.low, reached * found.high + unreachable)
    return OffPolicy(all_, len(weight), effective_labels(weight), unreachable)


def _within(values: Array) -> Array:
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("values must lie between 0 and 1")
    return values
