"""Routing alone, out of fold: ``python -m tests.benchmarks.routing --data DIR --seeds 1-4``.

Two heads as a policy carries them and `penstock prior` trains them, one a tier, say what either
model's answer would be worth; the query goes to the strong model in order of the difference. Each
query's score comes from heads that saw no query of its part: parts are by a hash of the prompt.
MT-Bench is too small to train on: its 72 questions are scored by heads that saw MMLU and GSM8K.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from controlplane.evaluate.pairing import Pairs, Wanted, pair
from controlplane.evaluate.recorded import read
from controlplane.learn.offline import Trained, train
from dataplane.contract.rule import Array
from dataplane.features import Features, of_text
from tests.benchmarks import command
from tests.benchmarks.curves import Curve, Outcomes, curve
from tests.benchmarks.figure import Figure
from tests.benchmarks.routing_table import table
from tests.benchmarks.streams import WANTED

FOLDS = 5
RESAMPLED = 300  # times, for an interval
MINUTES = 20

MEASURES: Mapping[str, tuple[Callable[[Curve], float], str]] = {
    "apgr": (lambda found: found.apgr, "higher"),
    "cpt50": (lambda found: found.cpt(0.5), "lower"),
    "cpt80": (lambda found: found.cpt(0.8), "lower"),
    "saving": (lambda found: found.saving, "higher"),
    "auc": (lambda found: found.auc, "higher"),
}


@dataclass(frozen=True, slots=True)
class Task:
    """A recording, and the models of it."""

    file: str
    wanted: Wanted = WANTED


TASKS = {
    "mmlu": Task("routellm_mmlu"),
    "gsm8k": Task("routellm_gsm8k"),
    "routerbench": Task(
        "routerbench_0shot_subset", Wanted("mistralai/mixtral-8x7b-chat", "gpt-4-1106-preview")
    ),
}
MT_BENCH = "routellm_mtbench"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Queries (N) with their recorded categories and what either model made of them."""

    ids: tuple[str, ...]
    prompts: tuple[str, ...]
    categories: tuple[str, ...]
    hints: Array | None
    outcomes: Outcomes

    def __len__(self) -> int:
        return len(self.prompts)

    def features(self, named: bool) -> list[Features]:
        """Of the text, and of the category too if that is ``named`` by the caller."""
        categories = self.categories if named else [None] * len(self)
        return [of_text(*each) for each in zip(self.prompts, categories, strict=True)]

    def at(self, places: NDArray[np.intp]) -> "Recorded":
        """Some of the queries, in this order."""
        return Recorded(
            tuple(self.ids[place] for place in places),
            tuple(self.prompts[place] for place in places),
            tuple(self.categories[place] for place in places),
            None if self.hints is None else self.hints[places],
            self.outcomes.at(places),
        )


def recorded(task: Task, data: Path) -> Recorded:
    """The task's queries; those that the recording calls contaminated are dropped."""
    recording = read(data / f"{task.file}.parquet", task.wanted.columns)
    pairs = pair(recording, task.wanted)
    texts = dict(zip(recording.texts("query_id"), recording.texts("prompt"), strict=True))
    prompts = tuple(texts[each] or "" for each in pairs.ids)
    return Recorded(pairs.ids, prompts, pairs.categories, pairs.hints, _outcomes(pairs))


def _outcomes(pairs: Pairs) -> Outcomes:
    rows = [(*row.worth, *row.usd) for row in pairs.rows]
    return Outcomes(*np.array(rows).T)


def mt_bench(data: Path) -> Recorded:
    """Each question's first turn, with the means of its two turns: it is routed once."""
    one, two = (_turn(data, turn) for turn in "12")
    pairs = ((getattr(one.outcomes, c), getattr(two.outcomes, c)) for c in Outcomes.__slots__)
    return replace(one, outcomes=Outcomes(*((first + second) / 2 for first, second in pairs)))


def _turn(data: Path, turn: str) -> Recorded:
    queries = recorded(Task(MT_BENCH, replace(WANTED, where={"turn": (turn,)})), data)
    return queries.at(np.argsort(queries.ids))


# -- routers


def parts(prompts: Sequence[str], seed: int) -> NDArray[np.intp]:
    """The part 0 .. FOLDS - 1 of each query; equal prompts are in the same one."""
    return np.array([crc32(f"fold{seed}:{each}".encode()) % FOLDS for each in prompts], np.intp)


def routed(queries: Recorded, seed: int, *, named: bool = False) -> Array:
    """The score (N,) of each query by heads trained on the other parts."""
    features, which = queries.features(named), parts(queries.prompts, seed)
    score = np.zeros(len(queries))
    for part in range(FOLDS):
        held, seen = np.flatnonzero(which == part), np.flatnonzero(which != part)
        taught = [features[place] for place in seen]
        weak, strong = heads(queries.at(seen), taught)
        asked = [features[place] for place in held]
        score[held] = strong.predict(asked) - weak.predict(asked)
    return score


def heads(queries: Recorded, features: Sequence[Features]) -> tuple[Trained, Trained]:
    """What the queries teach of the weak and of the strong model."""
    weak, strong = (
        train(features, right, queries.categories, queries.hints)
        for right in (queries.outcomes.weak, queries.outcomes.strong)
    )
    return weak, strong


def elsewhere(taught: Sequence[Recorded], queries: Recorded) -> Array:
    """The mean score (N,) of each query by the heads of other recordings."""
    asked = queries.features(named=False)
    scores = []
    for each in taught:
        weak, strong = heads(each, each.features(named=False))
        scores.append(strong.predict(asked) - weak.predict(asked))
    return np.asarray(np.mean(scores, axis=0))


def mean_gain(categories: Sequence[str], outcomes: Outcomes, which: NDArray[np.intp]) -> Array:
    """What the strong model gained on the other parts' queries of the same category (N,)."""
    gains = outcomes.strong - outcomes.weak
    _, kind = np.unique(categories, return_inverse=True)
    score = np.zeros(len(kind))
    for part in np.unique(which):
        seen = which != part
        counts = np.bincount(kind[seen], minlength=kind.max() + 1)
        sums = np.bincount(kind[seen], weights=gains[seen], minlength=kind.max() + 1)
        score[~seen] = np.where(counts > 0, sums / np.maximum(counts, 1), gains[seen].mean())[
            kind[~seen]
        ]
    return score


# -- figures


def figures(name: str, scores: Sequence[Array], outcomes: Outcomes) -> dict[str, Figure]:
    """Every measure, the mean over ``scores`` (one a seed), with a bootstrap over queries."""
    found = _means(scores, outcomes)
    rng = np.random.default_rng(crc32(name.encode()))
    drawn = []
    for _ in range(RESAMPLED):
        places = rng.integers(len(outcomes), size=len(outcomes))
        drawn.append(_means([score[places] for score in scores], outcomes.at(places)))
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=0)
    columns = zip(MEASURES.items(), found, lower, upper, strict=True)
    return {
        f"{measure}_{name}": Figure(
            float(value), "fraction", better, float(low), float(high), len(outcomes)
        )
        for (measure, (_, better)), value, low, high in columns
    }


def _means(scores: Sequence[Array], outcomes: Outcomes) -> Array:
    curves = [curve(score, outcomes) for score in scores]
    found = [[of(each) for of, _ in MEASURES.values()] for each in curves]
    return np.asarray(np.mean(found, axis=0))


def measured(data: Path, seeds: Sequence[int], told: Callable[[str], object]) -> dict[str, Figure]:
    """All figures: with the category where there are several, by the text alone, by category."""
    named: dict[str, Figure] = {}
    taught = {task: recorded(TASKS[task], data) for task in TASKS}
    for task, queries in taught.items():
        several = len(set(queries.categories)) > 1
        told(f"{task}: {len(queries):,} queries\n")
        plain = [routed(queries, seed) for seed in seeds]
        if several:
            shown = [routed(queries, seed, named=True) for seed in seeds]
            kinds = queries.categories
            base = [mean_gain(kinds, queries.outcomes, parts(queries.prompts, s)) for s in seeds]
            named |= figures(task, shown, queries.outcomes)
            named |= figures(f"{task}_category_mean", base, queries.outcomes)
        named |= figures(f"{task}_text" if several else task, plain, queries.outcomes)
    asked = mt_bench(data)
    score = elsewhere([taught["mmlu"], taught["gsm8k"]], asked)
    return named | figures("mtbench", [score], asked.outcomes)


# -- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 0 once measured."""
    parser = command.parser("routing", __doc__, "1-4", MINUTES)
    parser.add_argument("--table", action="store_true", help="print Markdown beside the published")
    chosen = command.chosen(parser, arguments)
    named = measured(chosen.data, chosen.seeds, sys.stderr.write)
    if chosen.table or not chosen.json:
        sys.stdout.write(table(named) + "\n")
    command.report(named, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
