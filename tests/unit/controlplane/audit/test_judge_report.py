"""What a report says of a judge whose worth is known."""

import json

import numpy as np
import pytest

from controlplane.audit.judge_report import LEAST, PERIODS, Graded, report
from tests.binormal import separation

AUROC, CUTOFF = 0.8, 0.6


def graded(count: int, seed: int = 1, breaks_at: int | None = None) -> Graded:
    """Two thirds of the answers right, half of them asked about twice as often as the rest."""
    rng = np.random.default_rng(seed)
    right = rng.random(count) < 2 / 3
    d = separation(AUROC)
    useful = np.arange(count) < (count if breaks_at is None else breaks_at)
    score = np.asarray(rng.normal(d * (right & useful), 1.0), dtype=np.float64)
    odds = np.asarray(2 * np.exp(d * score - d**2 / 2), dtype=np.float64)
    chance = np.array([0.1, 0.2])[rng.integers(2, size=count)]
    return Graded(
        np.linspace(0.0, 60.0 * count, count), score, np.asarray(odds / (1 + odds)), right, chance
    )


def test_a_judge_of_known_worth_is_found_so() -> None:
    found = report("normal", "default", graded(4000), CUTOFF)
    known = found.accuracy
    assert known is not None
    assert found.missing == 0
    assert known.auroc.low < AUROC < known.auroc.high
    assert known.calibration.error.low == 0.0
    assert known.confusion.tpr.estimate > known.confusion.fpr.estimate + 0.3
    assert len(known.periods) == PERIODS
    assert sum(each.labels for each in known.periods) == 4000
    at, points = CUTOFF, known.roc
    nearest = min(points, key=lambda point: abs(point.cutoff - at))
    assert nearest.tpr == pytest.approx(known.confusion.tpr.estimate, abs=0.05)
    assert [point.fpr for point in points] == sorted(point.fpr for point in points)
    assert (points[-1].fpr, points[-1].tpr) == (1.0, 1.0)


def test_a_judge_that_breaks_is_seen_to_over_time() -> None:
    known = report("normal", "default", graded(4000, breaks_at=2000), CUTOFF).accuracy
    assert known is not None
    first, last = known.periods[0], known.periods[-1]
    assert first.auroc.low > 0.65
    assert last.auroc.high < 0.65
    assert last.calibration_error.estimate > 0.1
    assert first.until < last.since


def test_a_few_labels_say_nothing_and_how_many_are_missing() -> None:
    few = graded(60)
    found = report("normal", "default", few, CUTOFF)
    assert found.accuracy is None
    assert found.missing == LEAST - few.rarer
    assert (found.labels, found.right) == (60, int(few.right.sum()))
    assert report("normal", "default", few.part(slice(0, 0)), CUTOFF).missing == LEAST


@pytest.mark.parametrize("count", [0, 500])
def test_a_report_is_plain_json(count: int) -> None:
    found = report("normal", "default", graded(500).part(slice(0, count)), CUTOFF)
    body = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert body["labels"] == count
    assert (body["accuracy"] is None) == (found.accuracy is None)
    if found.accuracy is not None:
        assert body["accuracy"]["auroc"]["estimate"] == found.accuracy.auroc.estimate
        since = found.accuracy.periods[0].since
        assert body["accuracy"]["periods"][0]["since"] == since.isoformat()


@pytest.mark.parametrize("cutoff", [CUTOFF, -0.3, 2.5])
def test_the_bins_of_scores_split_at_the_cutoff_as_the_labels_do(cutoff: float) -> None:
    told = graded(4000)
    known = report("normal", "default", told, cutoff).accuracy
    assert known is not None
    accepted = [each for each in known.scores if each.low >= cutoff - 1e-9]
    assert sum(each.right for each in accepted) == (told.right & (told.score >= cutoff)).sum()
    assert sum(each.wrong for each in accepted) == (~told.right & (told.score >= cutoff)).sum()
    shares = (
        sum(each.right_share for each in accepted),
        sum(each.wrong_share for each in accepted),
    )
    assert shares == pytest.approx(
        (known.confusion.tpr.estimate, known.confusion.fpr.estimate), abs=1e-9
    )
    assert sum(each.right + each.wrong for each in known.scores) == 4000


def test_a_cutoff_beyond_all_scores_stretches_no_bin() -> None:
    known = report("normal", "default", graded(4000), -50.0).accuracy
    assert known is not None
    assert known.scores[0].low > -5
    assert len(known.scores) <= 22
