"""Steps: a line for each thing done, with its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Steps:
    """Says of each step how long it took."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """One step; silent if it fails, for the error speaks."""
        started = time.monotonic()
        yield
        self.say(f"  {name:<24} {time.monotonic() - started:5.1f} s")

    def say(self, line: str) -> None:
        """A line as it is."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
