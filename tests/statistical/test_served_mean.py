"""What a prediction is worth to the mean of what was served, and what silence does to it.

Streams and their judge are SIMULATED (``tests/audits.py``).
"""

from collections.abc import Sequence

import numpy as np
import pytest

from controlplane.stats import Interval, controlled_mean, hajek_mean, worst_case
from tests.audits import PREDICTIONS, audit, drifting, with_silence
from tests.binormal import LOCAL_RIGHT
from tests.coverage import CLAIMED, EFFORT, assert_covers, share, within

LABELS = pytest.mark.parametrize("labels", [300, 1000])


def width(intervals: Sequence[Interval]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean([(each.high - each.low) ** 2 for each in intervals])))


@EFFORT
@LABELS
@pytest.mark.parametrize(
    ("name", "worth"), [("disjoint", 1.2), ("itself", 1.2), ("p_hat", 1.05), ("useless", 0.97)]
)
def test_a_label_is_worth_more_with_a_prediction_and_no_less_with_a_useless_one(
    name: str, worth: float, labels: int, runs: int
) -> None:
    predict, auroc = PREDICTIONS[name]
    rng, told, plain, controlled = np.random.default_rng(labels), [], [], []
    for _ in range(runs):
        each = audit(rng, labels, auroc, LOCAL_RIGHT)
        plain.append(each.wilson)
        controlled.append(controlled_mean(each.survey(predict(each)))[0])
        told.append(within(controlled[-1], each.value.mean()))
    assert_covers(told, most=0.97)
    gain = (width(plain) / width(controlled)) ** 2
    print(f"worth {gain:.3f}")  # noqa: T201 - shown by -rP: the figures
    assert gain >= (worth if runs >= CLAIMED else 0.97 * worth)


@EFFORT
@LABELS
@pytest.mark.parametrize("adaptive", [False, True], ids=["uniform", "adaptive"])
def test_the_mean_of_a_drifting_stream_is_covered(adaptive: bool, labels: int, runs: int) -> None:
    rng, told = np.random.default_rng(labels), []
    for _ in range(runs):
        survey, truth = drifting(rng, labels, adaptive=adaptive)
        told.append(within(controlled_mean(survey)[0], truth))
    assert_covers(told, most=0.97)


@EFFORT
@pytest.mark.parametrize("queries", [1000, 4000])
def test_late_unsure_and_expired_labels_leave_the_bounds_true(queries: int, runs: int) -> None:
    """Wrong answers are left unsure 25 % of the time, right ones 10 %; 5 % of tasks expire."""
    rng, told, taken_at_random, truths = np.random.default_rng(queries), [], [], []
    for _ in range(runs):
        survey, truth = with_silence(rng, queries)
        truths.append(truth)
        told.append(within(worst_case(survey, hajek_mean).interval, truth))
        taken_at_random.append(float(np.nanmean(survey.value)))
    assert_covers(told, least=0.95)
    assert np.mean(taken_at_random) > np.mean(truths) + 0.015
    assert share(told) >= 0.95
