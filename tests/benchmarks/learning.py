"""The learner, measured: ``python -m tests.benchmarks.learning --data DIR --seeds 1-32``.

``runs`` says what a run is and what is measured of it; ``--rivals`` measures the other ways to
choose a tier on the same streams.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from controlplane.evaluate.replay import EPOCH
from controlplane.observations import Observation
from tests.benchmarks import rivals
from tests.benchmarks.figure import Figure, half_width, plain, write
from tests.benchmarks.frontier import TIERS
from tests.benchmarks.picture import Point, Span, draw
from tests.benchmarks.runs import EVERY, QUERIES, SCENARIOS, Outcome, Window, begin, run
from tests.benchmarks.streams import Halves, data_folder, halves, stream

MINUTES = 120
RIVAL_MINUTES = 40


def _upper(values: Sequence[float]) -> Figure:
    """The one-sided 95 % bound of the mean."""
    middle = float(np.mean(values))
    bound = middle + 1.645 * half_width(values) / 1.96
    return Figure(bound, "fraction", "lower", middle, bound, len(values))


def figures(found: dict[str, list[Outcome]], updates_per_s: float) -> dict[str, Figure]:
    """The benchmark's figures by name."""
    plain = found["stationary"]
    halves_ = [window for each in plain for window in each.windows]
    errors = [window.error for window in halves_]
    rms = Figure.mean([error**2 for error in errors], "fraction")
    named = {
        "excess_first10k_upper": _upper([each.windows[0].excess for each in plain]),
        "excess_second10k_upper": _upper([each.windows[1].excess for each in plain]),
        "quality_error_mean": Figure.mean(errors, "fraction", "zero"),
        "quality_error_rms": replace(
            rms,
            value=rms.value**0.5,
            lower=max(rms.lower, 0.0) ** 0.5,
            upper=rms.upper**0.5,
        ),
        "shortfall": Figure.mean([w.shortfall for w in halves_], "wrong answers per 10k"),
        "total_cost_ratio": Figure.mean([w.total for w in halves_], "ratio"),
        "coldstart_excess": Figure.mean([o.windows[0].excess for o in found["cold"]], "fraction"),
        "updates_per_s": replace(Figure.mean([updates_per_s], "decisions/s"), better="higher"),
        "state_bytes": Figure.mean([float(o.state_bytes) for o in plain], "bytes"),
    }
    return named | _drifts(found)


def _drifts(found: dict[str, list[Outcome]]) -> dict[str, Figure]:
    def shortfall(outcomes: Sequence[Outcome]) -> Figure:
        return Figure.mean([o.windows[1].shortfall for o in outcomes], "wrong answers per 10k")

    def recovery(outcomes: Sequence[Outcome]) -> Figure:
        return Figure.mean([float(o.recovered) for o in outcomes], "queries")

    def outside(outcomes: Sequence[Outcome]) -> Figure:
        return Figure.mean([o.outside for o in outcomes], "fraction")

    local, judge = found["local_drift"], found["judge_drift"]
    mix, price = found["mix_drift"], found["price_drift"]
    audited = [*found["local_drift_audit20"], *found["judge_drift_audit20"]]
    return {
        "shortfall_local_drift": shortfall(local),
        "shortfall_judge_drift": shortfall(judge),
        "recover_queries_local_drift": recovery(local),
        "recover_queries_judge_drift": recovery(judge),
        "shortfall_mix_drift": shortfall(mix),
        "recover_queries_mix_drift": recovery(mix),
        "excess_price_drift": Figure.mean([o.windows[1].excess for o in price], "fraction"),
        "shortfall_price_drift": shortfall(price),
        "shortfall_drift_audit20": shortfall(audited),
        "recover_queries_audit20": recovery(audited),
        "outside_no_drift": outside(found["stationary"]),
        "outside_local_drift": outside(local),
        "outside_judge_drift": outside(judge),
    }


def updates_per_s(parts: Halves, count: int = 4_000) -> float:
    """Observed decisions a second, retunes at their usual cadence included, on one core."""
    drawn = stream(parts, 0, count, "none")
    replay = begin(parts, SCENARIOS["stationary"], 0)
    made, live = replay.learner, replay.live
    assert made is not None
    seen = [
        Observation(
            UUID(int=at), EPOCH, "default", 1, row.features, TIERS[:1], "local", row.score, 0
        )
        for at, row in enumerate(drawn.rows)
    ]
    began = time.perf_counter()
    for first in range(0, count, EVERY):
        made.observe(seen[first : first + EVERY])
        live = made.propose(live, EPOCH) or live
    return count / (time.perf_counter() - began)


# -- the command


def measured(
    data: Path, wanted: Sequence[str], seeds: Sequence[int], processes: int, queries: int
) -> Iterator[tuple[str, Outcome]]:
    """Every wanted scenario at every seed, as it is done."""
    jobs = [(data, name, seed, queries) for name in wanted for seed in seeds]
    with get_context("fork").Pool(processes) as pool:
        yield from pool.imap(_job, jobs, chunksize=1)


@cache
def _halves(data: Path) -> Halves:
    return halves(data)


def _job(job: tuple[Path, str, int, int]) -> tuple[str, Outcome]:
    data, name, seed, queries = job
    return name, run(_halves(data), SCENARIOS[name], seed, queries)


def table(named: dict[str, Figure]) -> str:
    """The figures as Markdown."""
    lines = ["| figure | value | 95 % interval | unit | n |", "|---|---|---|---|---|"]
    for name, each in named.items():
        lines.append(
            f"| {name} | {each.value:.4g} | {each.lower:.4g} .. {each.upper:.4g} "
            f"| {each.unit} | {each.n} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 0 once measured."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.learning", description=__doc__
    )
    parser.add_argument("--data", type=Path, help="folder of the recordings (or PENSTOCK_DATA)")
    parser.add_argument("--seeds", default="1-32", help=f"A-B; 1-32 take up to {MINUTES} minutes")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--queries", type=int, default=QUERIES, help="of a stream")
    parser.add_argument("--json", help="write the figures to FILE, - for standard output")
    parser.add_argument(
        "--rivals",
        action="store_true",
        help=f"measure the other ways to choose; 1-4 take up to {RIVAL_MINUTES} minutes",
    )
    parser.add_argument("--picture", type=Path, help="draw the rivals to an SVG file")
    chosen = parser.parse_args(arguments)
    if chosen.picture and not chosen.rivals:
        parser.error("--picture draws the rivals: add --rivals")
    first, _, last = chosen.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    try:
        data = data_folder(chosen.data)
    except FileNotFoundError as error:
        parser.error(str(error))
    _halves(data).prior  # noqa: B018 - once, before the processes part
    if chosen.rivals:
        written = _rivals(_halves(data), seeds, chosen.queries, chosen.picture)
    else:
        written = _figures(data, seeds, chosen.processes, chosen.queries)
    write(written, chosen.json)
    return 0


def _figures(data: Path, seeds: Sequence[int], processes: int, queries: int) -> dict[str, Any]:
    found: dict[str, list[Outcome]] = {name: [] for name in SCENARIOS}
    jobs = measured(data, list(SCENARIOS), seeds, processes, queries)
    for done, (name, outcome) in enumerate(jobs, 1):
        found[name].append(outcome)
        sys.stderr.write(f"\r{done} of {len(SCENARIOS) * len(seeds)} runs")
    sys.stderr.write("\n")
    named = figures(found, updates_per_s(_halves(data)))
    sys.stderr.write(table(named) + "\n")
    return {"figures": {name: plain(each) for name, each in named.items()}}


def _rivals(
    parts: Halves, seeds: Sequence[int], queries: int, picture: Path | None
) -> dict[str, Any]:
    found: dict[str, list[tuple[Window, Window]]] = {name: [] for name in rivals.rivals()}
    for name, seed, both in rivals.measured(parts, seeds, queries):
        found[name].append(both)
        sys.stderr.write(f"\rseed {seed}: {name:<40}")
    standings = {name: standing(runs) for name, runs in found.items()}
    sys.stderr.write(f"\n{rival_table(standings)}\n")
    if picture:
        points = [
            Point(name, _span(each["cost"]), _span(each["error"], parts.target))
            for name, each in standings.items()
        ]
        curve = rivals.curve(parts, seeds, queries)
        picture.write_text(draw(points, curve, parts.target), "utf-8")
    return {
        "rivals": {
            name: {measure: plain(figure) for measure, figure in each.items()}
            for name, each in standings.items()
        }
    }


def _span(figure: Figure, shift: float = 0.0) -> Span:
    return Span(figure.value + shift, figure.lower + shift, figure.upper + shift)


def standing(runs: Sequence[tuple[Window, Window]]) -> dict[str, Figure]:
    """What a rival came to: the mean of both windows at each seed, over seeds."""

    def over_seeds(of: Callable[[Window], float], unit: str, better: str = "lower") -> Figure:
        return Figure.mean([(of(first) + of(second)) / 2 for first, second in runs], unit, better)

    return {
        "cost": over_seeds(lambda w: w.cost, "mean cloud calls"),
        "error": over_seeds(lambda w: w.error, "fraction", "zero"),
        "shortfall": over_seeds(lambda w: w.shortfall, "wrong answers per 10k"),
        "excess": over_seeds(lambda w: w.excess, "fraction"),
        "total": over_seeds(lambda w: w.total, "ratio"),
    }


def rival_table(standings: dict[str, dict[str, Figure]]) -> str:
    """The rivals as Markdown."""
    names = list(next(iter(standings.values())))
    lines = [f"| rival | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for rival, each in standings.items():
        cells = (f"{one.value:.4g} +- {one.upper - one.value:.2g}" for one in each.values())
        lines.append(f"| {rival} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
