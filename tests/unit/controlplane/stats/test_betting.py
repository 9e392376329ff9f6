import json
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stats.betting import Wealth, bet, evidence_paths

DIFFERENCES = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


@given(DIFFERENCES, st.floats(-0.5, 0.5))
def test_bets_one_by_one_and_all_at_once_come_to_the_same(
    differences: list[float], null: float
) -> None:
    wealth = reduce(lambda wealth, d: bet(wealth, d, null), differences, Wealth())
    assert wealth.bets == len(differences)
    at_once = evidence_paths(np.array(differences), null)[-1]
    assert wealth.log_evidence == pytest.approx(at_once, abs=1e-9)


@given(DIFFERENCES, st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
def test_the_mean_wealth_does_not_grow_while_the_null_holds(
    past: list[float], null: float, mean: float
) -> None:
    """Over the next difference, -1 or 1 with a mean of at most the null's."""
    wealth = reduce(lambda wealth, d: bet(wealth, d, null), past, Wealth())
    up = (1 + min(mean, null)) / 2
    after = [np.exp(bet(wealth, d, null).log_evidence) for d in (-1.0, 1.0)]
    assert (1 - up) * after[0] + up * after[1] <= np.exp(wealth.log_evidence) * (1 + 1e-9)


def test_it_survives_json() -> None:
    wealth = bet(bet(Wealth(), 1.0), -0.5)
    assert Wealth.restored(json.loads(json.dumps(wealth.state()))) == wealth


@pytest.mark.parametrize("difference", [-1.5, float("nan")])
def test_a_difference_below_the_least_is_refused(difference: float) -> None:
    with pytest.raises(ValueError, match="below the least"):
        bet(Wealth(), difference)


def test_a_null_below_every_difference_is_refused() -> None:
    with pytest.raises(ValueError, match="not above"):
        bet(Wealth(), 0.0, null=-1.0)
