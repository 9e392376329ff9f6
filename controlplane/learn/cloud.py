"""g and b: how often the cloud mends a wrong local answer, and spoils a right one.

Neither is taken as independent of the local answer or of the judge's bin: both are logistic in
logit p and z (METHODS section 1), fitted where both answers carry a label.
"""

import numpy as np

from controlplane.learn import logistic
from controlplane.learn.evidence import Labels
from controlplane.learn.judge import Bins
from controlplane.learn.logistic import Normal
from dataplane.contract.rule import logit
from dataplane.contract.terms import Platt

PRECISION = np.array([0.6, 4.0, 40.0])
MENDS = Normal.independent(np.array([1.5, 0.0, 0.0]), PRECISION)
SPOILS = Normal.independent(np.array([-3.0, 0.0, 0.0]), PRECISION)


def fit(
    parted: Bins,
    labels: Labels,
    calibration: Platt,
    mends: Normal = MENDS,
    spoils: Normal = SPOILS,
) -> tuple[Normal, Normal]:
    """What is believed of ``g`` and ``b``: intercept, slope of logit p, slope of z.

    Where nothing is scored they are functions of logit p alone.
    """
    both = ~np.isnan(labels.local) & ~np.isnan(labels.cloud)
    scored = ~np.isnan(labels.score)
    both = both & scored if scored.any() else both
    z = np.where(scored[both], parted.z[parted.of(labels.score[both])], 0.0)
    p = calibration.probability(logit(labels.p_hat[both]))
    x = np.column_stack([np.ones_like(z), logit(p), z])
    local, cloud, weight = labels.local[both], labels.cloud[both], labels.weight[both]
    return (
        logistic.fit(x, cloud, weight * (1 - local), mends),
        logistic.fit(x, 1 - cloud, weight * local, spoils),
    )


def platt(believed: Normal) -> Platt:
    """As a policy states it."""
    intercept, slope, z_slope = (float(value) for value in believed.mean)
    return Platt(intercept=intercept, slope=slope, z_slope=z_slope)
