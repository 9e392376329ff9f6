import doctest
from types import ModuleType

import pytest

from dashboard import login, period, units
from dashboard.figures import cost, decisions, judge, overview, policies, traffic

MODULES = [cost, decisions, judge, login, overview, period, policies, traffic, units]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_true(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
