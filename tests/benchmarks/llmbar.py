"""Recorded judges that compare two answers, in both orders of presentation (LLMBar).

Their accuracy, and whether the order moves them, over the whole recording; and replays of audits
that saw a part of it, whose intervals are held against that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from controlplane.evaluate.recorded import read
from controlplane.stats import Interval, Survey, by_variance
from controlplane.stats.position import PositionBias, moved, position_bias
from controlplane.stats.rates import mean_variance, rate
from dataplane.contract.rule import Array
from tests.benchmarks.cells import Outcome, Rng, Trial, checked
from tests.benchmarks.served import served_quality
from tests.binormal import Mask

FILE = "llmbar_judge_audit"
PROMPT = "Vanilla_NoRules"  # the one that most items were judged with
LABELS = (100, 300)
TRAFFIC_PER_LABEL = 4
RATES = (0.15, 0.45)  # of the verdicts of a file, for its served quality
ITEMS = 200  # in both orders, to look for position bias


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """One model under one prompt: per item and order (N, 2), right or not, and the winner.

    ``winner`` is 1 or 2 by the items' own numbering, NaN where no verdict could be read; in the
    first order answer 1 is shown first, in the second answer 2.
    """

    model: str
    prompt: str
    right: Array
    winner: Array

    @property
    def accuracy(self) -> float:
        """Over the whole recording, both orders."""
        return float(self.right.mean())

    @property
    def accuracy_interval(self) -> Interval:
        """For more items like these; both orders of an item are one observation."""
        items = self.right.mean(axis=1)
        ones = np.ones(len(items))
        return by_variance(
            self.accuracy, mean_variance(items - self.accuracy, ones), float(len(items))
        )

    @property
    def moved(self) -> Mask:
        """Items whose winner changes with the order."""
        return moved(self.winner)

    def position(self, confidence: float = 0.95) -> PositionBias:
        """Whether the order moves it."""
        return position_bias(self.winner, confidence)


def judges(data: Path) -> list[Judge]:
    """All models under all prompts."""
    orders = ("1", "2")
    names = [f"{name}_order{order}" for name in ("correct", "winner") for order in orders]
    recording = read(data / f"{FILE}.parquet", {"judge_model", "strategy", *names})
    models, prompts = (np.array(recording.texts(name)) for name in ("judge_model", "strategy"))
    right = np.column_stack([recording.numbers(f"correct_order{order}") for order in orders])
    winner = np.column_stack([_verdicts(recording.texts(f"winner_order{o}")) for o in orders])
    found = sorted(set(zip(models.tolist(), prompts.tolist(), strict=True)))
    rows = [(models == model) & (prompts == prompt) for model, prompt in found]
    return [Judge(*name, right[each], winner[each]) for name, each in zip(found, rows, strict=True)]


def _verdicts(texts: Sequence[str | None]) -> Array:
    return np.array([float(text) if text in {"1", "2"} else np.nan for text in texts])


def accuracy(rng: Rng, judge: Judge, labels: int, *, adaptive: bool) -> Iterator[Outcome]:
    """The audit of traffic like the recording: one order of each item, drawn with replacement.

    Adaptive: items whose winner changes with the order are drawn three times as often.
    """
    queries = labels * TRAFFIC_PER_LABEL
    items, order = rng.integers(len(judge.right), size=queries), rng.integers(2, size=queries)
    more = 1 + 2 * (judge.moved[items] & adaptive)
    chance = more * labels / more.sum()
    drawn = rng.uniform(size=queries) < chance
    hit = judge.right[items, order][drawn] == 1
    draw = "adaptive" if adaptive else "uniform"
    name = f"llmbar/accuracy, {judge.model} {judge.prompt}, {draw}, {labels} labels"
    yield checked(name, rate(hit, 1 / chance[drawn]), judge.accuracy)


def served(rng: Rng, judge: Judge, share: float) -> Iterator[Outcome]:
    """How often the answer that the judge chose is the better one, over the whole file.

    Every item in both orders is a stream of which ``share`` is labelled; a verdict that the other
    order does not share is right in one of the two.
    """
    value = judge.right.ravel()
    expected = np.repeat(np.where(judge.moved, 0.5, 1.0), 2)
    drawn = rng.uniform(size=len(value)) < share
    chance = np.full(int(drawn.sum()), share)
    survey = Survey(value[drawn], expected[drawn], chance, float(expected.mean()), len(value))
    name = f"llmbar/served, {judge.model} {judge.prompt}, {share:.0%} labelled"
    yield checked(name, served_quality(survey), judge.accuracy)


def position(rng: Rng, judge: Judge, *, has_it: bool, swapped: bool) -> Iterator[Outcome]:
    """Whether 200 items show a bias; ``swapped``, after a coin has swapped each item's orders."""
    items = rng.integers(len(judge.right), size=ITEMS)
    winner = judge.winner[items]
    if swapped:
        winner = np.where(rng.uniform(size=(ITEMS, 1)) < 0.5, winner[:, ::-1], winner)
    seen = Judge(judge.model, judge.prompt, judge.right[items], winner)
    group = "bias_swapped" if swapped else "bias" if has_it else "bias_not_shown"
    yield f"{group}/{judge.model}", seen.position().found, float(seen.moved.mean())


def trials(every: Sequence[Judge]) -> list[Trial]:
    """Of all judges: accuracy and served quality; of ``PROMPT``'s, position bias."""
    return [
        *(
            partial(accuracy, judge=judge, labels=labels, adaptive=adaptive)
            for judge in every
            for labels in LABELS
            for adaptive in (False, True)
        ),
        *(partial(served, judge=judge, share=share) for judge in every for share in RATES),
        *(
            partial(position, judge=judge, has_it=has_it, swapped=swapped)
            for judge, has_it in shown(every)
            for swapped in (False, True)
        ),
    ]


def shown(every: Sequence[Judge]) -> list[tuple[Judge, bool]]:
    """One a model, under the same prompt, and whether the whole recording shows a bias.

    All models are tested at once, at 95 % together.
    """
    chosen = [judge for judge in every if judge.prompt == PROMPT]
    return [(judge, judge.position(1 - 0.05 / len(chosen)).found) for judge in chosen]


def table(every: Sequence[Judge]) -> str:
    """Accuracy and position bias of each model over the whole recording, as Markdown."""
    lines = [
        "| judge | items | accuracy (95 %) | winner changes with the order | "
        "of those, the first shown wins (95 %) | position bias |",
        "|---|---|---|---|---|---|",
    ]
    for judge, has_it in shown(every):
        seen = judge.position()
        first = seen.first
        towards = "first" if first.estimate > 0.5 else "second"
        bias = towards if has_it else "none found"
        lines.append(
            f"| {judge.model} | {len(judge.right)} | {_written(judge.accuracy_interval)} | "
            f"{seen.moved / seen.readable:.3f} | {_written(first)} | {bias} |"
        )
    return "\n".join(lines)


def _written(interval: Interval) -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} .. {interval.high:.3f})"
