"""How often a simulated statement was true: a quick look by default, the whole claim when slow."""

from collections.abc import Sequence

import numpy as np
import pytest

from controlplane.stats import Interval

CLAIMED = 4000
EFFORT = pytest.mark.parametrize("runs", [50, pytest.param(CLAIMED, marks=pytest.mark.slow)])


def within(interval: Interval, truth: float) -> bool:
    """Whether the interval told the truth."""
    return bool(interval.low <= truth <= interval.high)


def share(told: Sequence[bool]) -> float:
    """Of the statements that were true."""
    return float(np.mean(told))


def assert_covers(told: Sequence[bool], least: float = 0.93, most: float = 1.0) -> None:
    """Coverage within its claim; few runs are given three standard errors."""
    slack = 0.0 if len(told) >= CLAIMED else 3 * np.sqrt(0.05 * 0.95 / len(told))
    assert least - slack <= share(told) <= most + slack, share(told)
    print(f"covers {share(told):.4f} of {len(told)}")  # noqa: T201 - shown by -rP: the figures


def assert_misses_at_most(missed: Sequence[bool], most: float = 0.05) -> None:
    """Miss rate within its claim; few runs are given three standard errors."""
    slack = 0.0 if len(missed) >= CLAIMED else 3 * np.sqrt(most / len(missed))
    assert share(missed) <= most + slack, share(missed)
    print(f"misses {share(missed):.4f} of {len(missed)}")  # noqa: T201 - shown by -rP: the figures
