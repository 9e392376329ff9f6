"""What drifted, named: ``python -m tests.benchmarks.drift_causes --data DIR --seeds 1-50``.

The streams of the learning benchmark with its learner live, 3,000 queries without drift and then as
many with one: the local tier loses a quarter of its right answers, the judge's AUROC falls from .8
to .6, the hard share rises from a third to two, the price falls to .3; each at half size too. A
price falls as an operator says, or without a word. A run is named rightly if its own cause is
named, and no other, from its first query to its last. What is without drift goes on for longer:
there nothing is to be named, and the learner's alarms are false.
"""

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.stats import norm

from controlplane.audit.diagnosis import Diagnosis
from controlplane.evaluate.replay import Replay, Row
from controlplane.observations import Used
from controlplane.stats import wilson
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from tests.benchmarks import command
from tests.benchmarks.figure import Figure
from tests.benchmarks.frontier import priced
from tests.benchmarks.runs import SCENARIOS, begin
from tests.benchmarks.streams import (
    AUROC,
    AUROC_AFTER,
    CHEAPER,
    CLOUD_COST,
    HARD,
    HARD_AFTER,
    JUDGE_COST,
    LOCAL_COST,
    LOST,
    Halves,
    halves,
)

BEFORE, AFTER, QUIET, REPRICED = 3_000, 3_000, 6_000, 600
ONE_TOKEN = Used(0, 1)
MINUTES = 60


@dataclass(frozen=True, slots=True)
class World:
    """How queries and answers come about. ``said``: whether the policy has the cloud's price."""

    lost: float = 0.0
    auroc: float = AUROC
    hard: float = HARD
    price: float = CLOUD_COST
    said: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """A run: what drifts, to what, and for how many queries."""

    cause: str
    world: World
    queries: int = AFTER


def _half(before: float, after: float) -> float:
    return (before + after) / 2


KINDS = {
    "none": Kind("", World(), QUIET),
    "local": Kind("local", World(lost=LOST)),
    "judge": Kind("judge", World(auroc=AUROC_AFTER)),
    "mix": Kind("mix", World(hard=HARD_AFTER)),
    "price": Kind("price", World(price=CHEAPER), REPRICED),
    "local_half": Kind("local", World(lost=LOST / 2)),
    "judge_half": Kind("judge", World(auroc=_half(AUROC, AUROC_AFTER))),
    "mix_half": Kind("mix", World(hard=_half(HARD, HARD_AFTER))),
    "price_half": Kind("price", World(price=_half(CLOUD_COST, CHEAPER)), REPRICED),
    "price_unsaid": Kind("price", World(price=CHEAPER, said=False), REPRICED),
}
FULL = ("local", "judge", "mix", "price")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was named in one run, and after how many queries of the drift, if it was rightly.

    ``alarms``: the learner's, before the drift and after.
    """

    kind: str
    named: tuple[str, ...]
    after: int | None
    alarms: tuple[int, int]

    @property
    def rightly(self) -> bool:
        """Whether its own cause was named, and no other."""
        return self.named == tuple(filter(None, [KINDS[self.kind].cause]))


@dataclass(eq=False)
class Pool:
    """The served half as worlds draw from it."""

    parts: Halves
    seed: int

    @cached_property
    def _hard(self) -> Array:
        p_hat = self.parts.p_hat
        return np.asarray(p_hat <= np.quantile(p_hat, HARD), dtype=np.float64)

    def rows(self, world: World, count: int, salt: int) -> list[Row]:
        """Queries drawn with replacement; the same answers are lost throughout a run."""
        served, hard = self.parts.served, self._hard
        rng = np.random.default_rng([self.seed, salt])
        chances = world.hard * hard / hard.sum() + (1 - world.hard) * (1 - hard) / (1 - hard).sum()
        places = rng.choice(len(hard), count, p=chances)
        gone = np.random.default_rng([self.seed, 3]).random(len(hard)) < world.lost
        local, cloud = np.where(gone, 0.0, served.local)[places], served.cloud[places]
        score = rng.normal(size=count) + np.sqrt(2) * norm.ppf(world.auroc) * local
        usd, used = (LOCAL_COST, world.price), None if world.said else (ONE_TOKEN, ONE_TOKEN)
        columns = (places.tolist(), local.tolist(), cloud.tolist(), score.tolist())
        return [
            Row(served.features[at], (right, dear), usd, raw, JUDGE_COST, used)
            for at, right, dear, raw in zip(*columns, strict=True)
        ]


def outcomes(parts: Halves, seed: int) -> list[Outcome]:
    """One run of each kind; those of one target share what is before the drift."""
    pool = Pool(parts, seed)
    begun = {}
    for scenario in ("stationary", "mix_drift"):
        replay = begin(parts, SCENARIOS[scenario], seed)
        replay.diagnosis = Diagnosis()
        for _ in replay.run(pool.rows(World(), BEFORE, 1)):
            pass
        begun[scenario] = replay
    return [
        _ended(deepcopy(begun["mix_drift" if kind.cause == "mix" else "stationary"]), name, pool)
        for name, kind in KINDS.items()
    ]


def _ended(replay: Replay, name: str, pool: Pool) -> Outcome:
    kind, before, found = KINDS[name], len(replay.alarms), len(replay.events)
    if kind.cause == "price" and kind.world.said:
        replay.policies.append(_repriced(replay, kind.world.price))
    waited = 0
    for _ in replay.run(pool.rows(kind.world, kind.queries, 2)):
        waited += kind.cause not in _named(replay, found)
    after = waited - 1 if kind.cause in _named(replay, found) else None
    alarms = before, len(replay.alarms) - before
    return Outcome(name, tuple(sorted(_named(replay))), after, alarms)


def _named(replay: Replay, first: int = 0) -> set[str]:
    told = [body["causes"] for _, body in replay.events[first:]]
    return {str(cause) for causes in told if isinstance(causes, list) for cause in causes}


def _repriced(replay: Replay, price: float) -> PolicyDocument:
    live = replay.live
    local, cloud = live.tiers
    fields = {"version": live.version + 1, "parent": live.version, "author": "operator"}
    tiers = (local, priced(cloud.name, price))
    return live.model_copy(update=fields | {"tiers": tiers, "kind": "proposal"}).rederived()


def figures(found: Sequence[Outcome]) -> dict[str, Figure]:
    """The benchmark's figures by name."""
    by_kind = {name: [each for each in found if each.kind == name] for name in KINDS}
    rates = {
        f"drift_named_rate_{name}": _rate([each.rightly for each in some])
        for name, some in by_kind.items()
        if KINDS[name].cause
    }
    least = min((rates[f"drift_named_rate_{name}"] for name in FULL), key=lambda each: each.value)
    quiet = by_kind["none"]
    false = [10_000 * sum(each.alarms) / (BEFORE + QUIET) for each in quiet]
    named = [10_000 * len(each.named) / (BEFORE + QUIET) for each in quiet]
    return {
        "drift_named_rate_min": least,
        **rates,
        "false_named_rate": _rate([bool(each.named) for each in quiet], "lower"),
        "false_alarms_per_10k": Figure.mean(false, "alarms per 10k queries"),
        "false_names_per_10k": Figure.mean(named, "causes per 10k queries"),
        **{
            f"queries_to_name_{name}": Figure.mean(
                [float(each.after) for each in by_kind[name] if each.after], "queries"
            )
            for name in KINDS
            if any(each.after for each in by_kind[name])
        },
        "alarmed_rate_local": _rate([each.alarms[1] > 0 for each in by_kind["local"]]),
        "alarmed_rate_judge": _rate([each.alarms[1] > 0 for each in by_kind["judge"]]),
    }


def _rate(told: Sequence[bool], better: str = "higher") -> Figure:
    share = wilson(sum(told) / len(told), len(told))
    return Figure(share.estimate, "fraction", better, share.low, share.high, len(told))


def measured(data: Path, seeds: Sequence[int]) -> dict[str, Figure]:
    """The figures over these seeds of the recordings in ``data``."""
    parts = halves(data)
    found: list[Outcome] = []
    for done, seed in enumerate(seeds, 1):
        found += outcomes(parts, seed)
        sys.stderr.write(f"\r{done} of {len(seeds)} seeds")
    sys.stderr.write("\n")
    return figures(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 0 once measured."""
    return command.run("drift_causes", __doc__, "1-50", MINUTES, measured, arguments)


if __name__ == "__main__":
    sys.exit(main())
