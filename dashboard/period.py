"""Period: how far back a page looks, and how finely it draws that."""

from bisect import bisect_left
from datetime import timedelta

PERIODS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}
POINTS = 60

_WIDTHS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)


def width(span: timedelta) -> timedelta:
    """The finest round bucket of which ``span`` holds at most ``POINTS``, a day at the most.

    >>> width(timedelta(minutes=4))
    datetime.timedelta(seconds=5)
    """
    wanted = span.total_seconds() / POINTS
    return timedelta(seconds=_WIDTHS_S[min(bisect_left(_WIDTHS_S, wanted), len(_WIDTHS_S) - 1)])
