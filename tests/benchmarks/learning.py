"""The learner, measured: ``python -m tests.benchmarks.learning --data DIR --seeds 1-32``.

Streams of 20,000 recorded queries (``streams``) are served by the product's own cycle and
strategies, and set against the frontier of policies fitted beforehand (``frontier``). Excess is
serving cost over the frontier at the quality that was realised; the total charges shadows too.
Labels are counted, and not charged. A drift begins half way.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

import numpy as np

from controlplane.evaluate.replay import EPOCH, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.prior import NONE, Prior
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.features import Features
from tests.benchmarks.frontier import TIERS, Frontier, Sweep, fitted, frontier, start
from tests.benchmarks.streams import (
    Drift,
    Halves,
    data_folder,
    drifted,
    halves,
    scores,
    stream,
    warm,
)

QUERIES = 20_000
WARM = 300
EVERY = 100  # queries between turns of the cycle
PROBES = 4_000  # fixed queries of the drifted pool by which a policy is said to have recovered
HOLDS = 500  # queries for which it must stay so
TOLERANCE = 0.02
LABELLED, SHADOWED = 0.07, 0.02  # 5 % audits, and 2 % shadows whose answers are labelled too
MANY_LABELLED = 0.22  # 20 % audits and 2 % shadows
MINUTES = 90
KAPPA = 0.0  # the mean quality is what is compared: no error is kept in hand


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of run."""

    drift: Drift = "none"
    labelled: float = LABELLED
    cold: bool = False


SCENARIOS = {
    "stationary": Scenario(),
    "local_drift": Scenario("local"),
    "judge_drift": Scenario("judge"),
    "local_drift_audit20": Scenario("local", MANY_LABELLED),
    "judge_drift_audit20": Scenario("judge", MANY_LABELLED),
    "cold": Scenario(cold=True),
}


@dataclass(frozen=True, slots=True)
class Window:
    """Half a run: excess, total over the optimum at the target, quality less the target."""

    excess: float
    total: float
    error: float

    @property
    def shortfall(self) -> float:
        """Wrong answers beyond the target, per 10,000 queries."""
        return max(0.0, -self.error) * 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to; ``recovered`` is None without a drift."""

    windows: tuple[Window, Window]
    recovered: int | None
    labels: int
    alarms: int
    state_bytes: int


class Once(QualityPredictor):
    """Learns of a prompt once: a stream drawn with replacement must not teach p_hat its answers."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[Features] = set()

    def learn(self, features: Features, right: float) -> None:
        """One label, unless the prompt had one before."""
        if features not in self._seen:
            self._seen.add(features)
            super().learn(features, right)


def settings(scenario: Scenario) -> LearnerSettings:
    """The product's defaults, at the draws of the scenario."""
    rates = DrawRates(scenario.labelled, SHADOWED)
    alarmed = DrawRates(max(scenario.labelled, 0.10), 0.10)
    cold = DrawRates(0.2, 0.2) if scenario.cold else rates
    return replace(
        LearnerSettings(), kappa=KAPPA, min_decisions=200, cold=cold, steady=rates, alarmed=alarmed
    )


def learner(prior: Prior, chosen: LearnerSettings) -> Learner:
    """A learner that is taught by the prior, and by each prompt once."""
    made = Learner(TIERS, chosen, prior)
    made.quality = [Once.restore(each) for each in prior.predictors]
    return made


def begin(parts: Halves, scenario: Scenario, seed: int) -> Replay:
    """A replay whose learner has its prior and its warm labels, or neither."""
    chosen = settings(scenario)
    first = start(parts.target, chosen.cold.audit, chosen.cold.shadow)
    made = learner(NONE if scenario.cold else parts.prior, chosen)
    live = first
    if not scenario.cold:
        _warm_up(made, warm(parts, seed, WARM), chosen)
        live = made.propose(first, EPOCH) or first
    return Replay(live, made, seed=seed, every=EVERY)


def _warm_up(made: Learner, rows: Sequence[Row], chosen: LearnerSettings) -> None:
    """As if each had been answered by both tiers, and both answers labelled."""
    seen = [
        Observation(
            UUID(int=10**9 + at), EPOCH, "default", 1, row.features, TIERS, TIERS[1], row.score, 0.0
        )
        for at, row in enumerate(rows)
    ]
    made.observe(seen)
    rates = chosen.steady.audit, chosen.steady.shadow
    made.learn(
        [
            Labelled(each, {"local": row.local, "cloud": row.cloud}, *rates)
            for each, row in zip(seen, rows, strict=True)
        ]
    )


def run(parts: Halves, scenario: Scenario, seed: int, queries: int = QUERIES) -> Outcome:
    """One stream, served and measured."""
    drawn = stream(parts, seed, queries, scenario.drift)
    replay = begin(parts, scenario, seed)
    served = list(replay.run(drawn.rows))
    middle = queries // 2
    windows = tuple(
        _window(parts.target, served[part], document, drawn.rows[part])
        for part, document in (
            (slice(0, middle), fitted_once(parts, "none")),
            (slice(middle, None), fitted_once(parts, scenario.drift)),
        )
    )
    assert replay.learner is not None
    return Outcome(
        windows=(windows[0], windows[1]),
        recovered=_recovered(parts, scenario.drift, seed, replay, served[middle:]),
        labels=sum(each.labels for each in served),
        alarms=len(replay.alarms),
        state_bytes=len(replay.learner.to_json()),
    )


@cache
def fitted_once(parts: Halves, drift: Drift) -> PolicyDocument:
    """The frontier's document, which no seed changes."""
    return fitted(parts, drift)


def _window(
    target: float, served: Sequence[Served], document: PolicyDocument, rows: Sequence[Row]
) -> Window:
    best: Frontier = frontier(document, rows)
    quality = float(np.mean([each.quality for each in served]))
    cost = float(np.mean([each.cost_usd for each in served]))
    shadow = float(np.mean([each.shadow_usd for each in served]))
    return Window(
        excess=cost / best.cost_at(quality) - 1,
        total=(cost + shadow) / best.cost_at(target),
        error=quality - target,
    )


def _recovered(
    parts: Halves, drift: Drift, seed: int, replay: Replay, served: Sequence[Served]
) -> int | None:
    """Queries after the drift until the live policy is back within the tolerance, and stays so.

    By its quality on fixed queries of the drifted pool. 0: it never left; all: it never came back.
    """
    if drift == "none":
        return None
    judged = Probes.drawn(parts, drift, seed)
    documents = {policy.version: policy for policy in replay.policies}
    good = {
        version: judged.quality(documents[version]) >= parts.target - TOLERANCE
        for version in {each.policy_version for each in served}
    }
    holds = [good[each.policy_version] for each in served]
    if all(holds):
        return 0
    left = holds.index(False)
    back = (at for at in range(left, len(holds)) if all(holds[at : at + HOLDS]))
    return next(back, len(holds))


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Fixed queries of a drifted pool."""

    rows: tuple[Row, ...]

    @classmethod
    def drawn(cls, parts: Halves, drift: Drift, seed: int) -> "Probes":
        """Drawn by the seed, as the stream's were."""
        rng = np.random.default_rng([seed, 11])
        pool = drifted(parts.served, drift, seed).at(rng.integers(len(parts.served), size=PROBES))
        raw: Array = scores(pool.local, drift, rng)
        columns = zip(pool.features, pool.local, pool.cloud, raw, strict=True)
        return cls(tuple(Row(f, float(a), float(b), float(s), 0.0, 0.0) for f, a, b, s in columns))

    def quality(self, document: PolicyDocument) -> float:
        """Share right if this policy served them."""
        return Sweep(document, self.rows).point(document.segments[0].lambda_)[1]


# -- figures


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number over runs, with its 95 % interval (normal, over seeds)."""

    value: float
    unit: str
    better: str
    lower: float
    upper: float
    n: int

    @classmethod
    def mean(cls, values: Sequence[float], unit: str, better: str = "lower") -> "Figure":
        """Mean over seeds."""
        middle, wide = float(np.mean(values)), _half_width(values)
        return cls(middle, unit, better, middle - wide, middle + wide, len(values))


def _half_width(values: Sequence[float]) -> float:
    return 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _upper(values: Sequence[float]) -> Figure:
    """The one-sided 95 % bound of the mean."""
    middle = float(np.mean(values))
    bound = middle + 1.645 * _half_width(values) / 1.96
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
        return Figure.mean([float(o.recovered or 0) for o in outcomes], "queries")

    local, judge = found["local_drift"], found["judge_drift"]
    audited = [*found["local_drift_audit20"], *found["judge_drift_audit20"]]
    return {
        "shortfall_local_drift": shortfall(local),
        "shortfall_judge_drift": shortfall(judge),
        "recover_queries_local_drift": recovery(local),
        "recover_queries_judge_drift": recovery(judge),
        "shortfall_drift_audit20": shortfall(audited),
        "recover_queries_audit20": recovery(audited),
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
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    try:
        data = data_folder(chosen.data)
    except FileNotFoundError as error:
        parser.error(str(error))
    _halves(data).prior  # noqa: B018 - once, before the processes part
    found: dict[str, list[Outcome]] = {name: [] for name in SCENARIOS}
    told: Callable[[str], object] = sys.stderr.write
    jobs = measured(data, list(SCENARIOS), seeds, chosen.processes, chosen.queries)
    for done, (name, outcome) in enumerate(jobs, 1):
        found[name].append(outcome)
        told(f"\r{done} of {len(SCENARIOS) * len(seeds)} runs")
    told("\n")
    named = figures(found, updates_per_s(_halves(data)))
    sys.stderr.write(table(named) + "\n")
    written = {name: {k: getattr(each, k) for k in FIELDS} for name, each in named.items()}
    text = json.dumps({"figures": written}, indent=2)
    if chosen.json == "-":
        sys.stdout.write(text + "\n")
    elif chosen.json:
        Path(chosen.json).write_text(text + "\n", "utf-8")
    return 0


FIELDS = ("value", "unit", "better", "lower", "upper", "n")

if __name__ == "__main__":
    sys.exit(main())
