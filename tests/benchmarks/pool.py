"""Many tiers, measured: ``python -m tests.benchmarks.pool --data DIR``.

RouterBench's recorded answers of eleven models, all of them and subsets. The product's learner
serves each query once, routed only, in an order drawn by the seed, from a cold start and towards
each of several targets; its last two thirds are measured, serving alone: shadows are told apart.
Beside it, over the same queries: each model alone; a random mix of the two neighbours on the
concave hull of the models; and the best tier of each category, learned online from the very labels
that the learner had by then. Both are told the categories. ``arrival`` says what else is measured.

Costs are compared at the quality that the learner realised, read off the other's concave hull,
which is drawn in hindsight: its points are its targets' and the models'. And both are held against
the *best tables*, the concave hull of whatever one tier a category can do with the measured
queries, known beforehand: by how much quality each is short of it at its cost. Where the two spend
differently the same shortness is easier for one: so the other's is read at the learner's cost, too,
between those of its targets and of either end, where one model serves all.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np

from controlplane.evaluate.baselines import Assignment, Outcomes, cheapest
from controlplane.evaluate.pairing import Pairs, Wanted, pair
from controlplane.evaluate.recorded import read
from controlplane.evaluate.rehearsal import Plan, order, start_policy
from controlplane.evaluate.replay import Replay
from controlplane.learn.learner import Learner
from controlplane.learn.settings import LearnerSettings
from controlplane.observations import Labelled
from controlplane.observe import MemoryLog
from dataplane.contract.rule import Array, Places
from dataplane.contract.terms import HELD_OUT
from tests.benchmarks import arrival, command
from tests.benchmarks.figure import Figure
from tests.benchmarks.frontier import Frontier, hull

FILE = "routerbench_0shot_subset"
LOCAL, CLOUD = "mistralai/mistral-7b-chat", "gpt-4-1106-preview"
MIXTRAL, YI, GPT35 = "mistralai/mixtral-8x7b-chat", "zero-one-ai/Yi-34B-Chat", "gpt-3.5-turbo-1106"
SUBSETS: dict[str, tuple[str, ...]] = {
    "three": (YI,),
    "five": (MIXTRAL, YI, GPT35),
    "eleven": (
        *(MIXTRAL, YI, GPT35, "WizardLM/WizardLM-13B-V1.2", "meta/code-llama-instruct-34b-chat"),
        *("meta/llama-2-70b-chat", "claude-instant-v1", "claude-v1", "claude-v2"),
    ),
}
SHARES = (0.4, 0.55, 0.7, 0.8, 0.9)  # of the gap between the local model and the cloud, aimed at
AUDIT, SHADOW = 0.2, 0.1
EVERY = 50  # queries between turns of the cycle
WARM = 3  # the first of so many parts is left out
SHRUNK = 20.0  # labels of a category that weigh as much as all categories together
MINUTES = 10


class Told(MemoryLog):
    """A log that keeps what the learner learned from, turn by turn."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[list[Labelled]] = []

    def labelled(self) -> list[Labelled]:
        """See ``Log``."""
        found = super().labelled()
        self.turns.append([each for each in found if not each.held_out(HELD_OUT)])
        return found


Turns: TypeAlias = Sequence[Sequence[Labelled]]
Point: TypeAlias = tuple[float, float]  # mean cost in USD, mean quality


@dataclass(frozen=True, slots=True)
class Run:
    """One target and order: what the measured queries came to."""

    target: float
    penstock: Point
    categories: Point  # the best tier of each
    tables: Frontier  # one tier a category, known beforehand
    models: Mapping[str, Point]  # each alone, from the cheapest to the dearest
    shadow_usd: float  # a query


def loaded(data: Path, between: Sequence[str]) -> Pairs:
    """The queries that all these models answered."""
    wanted = Wanted(LOCAL, CLOUD, category=True, between=tuple(between))
    return pair(read(data / f"{FILE}.parquet", wanted.columns), wanted)


def run(pairs: Pairs, target: float, seed: int) -> Run:
    """Serve the queries once."""
    plan = Plan(target, audit=AUDIT, shadow=SHADOW, seed=seed, every=EVERY)
    settings = LearnerSettings(mode="route", kappa=0.0).drawing(AUDIT, SHADOW)
    places, log = order(len(pairs.rows), plan), Told()
    rows, tiers = [pairs.rows[place] for place in places], pairs.tiers
    start, learner = start_policy(pairs, plan, settings.cold), Learner(tiers, settings)
    served = list(Replay(start, learner, seed=seed, every=EVERY, log=log).run(rows))
    outcomes, late = Outcomes.of(rows), slice(len(rows) // WARM, None)
    kinds = np.unique(pairs.categories, return_inverse=True)[1][places]
    by_category = outcomes.served(_by_category(target, outcomes, kinds, tiers, log.turns))
    paid = np.array([(each.cost_usd, each.quality, each.shadow_usd) for each in served])
    cost, quality, shadow_usd = paid[late].mean(axis=0).tolist()
    alone = {name: _means(outcomes.always(tier), late) for tier, name in enumerate(tiers)}
    tables = best_tables(outcomes.cost_usd[late], outcomes.quality[late], kinds[late])
    return Run(target, (cost, quality), _means(by_category, late), tables, alone, shadow_usd)


def best_tables(cost: Array, quality: Array, kinds: Places) -> Frontier:
    """The hull of what all tables of one tier a kind (N,) do with queries (N, tiers)."""
    sums = np.zeros((int(kinds.max()) + 1, cost.shape[1], 2))
    np.add.at(sums, kinds, np.stack([cost, quality], axis=-1) / len(kinds))
    ways = product(range(cost.shape[1]), repeat=len(sums))
    return hull(np.array([sums[np.arange(len(sums)), way].sum(axis=0) for way in ways]))


def _means(way: Assignment, part: slice) -> tuple[float, float]:
    return float(way.cost_usd[part].mean()), float(way.quality[part].mean())


def _by_category(
    target: float, outcomes: Outcomes, kinds: Places, tiers: Sequence[str], told: Turns
) -> Places:
    """The tier that serves each query (N,): the last one until all have labels."""
    serves = np.full(len(kinds), len(tiers) - 1)
    sums = np.zeros((3, int(kinds.max()) + 1, len(tiers)))  # labels, weights, weighed labels
    for turn, labels in enumerate(told, 1):
        for each in labels:
            kind = kinds[each.observation.decision_id.int]
            for tier, right in each.right.items():
                weight = 1 / each.probability(tier)
                sums[:, kind, tiers.index(tier)] += 1, weight, weight * right
        if sums[0].sum(axis=0).all():
            seen, block = turn * EVERY, slice(turn * EVERY, (turn + 1) * EVERY)
            usd = np.zeros(sums[0].shape)
            np.add.at(usd, kinds[:seen], outcomes.cost_usd[:seen])
            quality = np.bincount(kinds[:seen], minlength=len(usd))[:, None] * _shrunk(*sums)
            serves[block] = cheapest(quality, usd, target * seen)[kinds[block]]
    return serves


def _shrunk(labels: Array, weights: Array, worth: Array) -> Array:
    """Mean worth by category and tier, leaning on the tier's mean over all."""
    overall = worth.sum(axis=0) / weights.sum(axis=0)
    mean = np.where(labels > 0, worth / np.maximum(weights, 1e-9), 0.0)
    return np.asarray((labels * mean + SHRUNK * overall) / (labels + SHRUNK))


def measured(data: Path, seeds: Sequence[int]) -> dict[str, list[list[Run]]]:
    """By subset: seed by seed, the runs towards each target."""
    found = {}
    for name, between in SUBSETS.items():
        pairs = loaded(data, between)
        low, high = Outcomes.of(pairs.rows).quality.mean(axis=0)[[0, -1]].tolist()
        targets = [low + share * (high - low) for share in SHARES]
        found[name] = [[run(pairs, target, seed) for target in targets] for seed in seeds]
        sys.stderr.write(f"{name}: done\n")
    return found


def figures(found: Mapping[str, Sequence[Sequence[Run]]]) -> dict[str, Figure]:
    """The benchmark's figures by name."""
    named: dict[str, Figure] = {}
    for name, seeds in found.items():
        over = np.array([_over_categories(runs) for runs in seeds])
        short = np.array([[_short(each) for each in runs] for runs in seeds])
        behind = short[..., 0] - short[..., 1]
        at_cost = np.array([_behind_at_cost(runs) for runs in seeds])
        ways = {
            "over_category_mean": over.mean(axis=1),
            "over_category_mean_worst": _worst(over),
            "short_of_best_table": short[..., 0].mean(axis=1),
            "category_mean_short_of_best_table": short[..., 1].mean(axis=1),
            "behind_category_mean": behind.mean(axis=1),
            "behind_category_mean_worst": _worst(behind),
            "behind_at_equal_cost": at_cost.mean(axis=1),
            "behind_at_equal_cost_worst": _worst(at_cost),
            "over_random_mix": [
                _mean(_over(each.penstock, _ends(each)) for each in r) for r in seeds
            ],
            "shortfall": [_mean(each.target - each.penstock[1] for each in r) for r in seeds],
            "category_mean_shortfall": [
                _mean(each.target - each.categories[1] for each in r) for r in seeds
            ],
            "cost_over_at_target": [
                _mean(each.penstock[0] / each.categories[0] - 1 for each in r) for r in seeds
            ],
            "shadows": [_mean(_of_cloud(each, each.shadow_usd) for each in r) for r in seeds],
        }
        for tier in list(seeds[0][0].models)[1:-1]:  # the curve has the others
            alone = [_over_model(runs, tier) for runs in seeds]
            ways[f"over_{tier.rpartition('/')[2]}"] = alone
        named |= {f"{name}_{way}": Figure.mean(each, "fraction") for way, each in ways.items()}
    return named


def _over(point: Point, curve: Frontier) -> float:
    """By how much a point costs more than the curve at its quality."""
    return point[0] / curve.cost_at(point[1]) - 1


def _ends(run: Run) -> Frontier:
    """What a random mix of the models comes to."""
    return hull(np.array(list(run.models.values())))


def _over_categories(runs: Sequence[Run]) -> list[float]:
    """The learner over the per-category mean, target by target."""
    curve = hull(np.array([*(each.categories for each in runs), *runs[0].models.values()]))
    return [_over(each.penstock, curve) for each in runs]


def _short(run: Run) -> tuple[float, float]:
    """By how much quality the learner, and the per-category mean, is short of the best table."""
    one, other = (run.tables.quality_at(cost) - q for cost, q in (run.penstock, run.categories))
    return one, other


def _behind_at_cost(runs: Sequence[Run]) -> list[float]:
    """By how much more the learner is short than the other would be at its cost, each target."""
    ends = list(runs[0].models.values())
    known = [(ends[0][0], 0.0), (ends[-1][0], 0.0)]
    known += [(each.categories[0], _short(each)[1]) for each in runs]
    cost, short = np.array(sorted(known)).T
    return [_short(each)[0] - float(np.interp(each.penstock[0], cost, short)) for each in runs]


def _worst(values: Array) -> Array:
    """Of values (seeds, targets), those of the target at which their mean is highest."""
    return np.asarray(values[:, int(values.mean(axis=0).argmax())])


def _over_model(runs: Sequence[Run], model: str) -> float:
    """The learner, or a mix of two of its targets or ends, over a model of the same quality."""
    ends = list(runs[0].models.values())
    curve = hull(np.array([*(each.penstock for each in runs), ends[0], ends[-1]]))
    cost, quality = runs[0].models[model]
    return curve.cost_at(quality) / cost - 1


def _of_cloud(run: Run, usd: float) -> float:
    return usd / list(run.models.values())[-1][0]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _figures(data: Path, seeds: Sequence[int]) -> dict[str, Figure]:
    joined = [arrival.run(loaded(data, (MIXTRAL,)), seed) for seed in seeds]
    return figures(measured(data, seeds)) | arrival.figures(joined)


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module's docstring."""
    return command.run("pool", __doc__, "1-4", MINUTES, _figures, arguments)


if __name__ == "__main__":
    sys.exit(main())
