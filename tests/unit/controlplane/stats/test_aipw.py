import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stats import aipw_scores

UNIT = st.floats(0, 1)


@given(UNIT, UNIT, st.floats(0.01, 1))
def test_over_the_draw_the_mean_is_the_value_and_the_variance_is_estimated_without_bias(
    predicted: float, value: float, chance: float
) -> None:
    drawn, undrawn = (
        aipw_scores(np.array([predicted]), np.array([chance]), np.array([seen]))
        for seen in (value, np.nan)
    )
    mean = chance * drawn.phi[0] + (1 - chance) * undrawn.phi[0]
    assert mean == pytest.approx(value, abs=1e-9)
    spread = chance * (drawn.phi[0] - value) ** 2 + (1 - chance) * (undrawn.phi[0] - value) ** 2
    estimated = chance * drawn.variance[0] + (1 - chance) * undrawn.variance[0]
    assert estimated == pytest.approx(spread, abs=1e-9)


@pytest.mark.parametrize(("predicted", "value"), [(1.1, 1.0), (0.5, -0.1)])
def test_what_lies_outside_the_unit_interval_is_refused(predicted: float, value: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        aipw_scores(np.array([predicted]), np.array([0.5]), np.array([value]))
