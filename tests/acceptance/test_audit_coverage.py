"""Whether the audit's interval keeps its word on real runs: labels late, some unsure, all blind."""

import io

import pytest
from rich.console import Console

from controlplane.demo.options import Options
from controlplane.demo.story import run

pytestmark = pytest.mark.slow

SEEDS = 20
AT_LEAST = 17
QUERIES = 1000


def test_the_interval_contains_the_true_quality() -> None:
    console = Console(file=io.StringIO())
    missed = {}
    for seed in range(SEEDS):
        options = Options(queries=QUERIES, seed=seed, rate_per_s=0.0, baselines=False)
        told = run(options, console, lambda *_: None)
        assert told.quality_interval is not None
        low, high = told.quality_interval
        if not low <= told.quality <= high:
            missed[seed] = (low, told.quality, high)
    assert SEEDS - len(missed) >= AT_LEAST, missed
