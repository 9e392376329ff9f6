import random

import numpy as np
import pytest

from controlplane.stats import auroc
from dataplane.sandbox.drift import LOST, RIGHT, RIGHT_SHARE, WRONG, WRONG_OTHERS, Drift, changed
from dataplane.sandbox.tasks import Query, draw_from_mix, is_correct

SEED = 5
CONFIDENT = -0.001


def queries(count: int = 4000) -> list[Query]:
    rng = random.Random("drift")
    return [draw_from_mix(rng, "easy") for _ in range(count)]


def test_a_quarter_of_the_right_answers_is_lost_and_no_wrong_one_mended() -> None:
    asked = queries()
    said = [changed("local", SEED, each.text, each.answer) for each in asked]
    lost = [not is_correct(each.text, text) for each, (text, _) in zip(asked, said, strict=True)]
    assert sum(lost) / len(lost) == pytest.approx(LOST, abs=0.03)
    for gone, (_, confidence) in zip(lost, said, strict=True):
        assert (confidence is not None) == gone
        assert confidence is None or confidence <= max(WRONG_OTHERS) * 0.8
    assert all(changed("local", SEED, each.text, "no") == ("no", None) for each in asked[:200])


def test_the_judge_falls_to_an_auroc_of_point_six_and_answers_stay() -> None:
    rng = random.Random("judge")
    scores, rights = [], []
    for each in queries():
        right = rng.random() < RIGHT_SHARE
        text, confidence = changed("judge", SEED, each.text, each.answer if right else "no")
        assert text == (each.answer if right else "no")
        own = rng.choice(RIGHT if right else WRONG)
        scores.append(own if confidence is None else confidence)
        rights.append(right)
    found = auroc(np.array(scores), np.array(rights), np.ones(len(scores)))
    assert found.estimate == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize("drift", ["judge", "local"])
def test_it_is_the_same_for_the_same_seed_and_text_everywhere(drift: Drift) -> None:
    asked = queries(50)
    once = [changed(drift, SEED, each.text, each.answer) for each in asked]
    assert once == [changed(drift, SEED, f" {each.text}\n", each.answer) for each in asked]
    assert once != [changed(drift, SEED + 1, each.text, each.answer) for each in asked]
    assert all(confidence is None or confidence < 0 for _, confidence in once)
