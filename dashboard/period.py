"""Period: how far back a page looks, and how finely it draws that."""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime, timedelta

PERIODS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}
POINTS = 60
REPORTED = timedelta(seconds=10)  # between two reports of a data plane

_WIDTHS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)


def width(span: timedelta) -> timedelta:
    """The finest round bucket of which ``span`` holds at most ``POINTS``, a day at the most.

    >>> width(timedelta(minutes=4))
    datetime.timedelta(seconds=5)
    """
    wanted = span.total_seconds() / POINTS
    return timedelta(seconds=_WIDTHS_S[min(bisect_left(_WIDTHS_S, wanted), len(_WIDTHS_S) - 1)])


def drawn(extent: Mapping[str, datetime | None]) -> timedelta:
    """The bucket for what lies between ``first`` and ``last``: a short past fills its chart."""
    first, last = extent["first"], extent["last"]
    return width(last - first if first and last else timedelta())


def reported(extent: Mapping[str, datetime | None], now: datetime, period: timedelta) -> timedelta:
    """The bucket for what data planes have reported since the first call of a period."""
    return max(width(now - (extent["first"] or now - period)), REPORTED)
