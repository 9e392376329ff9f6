"""A certified cutoff is too loose no more often than it says, and not much too strict.

The judge is SIMULATED, binormal with an AUROC of .8; a wrong answer is mended by the cloud the
less often the higher the judge thinks of it, as on recorded outcomes.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from controlplane.stats import certify
from tests.binormal import LOCAL_RIGHT, Array, Mask, answers, separation

LIMIT = 0.06  # the best cutoff that keeps to it accepts .65
BINS = 50
RUNS = 500
DELTA = 0.10


def losses(rng: np.random.Generator, queries: int) -> tuple[Array, Mask]:
    """Scores, and whether the local answer is wrong where the cloud's is right."""
    served = answers(rng, queries, 0.8)
    d = separation(0.8)
    below = LOCAL_RIGHT * norm.cdf(served.score - d) + (1 - LOCAL_RIGHT) * norm.cdf(served.score)
    mended = expit(0.21 - 0.478 * norm.ppf(np.clip(below, 1e-9, 1 - 1e-9)))
    return served.score, ~served.right & (rng.uniform(size=queries) < mended)


@pytest.fixture(scope="module")
def world() -> tuple[Array, Array]:
    """Edges of the bins, and the true loss of accepting from each bin up (BINS + 1,)."""
    score, loss = losses(np.random.default_rng(0), 1_000_000)
    edges = np.quantile(score, np.arange(1, BINS) / BINS)
    lost = np.bincount(binned(score, edges)[loss], minlength=BINS)
    return edges, np.append(np.cumsum(lost[::-1])[::-1], 0) / len(score)


def binned(score: Array, edges: Array) -> NDArray[np.intp]:
    return np.searchsorted(edges, score, side="right")


def test_the_best_cutoff_accepts_as_much_as_it_is_said_to(world: tuple[Array, Array]) -> None:
    best = int(np.argmax(world[1] <= LIMIT))
    assert 1 - best / BINS == pytest.approx(0.65, abs=0.02)


@pytest.mark.parametrize(("labels", "accepts"), [(100, 0.40), (300, 0.52), (1000, 0.57)])
def test_a_certificate_is_wrong_within_delta_and_accepts_nearly_what_it_could(
    labels: int, accepts: float, world: tuple[Array, Array]
) -> None:
    edges, true = world
    rng, violated, naive, accepted = np.random.default_rng(labels), [], [], []
    for _ in range(RUNS):
        score, loss = losses(rng, labels)
        bin_of = binned(score, edges)
        least = certify(bin_of, loss, BINS, LIMIT, DELTA).least_bin
        violated.append(bool(true[least] > LIMIT))
        accepted.append(1 - least / BINS)
        seen = np.append(np.cumsum(np.bincount(bin_of[loss], minlength=BINS)[::-1])[::-1], 0)
        naive.append(bool(true[np.argmax(seen <= LIMIT * labels)] > LIMIT))
    print(f"violated {np.mean(violated):.3f} accepts {np.mean(accepted):.3f}")  # noqa: T201 - figures
    assert np.mean(violated) <= DELTA
    assert np.mean(accepted) >= accepts
    assert np.mean(naive) > 0.3
