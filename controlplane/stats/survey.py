"""The mean of a finite stream of which a random part was labelled, by design.

Each query was labelled with a probability that was known before its label existed; nothing is
assumed of the labels, so the intervals hold under drift and under any change of policy. They are
for the mean of *this* stream and say nothing of the next one.

Sources: Hajek's ratio estimator (Sarndal, Swensson and Wretman, Model Assisted Survey Sampling,
1992, sections 5.7 and 6.3) with a model's prediction as the control variate, which is the
augmented inverse-probability estimator of active inference (Zrnic and Candes, arXiv 2403.03208);
its weight is tuned for power as in PPI++ (Angelopoulos, Duchi and Zrnic, arXiv 2311.01453). A
variance becomes an interval through the sample size that it is worth (Korn and Graubard, Survey
Methodology 24, 1998), since a normal interval is too short and lopsided near 0 and 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controlplane.stats.intervals import Interval, wilson

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """The labelled part of a stream, and what was predicted of all of it.

    ``value``, ``predicted`` and ``probability`` have shape (n,): label, prediction and chance of
    having been labelled, in (0, 1]. ``population_predicted`` is the mean prediction over the whole
    stream of ``population`` >= n queries.
    """

    value: Array
    predicted: Array
    probability: Array
    population_predicted: float
    population: int

    @property
    def weight(self) -> Array:
        """How many queries each label stands for (n,)."""
        return 1 / self.probability


def effective_labels(weight: Array) -> float:
    """Kish's effective sample size of weights (N,): n for equal ones, less otherwise."""
    total = float(weight.sum())
    return total * total / float(weight @ weight) if total else 0.0


def hajek_mean(survey: Survey, confidence: float = 0.95) -> Interval:
    """Wilson's interval around the weighted mean: for few labels.

    >>> ones = np.ones(50)
    >>> hajek_mean(Survey(ones, ones, ones / 2, 1.0, 100)).low.__round__(4)
    0.9287
    """
    weight = survey.weight
    mean = float(weight @ survey.value / weight.sum()) if len(weight) else 0.5
    return wilson(mean, effective_labels(weight), confidence)


def controlled_mean(survey: Survey, confidence: float = 0.95) -> tuple[Interval, float]:
    """Weighted mean with the prediction as control variate, and the weight given to it.

    The weight is the one that minimises the estimated variance, kept within [0, 1]: a prediction
    that carries nothing costs nothing. The interval is Wilson's for as many labels as would have
    this variance; it needs some ten of either outcome to be estimated from. Where there is no
    variance to go by it is ``hajek_mean``'s.

    >>> rng = np.random.default_rng(1)
    >>> p = rng.uniform(size=4000)
    >>> right = (rng.uniform(size=4000) < p).astype(float)
    >>> drawn = rng.uniform(size=4000) < 0.1
    >>> chance = np.full(drawn.sum(), 0.1)
    >>> survey = Survey(right[drawn], p[drawn], chance, p.mean(), 4000)
    >>> interval, power = controlled_mean(survey)
    >>> bool(interval.low < right.mean() < interval.high), power > 0.8
    (True, True)
    """
    weight, n = survey.weight, len(survey.value)
    power = _power(survey)
    residual = survey.value - power * survey.predicted
    correction = float(weight @ residual / weight.sum())
    spread = weight * (weight - 1) * (residual - correction) ** 2
    error = np.sqrt(spread.sum() * n / max(n - 2, 1)) / weight.sum()
    estimate = power * survey.population_predicted + correction
    if not (error > 0 and 0 < estimate < 1):
        return hajek_mean(survey, confidence), 0.0
    return wilson(estimate, estimate * (1 - estimate) / float(error) ** 2, confidence), power


def _power(survey: Survey) -> float:
    """Slope of the labels on the predictions, each weighed by its share of the variance."""
    share = survey.weight * (survey.weight - 1)
    if share.sum() <= 0:
        return 0.0
    centred = survey.predicted - share @ survey.predicted / share.sum()
    variance = float(share @ centred**2)
    if variance <= 0:
        return 0.0
    return float(np.clip((share * centred) @ survey.value / variance, 0.0, 1.0))
