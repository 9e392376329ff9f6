"""Two frozen policies on SIMULATED traffic: routing, and cascade routing that believes its judge.

Both follow the decision rule (``docs/methods.md``, section 1) at one lambda, for a binormal judge
whose score is continuous: what they do, what it costs, and what either is worth on each query.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from controlplane.stats.gate import Gate, Terms, observe, opened
from tests.binormal import Array, Mask, separation

ESTIMATOR = 0.7  # AUROC of p_hat
LOCAL_RIGHT = 0.68
MENDED = (0.09, 0.485)  # P(cloud right | local wrong, x): intercept, slope on logit p
SPOILT = (-1.36, -1.40)  # P(cloud wrong | local right, x)
SAME_MISTAKE = 0.25  # both wrong with one answer, between weaker and stronger models
LOCAL, JUDGE, CLOUD = 0.02, 0.03, 1.0  # costs, in cloud calls
BELIEVED = 0.8  # the judge's AUROC, as cascade routing has it
LAMBDA = 0.2  # recovers some 80 % of the gap between the tiers
TERMS = Terms(reach=1 + LAMBDA * (CLOUD + LOCAL + JUDGE))
USELESS, GOOD = 0.5, 0.8  # the judge's AUROC in truth
BLOCK = 2000
OPEN_WITHIN, CLOSE_WITHIN, USELESS_FOR, GOOD_FOR, BEFORE = 300, 2000, 600, 1000, 100  # pairs
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


Queries = Iterator[tuple[float, bool]]


def traffic(rng: np.random.Generator, auroc: float) -> Queries:
    """Differences, and whether each is a pair, without end."""
    while True:
        block = sampled(rng, BLOCK, auroc, LAMBDA)
        yield from zip(block.difference.tolist(), block.pair.tolist(), strict=True)


def pairs_until(gate: Gate, standing: str, queries: Queries, most: int) -> float:
    """Pairs seen when the gate first stands so, infinite if that takes more than ``most``."""
    pairs = 0
    for difference, pair in queries:
        gate, pairs = observe(gate, difference, TERMS, pair=pair), pairs + pair
        if gate.standing == standing:
            return pairs
        if pairs >= most:
            break
    return float("inf")


def kept(gate: Gate, queries: Queries, most: int) -> Gate:
    """The gate after so many pairs."""
    pairs = 0
    while pairs < most:
        difference, pair = next(queries)
        gate, pairs = observe(gate, difference, TERMS, pair=pair), pairs + pair
    return gate


def until_opened(rng: np.random.Generator, auroc: float, most: int) -> float:
    """Pairs until a judge of this AUROC has earned its opening."""
    return pairs_until(Gate(), "earned", traffic(rng, auroc), most)


def until_closed_once_broken(rng: np.random.Generator) -> float:
    """Pairs from when a good judge breaks until its gate closes."""
    gate = kept(opened(Gate("earned")), traffic(rng, GOOD), BEFORE)
    return pairs_until(gate, "closed", traffic(rng, USELESS), CLOSE_WITHIN)


def until_closed_in_error(rng: np.random.Generator) -> float:
    """Pairs until the gate of a good judge closes."""
    return pairs_until(Gate("open"), "closed", traffic(rng, GOOD), GOOD_FOR)
