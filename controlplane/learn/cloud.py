"""g and b: how often the cloud mends a wrong local answer, and spoils a right one.

Neither is taken as independent of the local answer or of the judge's bin: both are logistic in
logit p, z and the logit of the cloud's own p_hat (Dekoninck et al., arXiv 2410.10347, section 4:
no tier's success is independent of another's), fitted where both answers carry a label.
"""

import numpy as np

from controlplane.learn import logistic
from controlplane.learn.evidence import Labels
from controlplane.learn.judge import Bins
from controlplane.learn.logistic import Normal
from dataplane.contract.rule import Array, logit
from dataplane.contract.terms import Platt

PRECISION = np.array([0.6, 4.0, 40.0, 4.0])
MENDS = Normal.independent(np.array([1.5, 0.0, 0.0, 0.0]), PRECISION)
SPOILS = Normal.independent(np.array([-3.0, 0.0, 0.0, 0.0]), PRECISION)


def fit(
    parted: Bins,
    labels: Labels,
    calibration: Platt,
    mends: Normal = MENDS,
    spoils: Normal = SPOILS,
) -> tuple[Normal, Normal]:
    """What is believed of ``g`` and ``b``: intercept, slopes of logit p, z and the cloud's logit.

    Where nothing is scored they do not depend on z.
    """
    both = ~np.isnan(labels.local) & ~np.isnan(labels.cloud)
    scored = ~np.isnan(labels.score)
    both = both & scored if scored.any() else both
    z = np.where(scored[both], parted.z[parted.of(labels.score[both])], 0.0)
    x = design(calibration, labels.p_hat[both], z)
    local, cloud, weight = labels.local[both], labels.cloud[both], labels.weight[both]
    return (
        logistic.fit(x, cloud, weight * (1 - local), mends),
        logistic.fit(x, 1 - cloud, weight * local, spoils),
    )


def design(calibration: Platt, p_hat: Array, z: Array) -> Array:
    """(N, 4): what ``g`` and ``b`` depend on, from ``p_hat`` (N, tiers) and ``z`` (N,)."""
    p = calibration.probability(logit(p_hat[:, 0]))
    return np.column_stack([np.ones_like(z), logit(p), z, logit(p_hat[:, -1])])


def platt(believed: Normal) -> Platt:
    """As a policy states it."""
    intercept, slope, z_slope, dear_slope = (float(value) for value in believed.mean)
    return Platt(intercept=intercept, slope=slope, z_slope=z_slope, dear_slope=dear_slope)
