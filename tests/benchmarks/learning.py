"""The learner, measured: ``python -m tests.benchmarks.learning --data DIR --seeds 1-32``.

``runs`` says what a run is and what is measured of it; ``--rivals`` measures the other ways to
choose a tier on the same streams.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from controlplane.evaluate.replay import EPOCH
from controlplane.observations import Observation
from tests.benchmarks import command, rivals
from tests.benchmarks.figure import Figure, half_width, plain, table, write
from tests.benchmarks.frontier import TIERS
from tests.benchmarks.picture import Point, Span, draw
from tests.benchmarks.runs import EVERY, QUERIES, SCENARIOS, Outcome, Window, begin, run
from tests.benchmarks.streams import Halves, halves, stream

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


class Job(NamedTuple):
    """One run."""

    scenario: str
    seed: int
    queries: int


def measured(
    jobs: Sequence[Job], data: Path, processes: int, kept: Path | None = None
) -> Iterator[tuple[Job, Outcome]]:
    """Every run, as it is done; those that the file ``kept`` has are not run again."""
    known = _known(kept)
    for job in jobs:
        if job in known:
            yield job, known[job]
    missing = [(data, job) for job in jobs if job not in known]
    with get_context("fork").Pool(processes) as pool:
        for job, outcome in pool.imap_unordered(_run, missing, chunksize=1):
            if kept:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([job, asdict(outcome)]) + "\n")
            yield job, outcome


def _known(kept: Path | None) -> dict[Job, Outcome]:
    if kept is None or not kept.exists():
        return {}
    lines = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    return {Job(*job): Outcome.restored(outcome) for job, outcome in lines}


@cache
def _halves(data: Path) -> Halves:
    return halves(data)


def _run(what: tuple[Path, Job]) -> tuple[Job, Outcome]:
    data, job = what
    return job, run(_halves(data), SCENARIOS[job.scenario], job.seed, job.queries)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 0 once measured."""
    parser = command.parser("learning", __doc__, "1-32", MINUTES)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--queries", type=int, default=QUERIES, help="of a stream")
    parser.add_argument(
        "--kept", type=Path, help="a file that keeps each run as it is done, to go on from"
    )
    parser.add_argument(
        "--rivals",
        action="store_true",
        help=f"measure the other ways to choose; 1-4 take up to {RIVAL_MINUTES} minutes",
    )
    parser.add_argument("--picture", type=Path, help="draw the rivals to an SVG file")
    chosen = command.chosen(parser, arguments)
    if chosen.picture and not chosen.rivals:
        parser.error("--picture draws the rivals: add --rivals")
    parts = _halves(chosen.data)
    if chosen.rivals:
        write(_rivals(parts, chosen.seeds, chosen.queries, chosen.picture), chosen.json)
        return 0
    parts.prior  # noqa: B018 - once, before the processes part
    named = _figures(chosen)
    sys.stderr.write(table(named) + "\n")
    command.report(named, chosen.json)
    return 0


def _figures(chosen: argparse.Namespace) -> dict[str, Figure]:
    jobs = [Job(name, seed, chosen.queries) for name in SCENARIOS for seed in chosen.seeds]
    found: dict[Job, Outcome] = {}
    for job, outcome in measured(jobs, chosen.data, chosen.processes, chosen.kept):
        found[job] = outcome
        sys.stderr.write(f"\r{len(found)} of {len(jobs)} runs")
    sys.stderr.write("\n")
    by_scenario = {name: [found[job] for job in jobs if job.scenario == name] for name in SCENARIOS}
    return figures(by_scenario, updates_per_s(_halves(chosen.data)))


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
