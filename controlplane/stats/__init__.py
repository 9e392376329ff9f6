"""Statistics as pure functions: arrays in, result out; no store, no server, no learner.

What is kept from label to label (``betting``, ``detector``, ``gate``) is imported from its module.
"""

from controlplane.stats.agreement import cohens_kappa
from controlplane.stats.aipw import Scores, aipw_scores
from controlplane.stats.asymptotic import asymptotic_band
from controlplane.stats.beta_binomial import beta_binomial_band
from controlplane.stats.calibration import Bin, Calibration, brier, calibration_error
from controlplane.stats.certificate import Certificate, certify, share_of_delta
from controlplane.stats.crossfit import cross_fitted
from controlplane.stats.disagreement import Disagreement, disagreement
from controlplane.stats.empirical_bernstein import empirical_bernstein_band
from controlplane.stats.intervals import Band, Interval, by_variance, clopper_pearson, wilson
from controlplane.stats.off_policy import OffPolicy, Refusal, dr, ips, snips
from controlplane.stats.position import PositionBias, position_bias
from controlplane.stats.rates import Confusion, confusion, rate
from controlplane.stats.roc import Roc, auroc, roc_curve
from controlplane.stats.silence import Bounds, worst_case
from controlplane.stats.survey import Survey, controlled_mean, effective_labels, hajek_mean

__all__ = [
    "Band",
    "Bin",
    "Bounds",
    "Calibration",
    "Certificate",
    "Confusion",
    "Disagreement",
    "Interval",
    "OffPolicy",
    "PositionBias",
    "Refusal",
    "Roc",
    "Scores",
    "Survey",
    "aipw_scores",
    "asymptotic_band",
    "auroc",
    "beta_binomial_band",
    "brier",
    "by_variance",
    "calibration_error",
    "certify",
    "clopper_pearson",
    "cohens_kappa",
    "confusion",
    "controlled_mean",
    "cross_fitted",
    "disagreement",
    "dr",
    "effective_labels",
    "empirical_bernstein_band",
    "hajek_mean",
    "ips",
    "position_bias",
    "rate",
    "roc_curve",
    "share_of_delta",
    "snips",
    "wilson",
    "worst_case",
]
