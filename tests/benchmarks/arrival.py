"""A model that arrives half way: how soon it is called, and what it saves.

RouterBench's queries once each, routed only, from a cold start: Mistral-7B local and GPT-4 the
cloud; half way Mixtral takes its seat between them, as a file's new tier does. Beside it the same
order in which nobody arrives. Costs are those of serving, of the last third.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from controlplane.evaluate.baselines import Outcomes
from controlplane.evaluate.pairing import Pairs
from controlplane.evaluate.rehearsal import Plan, order, start_policy
from controlplane.evaluate.replay import Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.settings import LearnerSettings
from controlplane.seats import seated
from dataplane.contract.policy import PolicyDocument
from dataplane.strategies import call
from tests.benchmarks.figure import Figure

SHARE = 0.7  # of the gap between the local model and the cloud, aimed at
AUDIT, SHADOW = 0.2, 0.1
EVERY = 50


@dataclass(frozen=True, slots=True)
class Arrival:
    """One order. ``after``, ``shadows``: queries and shadows until the newcomer's first call."""

    after: int
    shadows: int
    share: float  # of the last third that it served
    saved: float  # of what serving the last third costs where nobody arrives
    error: float  # quality less the target, over the last third
    error_without: float


def run(pairs: Pairs, seed: int) -> Arrival:
    """One order, with and without a newcomer in the second of three seats."""
    low, _, high = Outcomes.of(pairs.rows).quality.mean(axis=0).tolist()
    target, half = low + SHARE * (high - low), len(pairs.rows) // 2
    plan = Plan(target, audit=AUDIT, shadow=SHADOW, seed=seed, every=EVERY)
    rows = [pairs.rows[place] for place in order(len(pairs.rows), plan)]
    two = [replace(row, worth=row.worth[::2], usd=row.usd[::2]) for row in rows]
    settings = LearnerSettings(mode="route", kappa=0.0).drawing(AUDIT, SHADOW)
    whole = start_policy(pairs, plan, settings.cold)
    ends = _successor(whole, whole.model_copy(update={"tiers": whole.tiers[::2]}))

    def served(rows: Sequence[Row], arrives: int | None) -> list[Served]:
        learner = Learner(pairs.tiers[::2], settings)
        replay, done = Replay(ends, learner, seed=seed, every=EVERY), list[Served]()
        for each in replay.run(rows):
            done.append(each)
            if len(done) == arrives:
                replay.policies.append(_successor(replay.live, whole))
        return done

    half -= half % EVERY
    with_it, without = served([*two[:half], *rows[half:]], half), served(two, None)
    called = [each.at for each in with_it if call(pairs.tiers[1]) in each.actions]
    first = called[0] if called else len(rows)
    late = slice(-len(rows) // 3, None)
    (cost, quality), (cost_without, quality_without) = (_means(x[late]) for x in (with_it, without))
    return Arrival(
        after=first - half,
        shadows=sum(each.shadow_usd > 0 for each in with_it[half:first]),
        share=sum(at >= len(rows) + late.start for at in called) / -late.start,
        saved=1 - cost / cost_without,
        error=quality - target,
        error_without=quality_without - target,
    )


def _successor(live: PolicyDocument, stated: PolicyDocument) -> PolicyDocument:
    seats = seated(live, stated.tiers)
    assert seats is not None
    numbered = {"version": live.version + 1, "parent": live.version, "author": "operator"}
    return live.model_copy(update=numbered | seats).rederived()


def _means(served: Sequence[Served]) -> tuple[float, float]:
    cost, quality = np.array([(each.cost_usd, each.quality) for each in served]).mean(axis=0)
    return float(cost), float(quality)


def figures(found: Sequence[Arrival]) -> dict[str, Figure]:
    """By name."""
    return {
        "arrival_called_after": Figure.mean([float(each.after) for each in found], "queries"),
        "arrival_shadows": Figure.mean([float(each.shadows) for each in found], "shadows"),
        "arrival_share": Figure.mean([each.share for each in found], "fraction", "higher"),
        "arrival_saved": Figure.mean([each.saved for each in found], "fraction", "higher"),
        "arrival_error": Figure.mean([each.error for each in found], "fraction", "zero"),
        "arrival_error_without": Figure.mean(
            [each.error_without for each in found], "fraction", "zero"
        ),
    }
