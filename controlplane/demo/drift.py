"""Drift: what drifts half way, and what came of it, by the workload's truth and Penstock's events.

Of the drift itself neither plane is told: what is said to be noticed and named is what they wrote
down by themselves. Queries are counted from the drift on.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from controlplane.demo.ledger import Event
from controlplane.demo.lines import Line, quality
from controlplane.demo.options import CHEAPER, Drift

LAST = 500  # answers whose mean is shown: a share of .93 of so many is uncertain by 1.1 points
HELD = 200  # queries for which it is at target less tolerance before it counts as back
NOTICED = ("alarm", "drift")  # kinds of events
WHAT: Mapping[Drift, str] = {
    "judge": "the judge's AUROC falls to about .6",
    "local": "the local tier loses a quarter of its right answers",
    "mix": "the mix of queries turns harder",
    "price": f"the cloud's price falls to {CHEAPER:g} of what it was",
}


class Named(BaseModel):
    """A cause as the control plane's diagnosis has it, and after how many queries it said so."""

    model_config = ConfigDict(frozen=True)

    cause: str
    after: int


class DriftTold(BaseModel):
    """What came of a drift. Money in USD a query; ``after`` counts queries, None: not in this run.

    ``injected_at``: the place of its first query; ``alarms_before`` are false ones. ``named``: each
    cause once, in their order, ``named_words``: the last that was said of them. Qualities are true
    shares of right answers among ``LAST``: before the drift, at the lowest, at the end;
    ``left_after`` is when they first fell below target less tolerance, ``back_after`` when they
    last came back for ``HELD`` queries at least.
    """

    model_config = ConfigDict(frozen=True)

    kind: Drift
    injected_at: int
    alarms_before: int
    noticed_after: int | None
    noticed_by: str | None
    named: tuple[Named, ...]
    named_rightly: bool
    named_words: str | None
    quality_before: float
    quality_lowest: float
    quality_last: float
    left_after: int | None
    back_after: int | None
    cost_before_usd: float
    cost_last_usd: float


def told(
    kind: Drift, injected_at: int, lines: Sequence[Line], events: Sequence[Event], floor: float
) -> DriftTold:
    """What came of it by now. ``lines`` are by place; ``floor``: target less tolerance."""
    since = [line for line in lines if line.place >= injected_at]
    before, last = lines[: len(lines) - len(since)][-LAST:], lines[-LAST:]
    ended = np.sort([line.at + line.latency_ms / 1e3 for line in since])

    def after(event: Event) -> int:
        return int(np.searchsorted(ended, event.at.timestamp()))

    found = [each for each in events if _notices(each) and after(each) > 0]
    naming = [each for each in found if each.body.get("status") == "named"]
    named = {cause: after(each) for each in reversed(naming) for cause in each.body["causes"]}
    in_order = sorted(named.items(), key=lambda each: each[1])
    means = _means([line.right for line in lines], len(lines) - len(since))
    left, back = _left_and_back(means < floor)
    return DriftTold(
        kind=kind,
        injected_at=injected_at,
        alarms_before=sum(each.kind == "alarm" and not after(each) for each in events),
        noticed_after=after(found[0]) if found else None,
        noticed_by=_words(found[0]) if found else None,
        named=tuple(Named(cause=cause, after=queries) for cause, queries in in_order),
        named_rightly=list(named) == [kind],
        named_words=str(naming[-1].body["reason"]) if naming else None,
        quality_before=quality(before),
        quality_lowest=float(means.min()) if len(means) else quality(last),
        quality_last=quality(last),
        left_after=left,
        back_after=back,
        cost_before_usd=_cost_usd(before),
        cost_last_usd=_cost_usd(last),
    )


def sentences(told: DriftTold, floor: float) -> list[str]:
    """What came of it by now, each in a sentence, in the order of a story."""
    said = [f"SIMULATED drift at query {told.injected_at:,}: {WHAT[told.kind]}"]
    if told.left_after is not None:
        said.append(
            f"the last {LAST} answers fell below {floor:.2f} after {told.left_after:,} queries"
        )
    if told.noticed_after is not None:
        said.append(f"noticed after {told.noticed_after:,} queries")
    said += [f"named as {each.cause} after {each.after:,} queries" for each in told.named]
    if told.back_after is not None:
        said.append(
            f"the last {LAST} answers are at {floor:.2f} again after {told.back_after:,} queries"
        )
    return said


def _means(rights: Sequence[int], first: int) -> NDArray[np.float64]:
    """Of the ``LAST`` up to each from the ``first`` on, where there are so many."""
    sums = np.concatenate([[0.0], np.cumsum(rights)])
    ends = np.arange(first + 1, len(sums))
    ends = ends[ends >= LAST]
    return np.asarray((sums[ends] - sums[ends - LAST]) / LAST)


def _left_and_back(below: NDArray[np.bool_]) -> tuple[int | None, int | None]:
    """When it was first below, and since when it no longer is, if that has held."""
    if not below.any():
        return None, None
    places = np.flatnonzero(below)
    held = len(below) - 1 - places[-1]
    return int(places[0]) + 1, int(places[-1]) + 2 if held >= HELD else None


def _cost_usd(lines: Sequence[Line]) -> float:
    return sum(line.cost_usd for line in lines) / len(lines) if lines else 0.0


def _notices(event: Event) -> bool:
    """Whether it says that something changed; a case that is closed says that nothing did."""
    return event.kind in NOTICED and event.body.get("status") != "closed"


def _words(event: Event) -> str:
    if event.body.get("status") == "named":
        return "its cause was named"
    return f"{event.kind}: {event.body.get('reason', '')}"
