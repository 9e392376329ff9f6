"""The judge on trial, measured: ``python -m tests.benchmarks.audit --data DIR``.

Does each interval of the audit cover as often as it says, is a label worth more than Wilson's
interval makes of it, does a certificate keep its limit, and does the gate let the right judges in?
Asked of SIMULATED streams, whose truth is known, and of recordings, whose truth is the whole file:
LLMBar's judges, models that agree with a local answer (ZeroEval), self-consistency (MoT). A seed is
400 trials in each SIMULATED cell (50 certificates, 20 judges at the gate, 30 that keep their say)
and 200 in each recorded one. The interval of a least or greatest share holds for all cells at once.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from controlplane.evaluate.recorded import RecordingError
from dataplane.contract.rule import Array
from tests.benchmarks import audit_recorded as recorded
from tests.benchmarks import audit_simulated as simulated
from tests.benchmarks import cells, command, figure, llmbar
from tests.benchmarks.cells import Cells, Trial, extreme, least_worth, resampled, share
from tests.benchmarks.figure import Figure

SEEDS = "1-10"
MINUTES = 12
WORTH_A_POINT = 0.01


@dataclass(frozen=True, slots=True)
class Effort:
    """Trials of a seed: in each cell of coverage, SIMULATED or replayed, and so on."""

    coverage: int = 400
    replays: int = 200
    certificates: int = 50
    judges: int = 20  # at the gate
    kept: int = 30  # good judges, each for 1,000 pairs


def simulations(seeds: Iterable[int], effort: Effort) -> Cells:
    """All trials on SIMULATED streams."""
    found = Cells()
    for seed in seeds:
        found.run(simulated.FIXED, effort.coverage, seed)
        found.run(simulated.SEQUENCES, effort.coverage, seed)
        found.run(simulated.CERTIFICATES, effort.certificates, seed)
        found.run([simulated.gate], effort.judges, seed)
        found.run([simulated.gate_kept], effort.kept, seed)
        sys.stderr.write(f"simulated, seed {seed}: done\n")
    return found


def replays(trials: Sequence[Trial], seeds: Iterable[int], effort: Effort) -> Cells:
    """Those trials on recordings."""
    found = Cells()
    for seed in seeds:
        found.run(trials, effort.replays, seed)
        sys.stderr.write(f"recorded, seed {seed}: done\n")
    return found


def recorded_trials(data: Path, judges: Sequence[llmbar.Judge], seed: int) -> list[Trial]:
    """Everything asked of recordings; the gate's policies are fitted on the folds of a seed."""
    every = recorded.recordings(data)
    made = recorded.trials([recorded.judged(name, pairs) for name, pairs, _ in every])
    contests = [
        contest
        for name, pairs, prompts in every
        for contest in recorded.contests(name, pairs, prompts, seed)
    ]
    at_the_gate = [partial(recorded.opens, contest=contest) for contest in contests]
    return [*llmbar.trials(judges), *made, *at_the_gate]


def of_simulations(found: Cells) -> dict[str, Figure]:
    """The figures of SIMULATED streams."""
    fixed = found.within("plain", "asymptotic", "conservative").values()
    gate = found.within("gate")
    return {
        "coverage_min": extreme(fixed, "higher"),
        "asymptotic_coverage_max": extreme(found.within("asymptotic").values(), "lower"),
        "sequence_miss_max": extreme(found.within("sequence").values(), "lower", missed=True),
        "coverage_delayed_min": extreme(found.within("delayed").values(), "higher"),
        "delayed_width": width(found, "delayed/4000 queries"),
        "delayed_ignored_coverage": share(found["ignored/4000 queries"], "higher"),
        "delayed_ignored_width": width(found, "ignored/4000 queries"),
        "labels_worth_useless": label_worth(found, "useless"),
        "labels_worth_auroc80": label_worth(found, "disjoint"),
        "labels_worth_self_calibrated": label_worth(found, "p_hat"),
        "labels_worth_self_calibrated_judge": label_worth(found, "itself"),
        "rcps_violation_max": extreme(found.within("rcps").values(), "lower", missed=True),
        "rcps_accept_300": resampled([found["rcps/300 labels"]], mean, "fraction", "higher"),
        "gate_closed_useless": share(gate["gate/useless stays closed"], "higher"),
        "gate_open_good": share(gate["gate/good opens"], "higher"),
        "gate_close_pairs_median": resampled(
            [gate["gate/broken closes"]], middle, "pairs", "lower"
        ),
        "gate_false_close_per1000": share(gate["gate/good stays open"], "lower", missed=True),
    }


def of_replays(found: Cells) -> dict[str, Figure]:
    """The figures of recordings."""
    pays = found.within("pays").values()
    served = [name.partition("/")[2] for name in found.within("recorded_wilson")]
    pairs = {
        way: [
            (found[f"recorded_wilson/{name}"], found[f"recorded/{name}"])
            for name in served
            if name.startswith(way) and name.endswith("360 labels")
        ]
        for way in ("local", "cascade")
    }
    return {
        "llmbar_coverage": extreme(found.within("llmbar").values(), "higher"),
        "llmbar_bias_found": extreme(found.within("bias").values(), "higher"),
        "llmbar_bias_false": extreme(found.within("bias_swapped").values(), "lower"),
        "recorded_coverage": extreme(found.within("recorded").values(), "higher"),
        "recorded_worth_local": least_worth(pairs["local"]),
        "recorded_worth_cascade": least_worth(pairs["cascade"]),
        "recorded_gate_opens": extreme(
            (cell for cell in pays if cell.amount[0] >= WORTH_A_POINT), "higher"
        ),
        "recorded_gate_opens_in_error": extreme(
            found.within("does_not_pay").values(), "lower", missed=True
        ),
    }


def label_worth(found: Cells, name: str) -> Figure:
    """Labels that one is worth under a prediction, at 300 or 1,000 labels, whichever is less."""
    at = [f"{name}, {labels} labels" for labels in simulated.LABELS[1:]]
    return least_worth([(found[f"comparison/{e}"], found[f"asymptotic/served, {e}"]) for e in at])


def width(found: Cells, name: str) -> Figure:
    """Mean width of an interval."""
    return resampled([found[name]], mean, "fraction", "lower")


def mean(amounts: Sequence[Array]) -> float:
    """Of one cell."""
    return float(amounts[0].mean())


def middle(amounts: Sequence[Array]) -> float:
    """Median of one cell."""
    return float(np.median(amounts[0]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 0 once measured."""
    made = command.parser("audit", __doc__, SEEDS, MINUTES)
    made.add_argument("--table", action="store_true", help="print LLMBar's judges and every cell")
    given = command.chosen(made, arguments)
    try:
        judges = llmbar.judges(given.data)
        trials = recorded_trials(given.data, judges, given.seeds[0])
    except RecordingError as error:
        made.error(str(error))
    drawn, replayed = simulations(given.seeds, Effort()), replays(trials, given.seeds, Effort())
    named = of_simulations(drawn) | of_replays(replayed)
    sys.stderr.write(f"{figure.table(named)}\n")
    if given.table:
        every = [*drawn.items(), *replayed.items()]
        sys.stdout.write(f"{llmbar.table(judges)}\n\n{cells.table(every)}\n")
    command.report(named, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
