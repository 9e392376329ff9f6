"""Statistics as pure functions: arrays in, result out; no store, no server, no learner."""

from controlplane.stats.intervals import Interval, clopper_pearson, wilson
from controlplane.stats.survey import Survey, controlled_mean, effective_labels, hajek_mean

__all__ = [
    "Interval",
    "Survey",
    "clopper_pearson",
    "controlled_mean",
    "effective_labels",
    "hajek_mean",
    "wilson",
]
