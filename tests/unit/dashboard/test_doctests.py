import doctest
from types import ModuleType

import pytest

from dashboard import period, units
from dashboard.figures import cost, judge, overview


@pytest.mark.parametrize("module", [cost, judge, overview, period, units])
def test_the_examples_are_true(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
