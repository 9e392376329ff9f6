import json
from collections.abc import Callable

import numpy as np
import pytest

from controlplane.learn.wording import RECORDED, Wording
from dataplane.contract.rule import expit

SUMS = 7
LEVEL = 0.4  # log-odds of a usual query of the category
USUAL = -0.2  # of which its words have these


def heard(wording: Wording, count: int, chance: Callable[[float], float]) -> Wording:
    """Labels of queries whose words say more or less than the usual ones, each as ``chance`` has
    it.
    """
    rng = np.random.default_rng(7)
    for more in rng.normal(0, 1.5, count).tolist():
        p_hat = float(expit(LEVEL + wording.share * more))
        right = float(rng.random() < chance(more))
        wording.heard(SUMS, USUAL + more, p_hat, right)
    wording.met({SUMS: USUAL})
    return wording


def met(labels: int = 0) -> Wording:
    wording = Wording(labels)
    wording.met({SUMS: USUAL})
    return wording


def test_words_count_in_full_where_no_category_was_met() -> None:
    wording = Wording()
    wording.heard(0, 1.0, 0.7, 0.0)
    assert wording.share == 1
    assert wording.state() == Wording().state()


def test_before_any_label_half_of_them_is_believed() -> None:
    assert met().share == pytest.approx(0.5)


def test_among_several_tiers_so_much_of_it_counts() -> None:
    wording = met()
    wording.met({SUMS: USUAL}, 0.5)
    assert wording.share == pytest.approx(0.25)


def test_a_recording_has_them_believed() -> None:
    assert met(round(40 / RECORDED)).share == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_goes_to_what_labels_bear_out(share: float) -> None:
    told = heard(met(), 1500, lambda more: float(expit(LEVEL + share * more)))
    assert told.share == pytest.approx(share, abs=0.15)


def test_a_usual_query_tells_of_no_share() -> None:
    wording = met()
    for right in (1.0, 0.0, 1.0):
        wording.heard(SUMS, USUAL, 0.6, right)
    wording.met({SUMS: USUAL})
    assert wording.share == pytest.approx(0.5)


def test_labels_of_long_ago_count_for_little() -> None:
    wording = heard(met(), 1500, lambda _: float(expit(LEVEL)))
    changed = heard(wording, 1500, lambda more: float(expit(LEVEL + more)))
    assert changed.share == pytest.approx(1, abs=0.15)


def test_it_goes_on_exactly_where_it_was() -> None:
    wording = heard(met(), 100, lambda more: float(expit(more)))
    again = Wording.restore(json.loads(json.dumps(wording.state())))
    assert heard(again, 50, lambda _: 0.5).state() == heard(wording, 50, lambda _: 0.5).state()
