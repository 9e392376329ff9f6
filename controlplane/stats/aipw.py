"""The score that each query adds to an estimate of quality, whether it was labelled or not.

``phi = m + D / pi (y - m)`` for prediction m, label y and draw D of probability pi (Robins,
Rotnitzky and Zhao, JASA 89, 1994; Zrnic and Candes, arXiv 2403.03208, section 3). A query's
prediction and probability are fixed before its draw, so phi has mean y over the draw alone: sums of
phi - y are a martingale whatever y may be, under drift, retuning and clustered conversations alike.
Sequences built on them follow the running mean of the answers that were in fact served.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """In the order of the queries (N,).

    ``phi`` estimates each query's value without bias, ``surprise`` is phi less the prediction, and
    ``variance`` estimates the variance of phi over the draw, without bias; the last two are 0
    where there was no label.
    """

    phi: Array
    surprise: Array
    variance: Array


def aipw_scores(predicted: Array, probability: Array, value: Array) -> Scores:
    """Scores of queries (N,): ``value`` in [0, 1] is NaN where not drawn, probability in (0, 1].

    The probability of an undrawn query is not looked at. Raises ``ValueError`` for predictions or
    values outside [0, 1], which sequences rely on.

    >>> half = np.array([0.5, 0.5])
    >>> aipw_scores(half, half, np.array([np.nan, 1.0])).phi.tolist()
    [0.5, 1.5]
    """
    drawn = ~np.isnan(value)
    if not (_within(predicted) and _within(value[drawn])):
        raise ValueError("predictions and values must lie between 0 and 1")
    weight = np.zeros_like(predicted)
    weight[drawn] = 1 / probability[drawn]
    error = np.where(drawn, value, predicted) - predicted
    return Scores(
        phi=predicted + weight * error,
        surprise=weight * error,
        variance=weight * np.maximum(weight - 1, 0) * error**2,
    )


def _within(values: Array) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())
