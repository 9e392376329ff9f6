import itertools
import json
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stats.betting import STAKES
from controlplane.stats.detector import Detector, detect

STEPS = st.lists(st.tuples(st.floats(-1, 1), st.booleans()), min_size=1, max_size=30)


def run(steps: list[tuple[float, bool]]) -> Detector:
    return reduce(lambda state, step: detect(state, step[0], fresh=step[1]), steps, Detector())


@given(STEPS)
def test_it_is_the_recursion_that_it_is_said_to_be(steps: list[tuple[float, bool]]) -> None:
    sums = np.zeros(len(STAKES))
    for difference, fresh in steps:
        sums = (1 + np.array(STAKES) * difference) * (sums + fresh)
    detector = run(steps)
    assert np.exp(detector.log_evidence) == pytest.approx(sums.mean(), abs=1e-9)
    assert detector.updates == sum(fresh for _, fresh in steps)


def test_while_the_null_holds_its_mean_is_the_number_of_fresh_updates() -> None:
    """Over all paths of -1 and 1: what gives the run length its bound."""
    fresh = (True, False, True, True, False)
    paths = itertools.product((-1.0, 1.0), repeat=len(fresh))
    sums = [np.exp(run(list(zip(path, fresh, strict=True))).log_evidence) for path in paths]
    assert np.mean(sums) == pytest.approx(3)


def test_it_survives_json_and_very_much_evidence() -> None:
    detector = run([(1.0, True)] * 5000)
    assert Detector.restored(json.loads(json.dumps(detector.state()))) == detector
    assert detector.log_evidence > 1000
    assert Detector().log_evidence == -np.inf
