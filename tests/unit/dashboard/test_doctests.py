import doctest
from types import ModuleType

import pytest

from dashboard import login, period, units
from dashboard.figures import decisions, overview, policies, traffic


@pytest.mark.parametrize("module", [decisions, login, overview, period, policies, traffic, units])
def test_the_examples_are_true(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
