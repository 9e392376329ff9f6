"""The live view: a table that is redrawn on a terminal, plain lines everywhere else."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from controlplane.demo.drift import LAST, WHAT, sentences
from controlplane.demo.ledger import Event
from controlplane.demo.monitor import Picture
from controlplane.demo.options import Options

BARS = "▁▂▃▄▅▆▇█"
POINTS = 40
NEWS = 5
NOTABLE = ("alarm", "drift", "gate", "proposal", "rollback")  # events that stand out
PLAIN_EVERY_S = 5.0


class View(Protocol):
    """Shows one picture after another."""

    def show(self, picture: Picture) -> None:
        """The newest."""


@contextmanager
def view(console: Console, options: Options) -> Iterator[View]:
    """A live table, or plain lines where the console is no terminal."""
    if not console.is_terminal:
        yield _Plain(console, options)
        return
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield _Table(live, options)


class _Plain:
    def __init__(self, console: Console, options: Options) -> None:
        self._console = console
        self._options = options
        self._said_at = 0.0
        self._told: set[str] = set()

    def show(self, picture: Picture) -> None:
        for event in picture.news:
            self._say(f"  {words(event)}")
        for sentence in sentences(picture.drift, self._options.floor) if picture.drift else ():
            if sentence not in self._told:
                self._told.add(sentence)
                self._say(f"  >> {sentence}")
        if time.monotonic() - self._said_at >= PLAIN_EVERY_S:
            self._said_at = time.monotonic()
            said = ", ".join(f"{name} {now}" for name, now, _ in rows(picture, self._options))
            self._say(said)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Table:
    def __init__(self, live: Live, options: Options) -> None:
        self._live = live
        self._options = options
        self._news: list[Event] = []

    def show(self, picture: Picture) -> None:
        self._news = [*self._news, *picture.news][-NEWS:]
        self._live.update(_panel(picture, self._options, self._news))


def rows(picture: Picture, options: Options) -> list[tuple[str, str, Sequence[float]]]:
    """What is measured, what it is now, and its course."""
    segment = picture.segment
    return [
        ("served", _served(picture, options), ()),
        ("cost per query", _cost(picture), picture.cost_usd),
        ("quality", _quality(picture, options), ()),
        ("local share", _percent(picture.local_share), picture.local_share),
        (
            "routing threshold",
            f"{segment.routing_threshold:.3f}",
            [one.routing_threshold for one in picture.course],
        ),
        (
            "judge cutoff",
            f"{segment.judge_cutoff:.3f}",
            [one.judge_cutoff for one in picture.course],
        ),
        ("judge", _gate(picture), ()),
        ("labels", _labels(picture), ()),
        ("policy", f"v{picture.live.version} {segment.mode}", ()),
    ]


def drift_rows(picture: Picture) -> list[tuple[str, str]]:
    """What came of the drift that was asked for, by now."""
    told = picture.drift
    if told is None:
        return []
    named = ", ".join(f"{each.cause} {_after(each.after)}" for each in told.named)
    back = "" if told.back_after is None else f", back after {told.back_after:,}"
    return [
        ("SIMULATED", f"{WHAT[told.kind]}, since query {told.injected_at:,}"),
        ("noticed", _after(told.noticed_after)),
        ("named", named or "not yet"),
        (
            f"last {LAST}",
            f"{told.quality_last:.3f} right; {told.quality_before:.3f} before, "
            f"{told.quality_lowest:.3f} at the lowest{back}",
        ),
    ]


def words(event: Event) -> str:
    """An event in a line."""
    body = event.body
    version = f" v{body['version']}" if "version" in body else ""
    return f"{event.kind}{version}: {body.get('reason', body)}"


def sparkline(values: Sequence[float]) -> str:
    """The course of a number in at most `POINTS` characters.

    >>> sparkline([0, 1, 2, 3])
    '▁▃▆█'
    """
    shown = list(values)[-POINTS:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    span = (high - low) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in shown)


def _panel(picture: Picture, options: Options, news: Sequence[Event]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="cyan")
    for name, now, course in rows(picture, options):
        table.add_row(name, escape(now), sparkline(course))
    drifted = Table.grid(padding=(0, 2))
    drifted.add_column(no_wrap=True)
    for name, now in drift_rows(picture):
        drifted.add_row(name, escape(now), style="bold yellow")
    progress = ProgressBar(total=options.queries, completed=picture.served)
    why = Text(f"why: {picture.live.reason}", style="italic")
    said = [Text(words(event), style=_style(event)) for event in news]
    simulated = "queries, labels" if options.cloud else "queries, labels, cloud"
    title = f"penstock demo: target quality {options.target_quality:.2f}"
    local = "; the local model is real"
    if options.drift:
        local = ", drift of a real local model" if options.answers_drift else f", drift{local}"
    subtitle = f"SIMULATED: {simulated}{local}"
    return Panel(
        Group(Padding(progress, 0), table, drifted, why, *said), title=title, subtitle=subtitle
    )


def _style(event: Event) -> str:
    return "bold yellow" if event.kind in NOTABLE else "dim"


def _served(picture: Picture, options: Options) -> str:
    failed = f", {picture.failed} failed" if picture.failed else ""
    return f"{picture.served:,} of {options.queries:,} ({_half_way(picture, options)}){failed}"


def _half_way(picture: Picture, options: Options) -> str:
    to_come = picture.served < options.changes_at
    if options.drift is None:
        return (
            f"{'easy mix, harder from' if to_come else 'harder mix since'} {options.changes_at:,}"
        )
    if picture.drift is None:
        return f"SIMULATED drift to come at {options.changes_at:,}: {options.drift}"
    return f"SIMULATED drift since {picture.drift.injected_at:,}: {options.drift}"


def _cost(picture: Picture) -> str:
    if not picture.cost_usd:
        return "none yet"
    now, cloud = picture.cost_usd[-1], picture.cloud_call_usd
    share = f", {now / cloud:.0%} of a cloud call" if cloud else ""
    return f"{now * 1e6:.1f} USD per million{share}"


def _quality(picture: Picture, options: Options) -> str:
    target = f"target {options.target_quality:.2f} - {options.tolerance:.2f}"
    estimate = picture.estimate
    if estimate is None:
        return f"no interval yet, {target}"
    interval = f"[{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.quality:.3f} {interval} by {estimate.labels} labels, {target}"


def _gate(picture: Picture) -> str:
    gate, told = picture.gate, picture.gate.evidence
    if gate.standing != "closed":
        return f"trusted, {told.pairs} pairs since"
    e_value = f"e-value {math.exp(told.log_evidence):.2g} of {math.exp(told.wanted):.0f}"
    return f"on trial, decides nothing yet: {told.pairs} pairs, {e_value}"


def _labels(picture: Picture) -> str:
    counts = picture.counts
    return f"{counts.labels} in, {counts.labels_awaited} awaited"


def _after(queries: int | None) -> str:
    return "not yet" if queries is None else f"after {queries:,} queries"


def _percent(shares: Sequence[float]) -> str:
    return f"{shares[-1]:.0%}" if shares else "none yet"
