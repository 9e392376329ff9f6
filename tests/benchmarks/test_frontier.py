import numpy as np
import pytest

from tests.benchmarks.frontier import hull


def test_the_hull_keeps_what_no_mixture_beats() -> None:
    points = np.array([(0.0, 0.5), (0.5, 0.6), (0.4, 0.8), (1.0, 0.9), (0.7, 0.84), (1.2, 0.88)])
    found = hull(points)
    assert found.cost.tolist() == [0.0, 0.4, 1.0]
    assert found.quality.tolist() == [0.5, 0.8, 0.9]
    assert found.cost_at(0.65) == pytest.approx(0.2)
    assert found.quality_at(0.2) == pytest.approx(0.65)


def test_random_points_lie_on_or_below_their_hull() -> None:
    rng = np.random.default_rng(3)
    points = rng.random((200, 2))
    found = hull(points)
    assert (np.diff(found.cost) > 0).all()
    assert (np.diff(found.quality) > 0).all()
    slopes = np.diff(found.quality) / np.diff(found.cost)
    assert (np.diff(slopes) < 0).all()
    inside = points[points[:, 1] >= found.quality[0]]
    assert all(cost >= found.cost_at(quality) - 1e-12 for cost, quality in inside)
