"""g and b: how often a dear tier mends a wrong local answer, and spoils a right one.

Neither is taken as independent of the local answer or of the judge's bin: both are logistic in
logit p, z and the logit of the tier's own p_hat (Dekoninck et al., arXiv 2410.10347, section 4: no
tier's success is independent of another's), fitted where both answers carry a label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.learn import logistic
from controlplane.learn.evidence import Labels
from controlplane.learn.judge import Bins
from controlplane.learn.logistic import Normal
from dataplane.contract.rule import Array, logit
from dataplane.contract.terms import Platt

PRECISION = np.array([0.6, 4.0, 40.0, 4.0])
FACE_VALUE = np.array([0.6, 4.0, 40.0, 20.0])
COEFFICIENTS = len(PRECISION)


def _around(precision: Array, *mean: float) -> Normal:
    return Normal.independent(np.array(mean), precision)


@dataclass(frozen=True, slots=True)
class Dear:
    """What is believed of a dear tier: of its ``g`` and its ``b``, each as ``design`` has it."""

    mends: Normal
    spoils: Normal

    def told(self, x: Array, local: Array, right: Array, weight: Array) -> "Dear":
        """The same once queries (N, ...) were answered by both tiers, and both answers labelled."""
        return Dear(
            logistic.fit(x, right, weight * (1 - local), self.mends),
            logistic.fit(x, 1 - right, weight * local, self.spoils),
        )


ALONE = Dear(_around(PRECISION, 1.5, 0, 0, 0), _around(PRECISION, -3, 0, 0, 0))
AMONG = Dear(_around(FACE_VALUE, 0, 0, 0, 1), _around(FACE_VALUE, -1, 0, 0, -1))


UNPROVEN = Platt(intercept=-12.0), Platt(intercept=12.0)  # never right: no arm calls such a tier


def vague(tiers: int) -> Dear:
    """What is believed of a dear tier of so many tiers before any label.

    Among others it is called where its own p_hat stands out, which is taken at face value; of a
    single one the mean gain matters more.
    """
    return ALONE if tiers == 2 else AMONG


def fit(parted: Bins, labels: Labels, calibration: Platt, tier: int, prior: Dear) -> Dear:
    """What is believed of that tier. Where nothing is scored it does not depend on z."""
    both, scored = labels.telling(tier), ~np.isnan(labels.score)
    z = np.where(scored[both], parted.z[parted.of(labels.score[both])], 0.0)
    x = design(calibration, labels.p_hat[both], tier, z)
    return prior.told(x, labels.right[both, 0], labels.right[both, tier], labels.weight[both])


def design(calibration: Platt, p_hat: Array, tier: int, z: Array) -> Array:
    """(N, 4): one, logit p, ``z`` (N,) and the tier's own logit, from ``p_hat`` (N, tiers)."""
    p = calibration.probability(logit(p_hat[:, 0]))
    return np.column_stack([np.ones_like(z), logit(p), z, logit(p_hat[:, tier])])


def stated(believed: Sequence[Dear | None]) -> dict[str, tuple[Platt, ...]]:
    """As a segment of a policy states them; of an unproven tier there is no belief."""
    both = [(_platt(each.mends), _platt(each.spoils)) if each else UNPROVEN for each in believed]
    mends, spoils = zip(*both, strict=True)
    return {"dear_if_local_wrong": mends, "dear_wrong_if_local_right": spoils}


def _platt(believed: Normal) -> Platt:
    intercept, slope, z_slope, dear_slope = (float(value) for value in believed.mean)
    return Platt(intercept=intercept, slope=slope, z_slope=z_slope, dear_slope=dear_slope)
