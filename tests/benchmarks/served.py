"""The interval of a served quality, by the audit's own choice between two of them."""

from controlplane.audit.served import ENOUGH_FOR_CONTROL, ENOUGH_OF_EITHER
from controlplane.stats import Interval, Survey, controlled_mean, hajek_mean


def served_quality(survey: Survey) -> Interval:
    """Controlled where labels suffice, as ``controlplane.audit.served`` has it; else Wilson's."""
    right, wrong = survey.value.sum(), (1 - survey.value).sum()
    if len(survey.value) >= ENOUGH_FOR_CONTROL and min(right, wrong) >= ENOUGH_OF_EITHER:
        return controlled_mean(survey)[0]
    return hajek_mean(survey)
