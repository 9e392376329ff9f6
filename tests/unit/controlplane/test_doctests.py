"""The examples in the docstrings of the control plane's pure modules run."""

import doctest
from types import ModuleType

import pytest

from controlplane import schedule, sql
from controlplane.audit import tasks
from controlplane.stats import intervals, survey


@pytest.mark.parametrize(
    "module", [intervals, survey, sql, tasks, schedule], ids=lambda module: module.__name__
)
def test_examples(module: ModuleType) -> None:
    ran = doctest.testmod(module)
    assert ran.attempted > 0
    assert ran.failed == 0
