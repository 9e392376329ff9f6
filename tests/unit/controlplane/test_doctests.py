"""The examples in the docstrings of the control plane's pure modules run."""

import doctest
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

from controlplane import alerts, schedule, spent, sql, stats
from controlplane.audit import tasks

NO_EXAMPLE = {"bootstrap"}
STATISTICS = [
    import_module(f"{stats.__name__}.{found.name}")
    for found in iter_modules(stats.__path__)
    if found.name not in NO_EXAMPLE
]


@pytest.mark.parametrize(
    "module", [*STATISTICS, alerts, spent, sql, tasks, schedule], ids=lambda module: module.__name__
)
def test_examples(module: ModuleType) -> None:
    ran = doctest.testmod(module)
    assert ran.attempted > 0
    assert ran.failed == 0
