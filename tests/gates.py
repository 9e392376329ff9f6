"""Two frozen policies on SIMULATED traffic: routing, and cascade routing that believes its judge.

Both follow the decision rule of docs/methods.md at one lambda, for a binormal judge whose
score is continuous: what they do, what it costs, and what either is worth on each query.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from tests.binormal import Array, Mask, separation

ESTIMATOR = 0.7  # AUROC of p_hat
LOCAL_RIGHT = 0.68
MENDED = (0.09, 0.485)  # P(cloud right | local wrong, x): intercept, slope on logit p
SPOILT = (-1.36, -1.40)  # P(cloud wrong | local right, x)
SAME_MISTAKE = 0.25  # both wrong with one answer, between weaker and stronger models
LOCAL, JUDGE, CLOUD = 0.02, 0.03, 1.0  # costs, in cloud calls
BELIEVED = 0.8  # the judge's AUROC, as cascade routing has it
NODES, MASS = np.polynomial.hermite_e.hermegauss(40)


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Queries (n,): utility of judging less that of routing, and whether the answers differ."""

    difference: Array
    pair: Mask
    gap: tuple[float, float]  # share of the tiers' gap that routing, and judging, recover
    cost: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """The decision rule on queries (n,) at one lambda."""

    p: Array
    g: Array
    b: Array
    lambda_: float

    def after(self, score: Array) -> Array:
        """P(local right | x, score), as believed."""
        d = separation(BELIEVED)
        return np.asarray(expit(logit(self.p)[:, None] + d * score - d * d / 2))

    def routes_up(self) -> Mask:
        p, g, b = self.p, self.g, self.b
        return np.asarray(
            p * (1 - b) + (1 - p) * g - CLOUD * self.lambda_ > p - LOCAL * self.lambda_
        )

    def escalates(self, score: Array) -> Mask:
        cutoff = (self.g - CLOUD * self.lambda_) / (self.g + self.b)
        return np.asarray(self.after(score[:, None])[:, 0] < cutoff)

    def judges(self) -> Mask:
        g, b = self.g[:, None], self.b[:, None]

        def best(score: Array) -> Array:
            after = self.after(score)
            up = after * (1 - b) + (1 - after) * g - CLOUD * self.lambda_
            return np.asarray(np.maximum(after, up) @ (MASS / MASS.sum()))

        value = self.p * best(NODES[None] + separation(BELIEVED)) + (1 - self.p) * best(NODES[None])
        value -= self.lambda_ * (LOCAL + JUDGE)
        up = self.p * (1 - self.b) + (1 - self.p) * self.g - CLOUD * self.lambda_
        return np.asarray(value > np.maximum(up, self.p - LOCAL * self.lambda_))


def sampled(rng: np.random.Generator, n: int, auroc: float, lambda_: float) -> Sampled:
    """Queries under both policies, the judge's true AUROC being this."""
    right = rng.uniform(size=n) < LOCAL_RIGHT
    d = separation(ESTIMATOR)
    p = expit(logit(LOCAL_RIGHT) + d * (rng.normal(size=n) + d * right) - d * d / 2)
    g, b = (expit(intercept + slope * logit(p)) for intercept, slope in (MENDED, SPOILT))
    cloud = rng.uniform(size=n) < np.where(right, 1 - b, g)
    score = rng.normal(size=n) + separation(auroc) * right
    rule = Rule(p, g, b, lambda_)
    routed, judged = rule.routes_up(), rule.judges()
    up = np.where(judged, rule.escalates(score), routed)
    quality = [np.where(way, cloud, right).astype(float) for way in (routed, up)]
    cost = [
        np.where(routed, CLOUD, LOCAL),
        np.where(judged, LOCAL + JUDGE + CLOUD * up, np.where(up, CLOUD, LOCAL)),
    ]
    same = (right & cloud) | (~right & ~cloud & (rng.uniform(size=n) < SAME_MISTAKE))
    gap = cloud.mean() - right.mean()
    return Sampled(
        quality[1] - quality[0] - lambda_ * (cost[1] - cost[0]),
        (up != routed) & ~same,
        (
            float((quality[0].mean() - right.mean()) / gap),
            float((quality[1].mean() - right.mean()) / gap),
        ),
        (float(cost[0].mean()), float(cost[1].mean())),
    )
