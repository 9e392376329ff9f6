"""The command of a benchmark whose only choices are where the recordings are, and the seeds."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from controlplane.evaluate.recorded import RecordingError
from tests.benchmarks.figure import Figure, plain, write
from tests.benchmarks.learning import table
from tests.benchmarks.streams import data_folder


def run(
    name: str,
    described: str | None,
    seeds: str,
    minutes: int,
    measure: Callable[[Path, Sequence[int]], dict[str, Figure]],
    arguments: Sequence[str] | None,
) -> int:
    """Measure, print, and write; 0 once measured. ``seeds``: usual ones, A-B, that take so long."""
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks.{name}", description=described
    )
    parser.add_argument("--data", type=Path, help="folder of the recordings (or PENSTOCK_DATA)")
    parser.add_argument("--seeds", default=seeds, help=f"A-B; {seeds} take up to {minutes} minutes")
    parser.add_argument("--json", help="write the figures to FILE, - for standard output")
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition("-")
    try:
        data = data_folder(chosen.data)
        named = measure(data, range(int(first), int(last or first) + 1))
    except (FileNotFoundError, RecordingError) as error:
        parser.error(str(error))
    sys.stderr.write(table(named) + "\n")
    write({"figures": {name: plain(each) for name, each in named.items()}}, chosen.json)
    return 0
