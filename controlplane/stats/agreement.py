"""Cohen's kappa: how far two labellers agree beyond what chance alone would make them."""

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval, by_variance, wilson
from controlplane.stats.rates import mean_variance

Array = NDArray[np.float64]


def cohens_kappa(first: Array, second: Array, confidence: float = 0.95) -> Interval:
    """Kappa of two labellers' values of the same n answers (n,), in [-1, 1].

    Values are taken as names: .5 and 1 disagree as much as 0 and 1. The variance is the
    large-sample one (Fleiss, Cohen and Everitt, Psychological Bulletin 72, 1969), and the interval
    Wilson's, on the scale (1 + kappa) / 2, for the labels that it is worth. Where they agree on
    everything, it is that of their agreement. Raises ``ValueError`` if both always say the same
    one thing, for then kappa is not defined.

    >>> first, second = np.repeat([1.0, 1.0, 0.0, 0.0], [40, 5, 5, 50]), np.repeat([1.0, 0.0], 50)
    >>> second[40:50] = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    >>> round(cohens_kappa(first, second).estimate, 2)
    0.8
    """
    names, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    if len(names) < 2:
        raise ValueError("kappa needs two different values")
    a, b = np.split(place, 2)
    share_a, share_b = (np.bincount(each, minlength=len(names)) / len(a) for each in (a, b))
    agreed, by_chance = float((a == b).mean()), float(share_a @ share_b)
    beyond = 1 - by_chance
    kappa = (agreed - by_chance) / beyond
    if agreed == 1:
        least = wilson(1.0, len(a), confidence).low
        return Interval(1.0, 1 - (1 - least) / beyond, 1.0)
    expected = share_b[a] + share_a[b] - 2 * by_chance
    influence = ((a == b) - agreed - (1 - kappa) * expected) / beyond
    variance = mean_variance(influence, np.ones(len(a)))
    middle = (1 + kappa) / 2
    half = by_variance(middle, variance / 4, len(a), confidence)
    return Interval(kappa, 2 * half.low - 1, 2 * half.high - 1)
