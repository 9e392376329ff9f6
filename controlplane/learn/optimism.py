"""By how much an arm looks better than it is because it picks among tiers by few labels.

Where several dear tiers are about as good, the one that is called is the one that its labels
flattered: the greatest of several estimates is too high even where each is right on average (the
winner's curse; Andrews, Kitagawa and McCloskey, Inference on Winners, Quarterly Journal of
Economics 139, 2024). A resample of the labels (the Bayesian bootstrap; Rubin, Annals of Statistics
9, 1981) moves each category's level of each tier; an arm that decides by levels so moved serves
other tiers, and as much as it then believes of them beyond the estimates it believes too much.

Of two tiers nothing is taken off: what is weighed there is how much better the dear one is, and not
which of several (docs/decisions/024-the-winner-s-curse.md).
"""

import numpy as np

from controlplane.learn import categories
from controlplane.learn.evidence import Labels
from controlplane.learn.imagine import ArmGrid
from controlplane.learn.traffic import Columns
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Places

DRAWS = 32
QUERIES = 400  # of recent ones that are looked at, or a few more


def optimism(
    draft: PolicyDocument, traffic: Columns, moved: Array, arms: ArmGrid, to_dear: Array
) -> Array:
    """(A,) What to take off the quality of each arm; ``moved`` is ``moved_levels``.

    ``to_dear`` (N, A): the chance that a dear tier serves each query of the traffic.
    """
    every = slice(None, None, max(len(traffic.chars) // QUERIES, 1))
    kinds = traffic.category[every]
    worth = _worth(draft, traffic, every, arms)
    picks = np.where(arms.of_mode("route"), 1.0, to_dear[every])
    chosen, rows = worth.argmax(axis=0), np.arange(len(kinds))[:, None]
    taken = np.zeros(chosen.shape)
    for by in moved[..., kinds]:
        other = (worth + by[..., None]).argmax(axis=0)
        taken += by[other, rows] - by[chosen, rows]
    fixed = arms.of_mode("always_cloud") | arms.of_mode("always_local")
    return np.where(fixed, 0.0, (taken * picks).mean(axis=0) / DRAWS)


def _worth(draft: PolicyDocument, traffic: Columns, every: slice, arms: ArmGrid) -> Array:
    """(tiers, N, A) What each tier's answer is worth.

    A local answer that may be judged is served for its score, and not picked for its level.
    """
    beliefs = draft.beliefs(draft.segments[0], traffic.p_hat[every, None, :])
    costs = draft.costs(traffic.chars[every, None], traffic.category[every, None])
    values = rule.value(beliefs, costs, arms.lambdas)
    local = np.where(arms.of_mode("route"), values.local, -np.inf)
    return np.stack([local, *values.dear])


def moved_levels(labels: Labels) -> Array:
    """(DRAWS, tiers, categories) By how much each tier's level moves in resamples of the labels."""
    again = np.random.default_rng(0).exponential(size=(len(labels.weight), DRAWS))
    tiers = range(labels.right.shape[1])
    return np.stack([_levels(labels, tier, again) for tier in tiers], axis=1)


def _levels(labels: Labels, tier: int, again: Array) -> Array:
    """(DRAWS, categories) The same of one tier, as ``categories`` believes its labels.

    ``again`` (L, DRAWS): how often each label comes in a resample.
    """
    known = ~np.isnan(labels.right[:, tier]) & (labels.probability[:, tier] > 0)
    kinds, faded = labels.category[known], labels.weight[known]
    weight = faded / labels.probability[known, tier]
    drawn, right = weight[:, None] * again[known], labels.right[known, tier]
    mean = _summed(kinds, weight * right) / np.maximum(_summed(kinds, weight), 1e-12)
    moved = _summed(kinds, drawn * right[:, None]) / np.maximum(_summed(kinds, drawn), 1e-12)
    count = _summed(kinds, faded)
    return np.asarray(count / (count + categories.PRIOR) * (moved - mean[:, None]).T)


def _summed(kinds: Places, values: Array) -> Array:
    """(categories, ...) The sums of values (L, ...) by category."""
    sums = np.zeros((categories.SIZE, *values.shape[1:]))
    np.add.at(sums, kinds, values)
    return sums
