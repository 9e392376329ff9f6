"""What the commands of the benchmarks share: where the recordings are, the seeds, the figures."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from controlplane.evaluate.recorded import RecordingError
from tests.benchmarks.figure import Figure, plain, table, write
from tests.benchmarks.streams import data_folder


def parser(name: str, described: str | None, seeds: str, minutes: int) -> argparse.ArgumentParser:
    """``--data``, ``--seeds`` and ``--json``; ``seeds``: the usual ones, A-B, that take so long."""
    made = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}", description=described)
    made.add_argument("--data", type=Path, help="folder of the recordings (or PENSTOCK_DATA)")
    made.add_argument(
        "--seeds",
        type=_seeds,
        default=_seeds(seeds),
        help=f"A-B; {seeds} take up to {minutes} minutes",
    )
    made.add_argument("--json", help="write the figures to FILE, - for standard output")
    return made


def _seeds(named: str) -> range:
    first, _, last = named.partition("-")
    return range(int(first), int(last or first) + 1)


def chosen(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was chosen; it leaves with a word on the remedy where there are no recordings."""
    given = made.parse_args(arguments)
    try:
        given.data = data_folder(given.data)
    except FileNotFoundError as error:
        made.error(str(error))
    return given


def report(named: Mapping[str, Figure], where: str | None) -> None:
    """The figures as JSON, as ``write`` has it."""
    write({"figures": {name: plain(each) for name, each in named.items()}}, where)


def run(
    name: str,
    described: str | None,
    seeds: str,
    minutes: int,
    measure: Callable[[Path, Sequence[int]], dict[str, Figure]],
    arguments: Sequence[str] | None,
) -> int:
    """A benchmark that has no other choices: measure, print, and write; 0 once measured."""
    made = parser(name, described, seeds, minutes)
    given = chosen(made, arguments)
    try:
        named = measure(given.data, given.seeds)
    except RecordingError as error:
        made.error(str(error))
    sys.stderr.write(table(named) + "\n")
    report(named, given.json)
    return 0
