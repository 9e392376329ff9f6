"""Quantities in words, each with its unit."""

import re
from datetime import timedelta

UNKNOWN = "none yet"

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$:<>^-])")

_SPANS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def usd(amount: float) -> str:
    """Money to three digits, small sums too.

    >>> usd(1234.5), usd(0.25), usd(0.0000123), usd(0)
    ('1,234.50 USD', '0.250 USD', '0.0000123 USD', '0 USD')
    """
    if not amount:
        return "0 USD"
    if abs(amount) >= 1:
        return f"{amount:,.2f} USD"
    leading = f"{abs(amount):e}".partition("e-")[2]
    return f"{amount:.{int(leading) + 2}f} USD"


def counted(number: int, what: str) -> str:
    """How many of a thing.

    >>> counted(1, "engine"), counted(2_000, "engine")
    ('1 engine', '2,000 engines')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def share(value: float | None, digits: int = 0) -> str:
    """A share in percent.

    >>> share(0.1234, 1), share(None)
    ('12.3 %', 'none yet')
    """
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def latency(ms: float | None) -> str:
    """Milliseconds, from a second on in seconds.

    >>> latency(12.3), latency(2345), latency(None)
    ('12 ms', '2.35 s', 'none yet')
    """
    if ms is None:
        return UNKNOWN
    return f"{ms:.0f} ms" if ms < 999.5 else f"{ms / 1000:.2f} s"


def age(span: timedelta) -> str:
    """Time passed, in its largest unit.

    >>> age(timedelta(minutes=95)), age(timedelta(0))
    ('1 h', '0 s')
    """
    seconds = max(int(span.total_seconds()), 0)
    unit, size = next(((u, s) for u, s in _SPANS if seconds >= s), _SPANS[-1])
    return f"{seconds // size} {unit}"


def plain(words: str) -> str:
    """Words that others chose, shown as they are: nothing in them is Markdown.

    >>> plain("a *b* [c](d)")
    'a \\\\*b\\\\* \\\\[c\\\\]\\\\(d\\\\)'
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(words.split()))
