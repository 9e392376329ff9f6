"""The rule with real judges, measured: ``python -m tests.benchmarks.judged --data DIR``.

Recorded answers of a local and a cloud model, and a judge that was recorded too: other models'
agreement with the local answer, or its self-consistency. Policies are fitted and swept out of fold
(``folds``). Each mode's concave hull of (cost, quality), the two tiers as its ends, says what a
quality costs, as a share of always-cloud; a mixture by chance of two of its policies reaches it.
A seed is another parting into folds: costs are means over seeds, intervals a bootstrap of queries.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from controlplane.evaluate.pairing import AGREEMENT, Pairs, Wanted, pair
from controlplane.evaluate.recorded import read
from dataplane.contract.rule import Array
from tests.benchmarks import command
from tests.benchmarks.figure import Figure
from tests.benchmarks.folds import MODES, Sweeps, sweeps
from tests.benchmarks.frontier import hull

SHARES = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])  # of the gap, recovered
EIGHTY = 5  # the place of 80 % among them
RESAMPLES = 400
MINUTES = 20

GPT4O, MINI, FLASH = "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "gemini-1.5-flash"
LOCALS = {
    "llama8b": "Meta-Llama-3.1-8B-Instruct",
    "gemma2b": "gemma-2-2b-it",
    "qwen7b": "Qwen2-7B-Instruct",
    "qwen25": "Qwen2.5-7B-Instruct",
    "phi35": "Phi-3.5-mini-instruct",
}
AGREEMENTS = {"mini": f"{AGREEMENT}{MINI}", "flash_mini": f"{AGREEMENT}{FLASH},{MINI}"}
NOMINAL = Wanted(
    LOCALS["llama8b"], GPT4O, AGREEMENTS["mini"], local_price=0.02, cloud_price=1, judge_price=0.03
)
HEADLINE = "zeroeval_gsm_llama8b_mini"


@dataclass(frozen=True, slots=True)
class Duel:
    """Two models' answers in a file, under each of several judges."""

    file: str
    name: str
    judges: Mapping[str, Wanted] = field(hash=False)


def _agreed(file: str, name: str, **more: Wanted) -> Duel:
    named = {short: Wanted(LOCALS[name], GPT4O, judge) for short, judge in AGREEMENTS.items()}
    return Duel(file, name, named | more)


def _consistent(prompting: str) -> Duel:
    """The local tier is the majority of its samples: all are charged, and judging is free."""
    files = (f"llama2_13B_result/gsm_{prompting}.json", "GPT4_result/gsm_greedy_cot1.json")
    wanted = Wanted(
        "llama2-13b",
        "gpt-4",
        "self_consistency",
        cost="cost_usd_all_samples",
        where={"file": files},
    )
    return Duel("mot_gsm8k_selfconsistency", prompting, {"consistency": wanted})


DUELS = (
    _agreed("zeroeval_gsm", "llama8b", nominal=NOMINAL),
    _agreed("zeroeval_gsm", "gemma2b"),
    _agreed("zeroeval_gsm", "qwen7b"),
    _agreed("zeroeval_crux", "llama8b"),
    _agreed("zeroeval_crux", "qwen25"),
    _agreed("zeroeval_crux", "phi35"),
    _consistent("pot1"),
    _consistent("pot2"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What each of ``SHARES`` costs in each of ``MODES``, over always-cloud's cost.

    ``all`` (M, T) of all ``n`` queries, ``drawn`` (R, M, T) of resampled ones.
    """

    all: Array
    drawn: Array
    n: int

    def figure(self, mode: int, at: int) -> Figure:
        """The cost of one share in one mode."""
        return _figure(float(self.all[mode, at]), self.drawn[:, mode, at], self.n)


def excess(costs: Array) -> Array:
    """Cascade routing over the cheaper pure mode, minus 1: (..., M, T) to (..., T)."""
    route, cascade, both = np.moveaxis(costs, -2, 0)
    return np.asarray(both / np.minimum(route, cascade) - 1)


def _figure(value: float, drawn: Array, n: int) -> Figure:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(value, "fraction", "lower", float(low), float(high), n)


def loaded(data: Path, duel: Duel) -> tuple[dict[str, Pairs], list[str]]:
    """The pairs under each judge, and their prompts."""
    judged = {}
    for name, wanted in duel.judges.items():
        recording = read(data / f"{duel.file}.parquet", wanted.columns)
        judged[name] = pair(recording, wanted)
    texts = dict(zip(recording.texts("query_id"), recording.texts("prompt"), strict=True))
    return judged, [texts[query] or "" for query in judged[name].ids]


def costs(seeds: Sequence[Sweeps], resamples: int = RESAMPLES) -> Costs:
    """The mean over partings into folds of what each share costs."""
    n = len(seeds[0].outcomes.quality)
    rng = np.random.default_rng(0)
    weights = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), resamples)]) / n
    found = np.mean([_costs(each, weights) for each in seeds], axis=0)
    return Costs(found[0], found[1:], n)


def _costs(swept: Sweeps, weights: Array) -> Array:
    """Under each weighting of the queries (R, N): (R, M, T)."""
    tiers = (swept.outcomes.always(0), swept.outcomes.always(-1))
    ends = np.array([(weights @ tier.cost_usd, _even(weights @ tier.quality)) for tier in tiers])
    targets = _even(ends[0, 1, :, None] + SHARES * (ends[1, 1] - ends[0, 1])[:, None])
    found = np.empty((len(weights), len(MODES), len(SHARES)))
    for place, mode in enumerate(MODES):
        usd, quality = weights @ swept.usd[mode], _even(weights @ swept.quality[mode])
        for at, target in enumerate(targets):
            points = np.column_stack([usd[at], quality[at]])
            curve = hull(np.vstack([ends[:, :, at], points]))
            found[at, place] = [curve.cost_at(float(each)) for each in target]
    return np.asarray(found / ends[1, 0][:, None, None])


def _even(quality: Array) -> Array:
    """Sums of the same answers in another order are the same quality."""
    return np.asarray(quality.round(9))


def measured(data: Path, seeds: Sequence[int]) -> dict[str, Costs]:
    """The costs of every duel under every judge, by name."""
    found: dict[str, Costs] = {}
    for duel in DUELS:
        judged, prompts = loaded(data, duel)
        runs = [sweeps(judged, prompts, seed) for seed in seeds]
        for name in judged:
            found[f"{duel.file}_{duel.name}_{name}"] = costs([run[name] for run in runs])
        sys.stderr.write(f"{duel.file} {duel.name}: done\n")
    return found


def figures(found: Mapping[str, Costs]) -> dict[str, Figure]:
    """The benchmark's figures by name; resamples are of the same draws for all."""
    over = {name: excess(each.all) for name, each in found.items()}
    drawn = {name: excess(each.drawn).max(axis=1) for name, each in found.items()}
    worst = max(float(each.max()) for each in over.values())
    named = {
        "cost80_zeroeval_gsm": found[HEADLINE].figure(MODES.index("cascade_route"), EIGHTY),
        "worst_excess_over_pure": _figure(
            worst, np.max(list(drawn.values()), axis=0), sum(each.n for each in found.values())
        ),
    }
    for name, each in found.items():
        named[f"cost80_{name}"] = each.figure(MODES.index("cascade_route"), EIGHTY)
        for mode in MODES[:2]:
            named[f"cost80_{mode}_{name}"] = each.figure(MODES.index(mode), EIGHTY)
        named[f"excess_{name}"] = _figure(float(over[name].max()), drawn[name], each.n)
    return named


def _figures(data: Path, seeds: Sequence[int]) -> dict[str, Figure]:
    return figures(measured(data, seeds))


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module's docstring."""
    return command.run("judged", __doc__, "1-8", MINUTES, _figures, arguments)


if __name__ == "__main__":
    sys.exit(main())
