"""The per-category mean on logs whose truth is known: its choice, and that nothing flatters it."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controlplane.evaluate import frontier
from controlplane.evaluate.logged import Logged
from controlplane.evaluate.per_category import PRICES, per_category
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, ShadowTerms
from dataplane.features import TEXT, Features
from tests.logged import Truth, serve
from tests.unit.controlplane.evaluate.test_counterfactual import document

SEEN: dict[str, Any] = {"audit": AuditTerms(rate=0.9), "shadow": ShadowTerms(rate=0.9)}
LIVE = document(**SEEN)
Shares = Mapping[str, float]
MATHS, CHAT = 1, 2
GAIN: Mapping[int, Shares] = {
    MATHS: {"local": 0.0, "cloud": 1.0},
    CHAT: {"local": 1.0, "cloud": 1.0},
}


def log(
    right: Mapping[int, Shares], *, seed: int = 0, live: PolicyDocument = LIVE, same: int = 1
) -> list[Logged]:
    """Queries of these categories in turn; ``same`` in a row ask the same, with the same fate."""
    rng, found = random.Random(seed), []
    for number in range(240):
        if number % same == 0:
            kind = list(right)[number // same % len(right)]
            truth = Truth({t: float(rng.random() < p) for t, p in right[kind].items()}, -0.5)
            asked = named(serve(live, seed * 240 + number, truth).seen.features, kind)
        each = serve(live, seed * 240 + number, truth)
        found.append(seen(each, features=asked))
    return found


def seen(each: Logged, **fields: Any) -> Logged:
    return replace(each, query=replace(each.query, observation=replace(each.seen, **fields)))


def named(features: Features, category: int) -> Features:
    """The same query, in a category; 0 is none."""
    own = (TEXT + category - 1,) if category else ()
    return Features(features.chars, features.buckets + own)


def test_a_category_is_bettered_where_that_is_worth_its_price() -> None:
    found = list(per_category(LIVE, log(GAIN)))
    assert len(found) < len(PRICES)  # equal tables are told once
    dear, cheap = found[0], found[-1]
    assert (cheap.kind, cheap.method, cheap.refused) == ("category", "snips", None)
    assert cheap.window.queries == 240
    assert cheap.quality is not None
    assert cheap.quality.estimate == 1
    assert cheap.usd.estimate < 0.6 * dear.usd.estimate


@pytest.mark.parametrize("same", [1, 4])
def test_what_it_is_told_by_did_not_choose_it(same: int) -> None:
    """All categories and tiers are alike, so what looks better in one is chance."""
    even = {kind: {"local": 0.5, "cloud": 0.5} for kind in range(1, 31)}
    errors = []
    for seed in range(20):
        first = next(per_category(LIVE, log(even, seed=seed, same=same)))
        assert first.quality is not None
        errors.append(first.quality.estimate - 0.5)
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors))


def test_a_tier_between_is_chosen_where_it_suffices() -> None:
    right: Mapping[int, Shares] = {
        MATHS: {"local": 0.0, "dear1": 1.0, "cloud": 1.0},
        CHAT: {"local": 0.0, "dear1": 0.0, "cloud": 1.0},
    }
    live = document(tiers=3, **SEEN)
    queries = log(right, live=live)
    cheap = list(per_category(live, queries))[-1]
    cloud = list(frontier.baselines(live, queries))[-1]
    assert cheap.quality is not None
    assert cheap.quality.estimate == 1
    assert cheap.usd.estimate < 0.8 * cloud.usd.estimate


def test_segments_stand_in_for_categories_that_nobody_names() -> None:
    code = LIVE.segments[0].model_copy(update={"name": "code"})
    live = LIVE.model_copy(update={"segments": (*LIVE.segments, code)})
    queries = log({0: GAIN[MATHS]})
    parted = [seen(each, segment=("default", "code")[at % 2]) for at, each in enumerate(queries)]
    assert {each.kind for each in per_category(live, parted)} == {"segment"}
    assert not list(per_category(LIVE, queries))


def test_without_labels_it_says_why() -> None:
    silent = [replace(each, query=replace(each.query, right={})) for each in log(GAIN)]
    (found,) = per_category(LIVE, silent)
    assert found.quality is None
    assert "labels tell of it" in (found.refused or "")
