"""What is said of served quality, window by window: three of them, of all traffic and by segment.

The *promise* window holds the latest answers up to a stated number (``run``), the second one those
of the last 1,000 labels, the third those served since the last structural change of policy. Beside
the interval of today stands, where the window's beginning is fixed, a band that holds at all times
together; and how many labels are still wanted for a stated half-width. No interval says anything
of the future: an alarm within the window says so in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

import numpy as np

from controlplane.audit.served import Estimate, Served, estimate, latest, standing_for
from controlplane.stats import Interval, aipw_scores, asymptotic_band
from controlplane.stats.intervals import normal_quantile
from dataplane.contract.records import millisecond

RUN, LATEST, STRUCTURAL = "run", "last_1000_labels", "structural_policy"
FEW = 30  # labels below which a width is guessed from a label's usual variance
USUAL_VARIANCE = 0.16


@dataclass(frozen=True, slots=True)
class Terms:
    """What the figures are asked for: two-sided ``confidence``, a ``half_width`` to reach, the
    version that began the ``structural`` policy, how many answers the promise looks back on, and
    the times of all ``alarms``.
    """

    confidence: float
    half_width: float
    structural: int
    span: int
    alarms: Sequence[datetime] = ()


@dataclass(frozen=True, slots=True)
class Promise:
    """One window of one segment, None being all; ``band`` is None where its beginning slides.

    ``missing``: labels until the half-width is reached. ``since`` is the first answer's time,
    ``alarms`` those from then on.
    """

    estimate: Estimate
    segment: str | None
    band: Interval | None
    half_width: float
    missing: int
    since: datetime | None
    alarms: Sequence[datetime]

    @property
    def window(self) -> str:
        """Its name in the table of estimates."""
        name = self.estimate.window
        return name if self.segment is None else f"{name}:{self.segment}"

    def detail(self) -> dict[str, Any]:
        """What stands beside the interval, as JSON values."""
        since = self.since and self.since.isoformat()
        return self.estimate.detail() | {
            "segment": self.segment,
            "anytime": self.band and [self.band.low, self.band.high],
            "wanted_half_width": self.half_width,
            "labels_missing": self.missing,
            "since": since,
            "alarms": len(self.alarms),
            "no_alarm_since": max(self.alarms).isoformat() if self.alarms else since,
        }


def promises(newest_first: Sequence[Served], terms: Terms) -> list[Promise]:
    """The three windows of all answers, and of each segment where there are several."""
    names = sorted({answer.segment for answer in newest_first})
    whole = len(newest_first) < terms.span
    fixed = whole or newest_first[-1].policy_version < terms.structural
    found = _windows(newest_first, terms, None, whole=whole, fixed=fixed)
    for name in names if len(names) > 1 else ():
        part = [each for each in newest_first if each.segment == name]
        found += _windows(part, terms, name, whole=whole, fixed=fixed)
    return found


def _windows(
    served: Sequence[Served], terms: Terms, segment: str | None, *, whole: bool, fixed: bool
) -> list[Promise]:
    """``whole``: all that was ever served is here; ``fixed``: all of the structural policy is."""
    structural = [each for each in served if each.policy_version >= terms.structural]
    return [
        _promise(RUN, served, terms, segment, fixed=whole),
        _promise(LATEST, latest(served), terms, segment, fixed=False),
        _promise(STRUCTURAL, structural, terms, segment, fixed=fixed),
    ]


def _promise(
    window: str, served: Sequence[Served], terms: Terms, segment: str | None, *, fixed: bool
) -> Promise:
    found = estimate(window, served, terms.confidence)
    since = millisecond(served[-1].decision_id) if served else None
    return Promise(
        found,
        segment,
        anytime(served, terms.confidence) if fixed else None,
        terms.half_width,
        missing(found, terms.half_width, terms.confidence),
        since,
        [at for at in terms.alarms if since is not None and at >= since],
    )


def missing(found: Estimate, half_width: float, confidence: float) -> int:
    """Labels until the interval's half-width is that; of few, by a label's usual variance.

    >>> missing(estimate("run", [], 0.95), 0.02, 0.95)
    1537
    """
    quality = found.quality
    if quality is None or found.labels < FEW:
        wanted = USUAL_VARIANCE * (normal_quantile(confidence) / half_width) ** 2
    else:
        wanted = found.labels * ((quality.high - quality.low) / 2 / half_width) ** 2
    return max(0, ceil(wanted - found.labels))


def anytime(newest_first: Sequence[Served], confidence: float) -> Interval | None:
    """The asymptotic confidence sequence now; None while labels do not tell their variance.

    Labels that never came are taken to be missing at random, as in the interval.
    """
    drawn = [each for each in newest_first if each.probability is not None]
    told = [each for each in drawn if each.value is not None]
    if not told:
        return None
    answered = standing_for(told) / standing_for(drawn)
    rows = [
        (each.predicted, (each.probability or 1.0) * answered, _value(each))
        for each in reversed(newest_first)
    ]
    predicted, probability, value = np.array(rows, dtype=np.float64).T
    least = float(probability[~np.isnan(value)].min())
    now = asymptotic_band(aipw_scores(predicted, probability, value), least, confidence).at(-1)
    return None if (now.low, now.high) == (0.0, 1.0) else now


def _value(answer: Served) -> float:
    return np.nan if answer.value is None else answer.value
