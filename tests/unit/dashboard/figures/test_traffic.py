import math
import random

import pytest

from dashboard.figures.traffic import quantile


def binned(values: list[float]) -> list[dict[str, float]]:
    """As the control plane bins them."""
    counts: dict[int, int] = {}
    for value in values:
        bin_ = math.floor(math.log(value) / math.log(1.1))
        counts[bin_] = counts.get(bin_, 0) + 1
    return [
        {"lower": 1.1**bin_, "upper": 1.1 ** (bin_ + 1), "n": n}
        for bin_, n in sorted(counts.items())
    ]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_a_quantile_of_bins_is_near_that_of_the_values(share: float, seed: int) -> None:
    chance = random.Random(seed)
    values = sorted(chance.lognormvariate(5, 0.8) for _ in range(5_000))
    exact = values[int(share * len(values))]
    found = quantile(binned(values), share)
    assert found == pytest.approx(exact, rel=0.03)


def test_of_nothing_there_is_none() -> None:
    assert quantile([], 0.5) is None


def test_it_never_leaves_its_bins() -> None:
    bins = binned([7.0])
    found = quantile(bins, 0.95)
    assert found is not None
    assert bins[0]["lower"] <= found <= bins[0]["upper"]
