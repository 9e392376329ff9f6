"""Figures of the log of decisions: what was searched for, and the page of it that was found."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pandas as pd

from dashboard.filters import Filters
from dashboard.store import Store

PAGE = 50  # decisions on a page of the log
LOOKED = 20_000  # queries that one page looks at, where not all of them may fit
SCORES = 400  # labelled ones that are drawn
LABELS = 1_000  # the last ones, among which these are looked for
SCORED_WITHIN = timedelta(days=7)
LAST_ID = UUID(int=(1 << 128) - 1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[0-9a-f]{6,32}")
_PLACE = re.compile(r"(\d+)-([0-9a-f]{32})")


class Place(NamedTuple):
    """A place in the log: what comes after it is older."""

    at: datetime
    id: UUID

    @property
    def text(self) -> str:
        """For an address."""
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.id.hex}"

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """Inverse of ``text``; None of anything else.

        >>> at = Place(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7))
        >>> Place.read(at.text) == at, Place.read("yesterday")
        (True, None)
        """
        match = _PLACE.fullmatch(text)
        if match is None or len(match[1]) > 17:
            return None
        return cls(_EPOCH + int(match[1]) * timedelta(microseconds=1), UUID(match[2]))


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for beside the filters; None is everything.

    ``id``: a decision's or a request's, or how it begins. ``among``: the decisions whose texts were
    found to hold some words.
    """

    id: str | None = None
    escalated: bool | None = None
    status: str | None = None
    score_from: float | None = None
    score_to: float | None = None
    cost_from: float | None = None
    cost_to: float | None = None
    among: Sequence[UUID] | None = None

    @property
    def narrows(self) -> bool:
        """Whether not everything fits."""
        return any(getattr(self, each.name) is not None for each in fields(self))


@dataclass(frozen=True, slots=True)
class Log:
    """One page: ``rows`` that fit among the ``looked`` queries back to ``reached``, the newest
    first. ``older`` is where the next page begins; None where the period ends.
    """

    rows: pd.DataFrame
    looked: int
    reached: datetime | None
    older: Place | None


COLUMNS = (
    "at", "decision_id", "request_id", "tenant", "segment", "policy_version", "final_tier",
    "escalated", "status", "score", "cost_usd", "latency_ms",
)  # fmt: skip
NOTHING = Log(pd.DataFrame(columns=list(COLUMNS)), 0, None, None)


def ids_beginning(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last decision id that begins so; None where no id can.

    >>> ids_beginning("01936f2a-77")
    (UUID('01936f2a-7700-0000-0000-000000000000'), UUID('01936f2a-77ff-ffff-ffff-ffffffffffff'))
    >>> ids_beginning("order-77")
    """
    digits = text.strip().lower().replace("-", "")
    if not _ID.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def moment(decision_id: UUID) -> datetime | None:
    """The millisecond in which a query of this id came (RFC 9562); None of no plausible time."""
    try:
        return _EPOCH + timedelta(milliseconds=decision_id.int >> 80)
    except OverflowError:
        return None


def read(
    store: Store, filters: Filters, search: Search, before: Place | None, now: datetime
) -> Log:
    """One page of the log. An id is looked up whenever it was; all else within the period."""
    if search.id and (found := _by_id(store, search.id)) is not None:
        return found
    start = before or Place(now + timedelta(days=1), LAST_ID)
    narrows = search.narrows or any(filters.narrowed.values())
    looked = LOOKED if narrows else PAGE
    bounds = {"since": filters.since(now), "before_at": start.at, "before_id": start.id}
    reach = store.row("decisions_reach", **bounds, looked=looked)
    if not reach["queries"]:
        return NOTHING
    asked = {**asdict(search), "request": search.id, "first": None, "last": None}
    rows = store.rows(
        "decisions_log", **bounds, **filters.narrowed, **asked, reached=reach["at"], page=PAGE
    )
    whole = len(rows) == PAGE
    last = rows[-1] if whole else None
    older = None
    if last is not None:
        older = Place(last["at"], last["decision_id"])
    elif reach["queries"] == looked:
        older = Place(reach["at"], UUID(int=0))
    reached = last["at"] if last is not None else reach["at"]
    return Log(_frame(rows), reach["queries"], reached, older)


def _by_id(store: Store, text: str) -> Log | None:
    """The decisions of that id, or whose ids begin so; None where there are none."""
    between = ids_beginning(text)
    if between is None:
        return None
    first, last = (moment(each) for each in between)
    if first is None:
        return None
    until = last or datetime.max.replace(tzinfo=UTC)
    everything: dict[str, Any] = dict.fromkeys(
        (*Filters("day").narrowed, *(each.name for each in fields(Search)), "request")
    )
    rows = store.rows(
        "decisions_log", **everything, first=between[0], last=between[1], reached=first,
        before_at=until, before_id=LAST_ID, page=PAGE,
    )  # fmt: skip
    return Log(_frame(rows), len(rows), None, None) if rows else None


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.assign(decision_id=frame["decision_id"].map(str))


def labelled_scores(store: Store, judge: str, now: datetime) -> pd.DataFrame:
    """The last labelled scores of a judge, by column: raw, value."""
    asked = {"since": now - SCORED_WITHIN, "judge": judge, "page": SCORES, "labels": LABELS}
    rows = store.rows("decisions_labelled_scores", **asked)
    return pd.DataFrame(rows, columns=["raw", "value"])
