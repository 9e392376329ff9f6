"""What a cutoff would lose, SIMULATED, and certificates of it.

The judge is binormal with an AUROC of .8; a wrong answer is mended by the cloud the less often the
higher the judge thinks of it, as on recorded outcomes.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from controlplane.stats import certify
from tests.binormal import LOCAL_RIGHT, Array, Mask, answers, separation

LIMIT = 0.06  # the best cutoff that keeps to it accepts .65
BINS = 50
DELTA = 0.10


@dataclass(frozen=True, slots=True)
class Attempt:
    """Whether the true loss exceeds the limit, certified and by the plain mean; share accepted."""

    violated: bool
    naive_violated: bool
    accepted: float


def losses(rng: np.random.Generator, queries: int) -> tuple[Array, Mask]:
    """Scores, and whether the local answer is wrong where the cloud's is right."""
    served = answers(rng, queries, 0.8)
    d = separation(0.8)
    below = LOCAL_RIGHT * norm.cdf(served.score - d) + (1 - LOCAL_RIGHT) * norm.cdf(served.score)
    mended = expit(0.21 - 0.478 * norm.ppf(np.clip(below, 1e-9, 1 - 1e-9)))
    return served.score, ~served.right & (rng.uniform(size=queries) < mended)


@cache
def world() -> tuple[Array, Array]:
    """Edges of the bins, and the true loss of accepting from each bin up (BINS + 1,)."""
    score, loss = losses(np.random.default_rng(0), 1_000_000)
    edges = np.quantile(score, np.arange(1, BINS) / BINS)
    return edges, _lost(binned(score, edges), loss) / len(score)


def best_accepted() -> float:
    """The share that the loosest cutoff within the limit accepts."""
    return 1 - int(np.argmax(world()[1] <= LIMIT)) / BINS


def binned(score: Array, edges: Array) -> NDArray[np.intp]:
    """The bin of each score."""
    return np.searchsorted(edges, score, side="right")


def attempt(rng: np.random.Generator, labels: int) -> Attempt:
    """One certificate from so many labels."""
    edges, true = world()
    score, loss = losses(rng, labels)
    bin_of = binned(score, edges)
    least = certify(bin_of, loss, BINS, LIMIT, DELTA).least_bin
    naive = int(np.argmax(_lost(bin_of, loss) <= LIMIT * labels))
    return Attempt(bool(true[least] > LIMIT), bool(true[naive] > LIMIT), 1 - least / BINS)


def _lost(bin_of: NDArray[np.intp], loss: Mask) -> Array:
    """Losses in each bin or above (BINS + 1,)."""
    lost = np.bincount(bin_of[loss], minlength=BINS)
    return np.append(np.cumsum(lost[::-1])[::-1], 0).astype(float)
