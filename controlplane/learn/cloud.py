"""g and b: how often the cloud mends a wrong local answer, and spoils a right one.

Neither is taken as independent of the local answer or of the judge's bin: both are logistic in
logit p and z (METHODS section 1), fitted where both answers carry a label.
"""

import numpy as np

from controlplane.learn import logistic
from controlplane.learn.evidence import Labels
from controlplane.learn.judge import Bins
from dataplane.contract.rule import Array, logit
from dataplane.contract.terms import Platt

PRIOR_MENDS = np.array([1.5, 0.0, 0.0])
PRIOR_SPOILS = np.array([-3.0, 0.0, 0.0])
PRECISION = np.array([0.3, 20.0, 20.0])


def fit(parted: Bins, labels: Labels, calibration: Platt) -> tuple[Platt, Platt]:
    """``g`` and ``b`` as functions of logit p and z; where nothing is scored, of logit p alone."""
    both = ~np.isnan(labels.local) & ~np.isnan(labels.cloud)
    scored = ~np.isnan(labels.score)
    both = both & scored if scored.any() else both
    z = np.where(scored[both], parted.z[parted.of(labels.score[both])], 0.0)
    p = calibration.probability(logit(labels.p_hat[both]))
    x = np.column_stack([np.ones_like(z), logit(p), z])
    local, cloud, weight = labels.local[both], labels.cloud[both], labels.weight[both]
    g = _platt(logistic.fit(x, cloud, weight * (1 - local), PRIOR_MENDS, PRECISION))
    b = _platt(logistic.fit(x, 1 - cloud, weight * local, PRIOR_SPOILS, PRECISION))
    return g, b


def _platt(theta: Array) -> Platt:
    intercept, slope, z_slope = (float(value) for value in theta)
    return Platt(intercept=intercept, slope=slope, z_slope=z_slope)
