"""A SIMULATED judge of known worth, and answers to be judged by it.

Binormal: a score is normal, with mean 0 where the local answer is wrong and ``separation`` where
it is right. The tiers are as right as Mixtral and GPT-4 are on RouteLLM's MMLU and GSM8K.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

LOCAL_RIGHT = 0.68
ESTIMATOR_AUROC = 0.65  # of p_hat from 1,000 labels


def separation(auroc: float) -> float:
    """Distance of the two means that gives this AUROC."""
    return float(np.sqrt(2) * ndtri(auroc))


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Local answers (n,): what p_hat and the judge say of them, and whether they are right."""

    p_hat: Array
    score: Array
    right: Mask

    def __len__(self) -> int:
        return len(self.right)

    def posterior(self, auroc: float, share: float = LOCAL_RIGHT) -> Array:
        """P(right | score) under a judge of this AUROC, in traffic of this share of right ones."""
        d = separation(auroc)
        return np.asarray(expit(logit(share) + d * self.score - d * d / 2))


def answers(
    rng: np.random.Generator, n: int, auroc: float, share: float | Array = LOCAL_RIGHT
) -> Answers:
    """Draw answers: whether right, then what is said of them, given that alone."""
    right = rng.uniform(size=n) < share
    d = separation(ESTIMATOR_AUROC)
    signal = rng.normal(size=n) + d * right
    p_hat = expit(logit(LOCAL_RIGHT) + d * signal - d * d / 2)
    return Answers(p_hat, rng.normal(size=n) + separation(auroc) * right, right)


def near_the_cutoff(score: Array, cutoff: float, rate: float) -> Array:
    """Chances of an audit draw (n,): a floor of 30 % of the rate, the rest near the cutoff."""
    near = np.exp(-((score - cutoff) ** 2) / 2)
    return np.asarray(np.clip(rate * (0.3 + 0.7 * near / near.mean()), 0.0, 1.0))


def calibrated_bins(
    rng: np.random.Generator, slope: float, labels: int
) -> tuple[Array, Mask, float]:
    """Ten predictions of equal mass, whether right, and the true error: 0 at a slope of 1."""
    said = np.linspace(0.05, 0.95, 10)
    share = expit(slope * logit(said))
    place = rng.permutation(labels) % 10
    right = rng.uniform(size=labels) < share[place]
    return said[place], right, float(np.sqrt(np.mean((said - share) ** 2)))


def two_labellers(
    rng: np.random.Generator, mistaken: float, labels: int
) -> tuple[Array, Array, float]:
    """What two labellers say who are mistaken as often, independently, and the true kappa."""
    share = LOCAL_RIGHT * (1 - mistaken) + (1 - LOCAL_RIGHT) * mistaken
    agreed, by_chance = mistaken**2 + (1 - mistaken) ** 2, share**2 + (1 - share) ** 2
    right = rng.uniform(size=labels) < LOCAL_RIGHT
    said = [np.where(rng.uniform(size=labels) < mistaken, ~right, right) for _ in range(2)]
    first, second = (each.astype(float) for each in said)
    return first, second, (agreed - by_chance) / (1 - by_chance)
