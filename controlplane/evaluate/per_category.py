"""The per-category mean: each category served by the tier that is worth most there on average.

It is what a look-up table can do, and what a policy that reads queries has to beat. Tiers are
chosen by the means of the labels that came, each weighed by one over its chance, at a few prices
of quality that are fixed beforehand. A table that was chosen on the labels by which it is then told
looks better than it is: queries are halved by a hash of what they ask, each half is served by the
other half's table, and a point tells of both tables together.

Categories are those that requests name (``metadata.category``), as far as a query's features tell
them apart. Where none does, it is the policy's segments that have a tier each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from controlplane.evaluate.frontier import Kind, Point, fixed, point
from controlplane.evaluate.logged import Logged
from controlplane.evaluate.off_policy import EVEN, Answers, answers
from controlplane.learn.categories import PRIOR
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask, Places

PRICES = (0.05, 0.1, 0.2, 0.4, 0.8)  # lambda: quality that one mean cloud call has to buy


def per_category(live: PolicyDocument, logged: Sequence[Logged]) -> Iterator[Point]:
    """A point a price, tables that are the same once; none where all queries are of one category.

    Nor where fewer than two tiers may serve by themselves.
    """
    kind, groups = _groups(live, logged)
    ways = list(_ways(live, logged)) if groups.any() else []
    if len(ways) < 2:
        return
    half = np.array([_half(each) for each in logged])
    told = set()
    for price in PRICES:
        places = np.where(
            half,
            _table(ways, groups, ~half, price / live.cost_unit_usd)[groups],
            _table(ways, groups, half, price / live.cost_unit_usd)[groups],
        )
        if places.tobytes() not in told:
            told.add(places.tobytes())
            found = Answers.of_ways(ways, places)
            confidence = live.objective.confidence
            yield point(kind, f"λ {price:g}", None, logged, found, confidence, "snips")


def _groups(live: PolicyDocument, logged: Sequence[Logged]) -> tuple[Kind, Places]:
    """Which category or segment each query is in, (N,) from 0 on."""
    named = [each.seen.features.category for each in logged]
    segments = [live.segment(each.seen.segment).name for each in logged]
    kind: Kind = "category" if any(named) else "segment"
    found = np.unique(named if any(named) else segments, return_inverse=True)[1]
    return kind, np.asarray(found, dtype=np.intp)


def _ways(live: PolicyDocument, logged: Sequence[Logged]) -> Iterator[Answers]:
    """One tier for all, cheapest first; where it could not answer, what could."""
    local, cloud = fixed(live, "always_local"), fixed(live, "always_cloud")
    if local is not None:
        yield answers(local, logged)
    if cloud is None:
        return
    for tier in live.dear:
        others = {each.name for each in live.dear} - {tier.name}
        yield answers(
            cloud,
            [
                each if tier.name in each.barred else replace(each, barred=each.barred | others)
                for each in logged
            ],
        )


def _half(each: Logged) -> bool:
    """Which half: equal questions are in the same one."""
    return bool(crc32(str(each.seen.features.compact()).encode()) & 1)


def _table(ways: Sequence[Answers], groups: Places, rows: Mask, per_usd: float) -> Places:
    """The place of each category's tier, by the queries of these rows (N,)."""
    worth = [_right(way, groups, rows) - per_usd * _usd(way, groups, rows) for way in ways]
    return np.asarray(np.argmax(worth, axis=0), dtype=np.intp)


def _right(way: Answers, groups: Places, rows: Mask) -> Array:
    """Mean label by category, leaning on that of all of them while labels are few."""
    known = rows & ~np.isnan(way.value)
    weight, at, size = 1 / way.chance[known], groups[known], int(groups.max()) + 1
    worth = np.bincount(at, weight * way.value[known], size)
    total, labels = np.bincount(at, weight, size), np.bincount(at, minlength=size)
    overall = worth.sum() / total.sum() if known.any() else EVEN
    mean = worth / np.maximum(total, 1e-12)
    return np.asarray((labels * mean + PRIOR * overall) / (labels + PRIOR))


def _usd(way: Answers, groups: Places, rows: Mask) -> Array:
    """Mean cost by category; that of all queries where these rows have none of it."""
    size = int(groups.max()) + 1
    queries = np.bincount(groups[rows], minlength=size)
    spent = np.bincount(groups[rows], way.usd[rows], size)
    return np.where(queries > 0, spent / np.maximum(queries, 1), way.usd.mean())
