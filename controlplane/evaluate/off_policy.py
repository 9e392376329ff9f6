"""What a policy would have been worth on logged queries, beside those that really served them.

A label counts where the answer that the policy would have served carries one, by one over the
logged chance of all that this takes: that the audit fell, that a silent tier was made to answer,
that a score came to be known. From labels of before it was issued a policy may have learned, and it
would look better on them than it is: where the queries since then do not suffice, of those before
the held-out labels count, and no others.

Labels that were asked for and never came are taken to be missing at random, as in what is said of
served quality; ``silent`` is their share.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controlplane.audit.prediction import predict
from controlplane.evaluate.counterfactual import Course, follow
from controlplane.evaluate.logged import Logged
from controlplane.stats import Disagreement, OffPolicy, Refusal, disagreement, dr, ips, snips
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask, Places

COLUMNS = ("tier", "settled", "value", "chance", "asked", "expected", "usd")
EVEN = 0.5  # expected of an answer of which nobody expects anything


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The answers that a policy serves, or would have served, to queries (N,).

    ``tier``: None where it is not known. ``settled``: no draw bears on the tier. ``value``: the
    answer's label, NaN where not known. ``chance``: with which it came to be asked for, ``asked``:
    whether it was. ``expected`` and ``usd``: as ``Course`` has them.
    """

    tier: NDArray[np.object_]
    settled: Mask
    value: Array
    chance: Array
    asked: Mask
    expected: Array
    usd: Array

    def part(self, rows: slice) -> "Answers":
        """Some of them."""
        return Answers(**{name: getattr(self, name)[rows] for name in COLUMNS})

    @classmethod
    def of_ways(cls, ways: "Sequence[Answers]", places: Places) -> "Answers":
        """To each query that of the way whose place (N,) stands there."""
        rows = np.arange(len(places))
        columns = {name: np.array([getattr(way, name) for way in ways]) for name in COLUMNS}
        return cls(**{name: column[places, rows] for name, column in columns.items()})

    @property
    def silent(self) -> float:
        """The share of what was asked for that nobody told, each weighed by what it stands for."""
        weight = 1 / self.chance[self.asked]
        told = weight[~np.isnan(self.value[self.asked])]
        return float(1 - told.sum() / weight.sum()) if len(weight) else 0.0

    @property
    def told_chance(self) -> Array:
        """With which the label was asked for, and told, where any was."""
        return np.asarray(self.chance * ((1 - self.silent) or 1.0))


@dataclass(frozen=True, slots=True)
class Worth:
    """What is known of one policy's answers: quality three times, and the mean cost of a query.

    ``unknown``: the share of queries of which the tier that would have served is not known.
    """

    dr: OffPolicy | Refusal
    snips: OffPolicy | Refusal
    ips: OffPolicy | Refusal
    usd: float
    unknown: float
    silent: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A policy beside what really ``served``, over the same queries; ``better``: the difference."""

    version: int
    queries: int
    since: datetime
    until: datetime
    policy: Worth
    served: Worth
    better: Disagreement | Refusal

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        times = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return asdict(self) | times


def evaluate(document: PolicyDocument, logged: Sequence[Logged]) -> Evaluation:
    """The document on these queries, of which there must be one, by decision id.

    On those since it was issued, if they suffice, and on all of them otherwise.
    """
    confidence = document.objective.confidence
    new, old = answers(document, logged), served(logged)
    rows = telling(document, logged, new)
    new, old, window = new.part(rows), old.part(rows), logged[rows]
    return Evaluation(
        document.version,
        len(window),
        window[0].seen.at,
        window[-1].seen.at,
        worth(new, confidence),
        worth(old, confidence),
        difference(new, old, confidence),
    )


def telling(document: PolicyDocument, logged: Sequence[Logged], new: Answers) -> slice:
    """The queries since the document was issued, if they suffice, and all of them otherwise."""
    rows = slice(sum(each.seen.at < document.issued_at for each in logged), None)
    recent = new.part(rows)
    refused = isinstance(snips(recent.value, recent.told_chance), Refusal)
    return slice(0, None) if refused else rows


def answers(document: PolicyDocument, logged: Sequence[Logged]) -> Answers:
    """Those that a document would have served."""
    return _columns(
        [
            _row(document, each, course)
            for each, course in zip(logged, follow(document, logged), strict=True)
        ]
    )


def served(logged: Sequence[Logged]) -> Answers:
    """Those that were served, each by its own policy."""
    return _columns([_served(each) for each in logged])


def worth(found: Answers, confidence: float) -> Worth:
    """The three estimates of their quality, and their cost."""
    value, chance = found.value, found.told_chance
    return Worth(
        dr(value, chance, found.expected, confidence),
        snips(value, chance, confidence),
        ips(value, chance, confidence),
        float(found.usd.mean()),
        float(np.mean([tier is None for tier in found.tier])),
        found.silent,
    )


def difference(new: Answers, old: Answers, confidence: float) -> Disagreement | Refusal:
    """By how much the new answers are better than the old ones, where they may not be the same.

    Both labels have to be known, so it takes the lesser chance: draws fall by one number.
    """
    chance = np.minimum(new.told_chance, old.told_chance)
    differ = ~new.settled | ~old.settled | (new.tier != old.tier)
    return disagreement(new.value - old.value, chance, np.asarray(differ), confidence)


Row = tuple[str | None, bool, float, float, bool, float, float]


def _row(document: PolicyDocument, each: Logged, course: Course) -> Row:
    share = _unlearned(document, each)
    chance = share * _chance(document, each, course)
    counts = share == 1 or each.query.held_out(share)
    fell = each.drawn and (each.shadowed or (course.settled and course.tier in each.seen.answered))
    asked = counts and fell and chance > 0
    value = each.query.right.get(course.tier, np.nan) if asked and course.tier else np.nan
    return course.tier, course.settled, value, chance, asked, course.right, course.usd


def _served(each: Logged) -> Row:
    tier, chance = each.seen.served, each.query.audit_probability
    expected = predict(each.policy, each.seen)
    value = each.query.right.get(tier, np.nan) if each.drawn else np.nan
    right = EVEN if expected is None else expected
    return tier, True, value, chance, each.drawn and chance > 0, right, each.seen.cost_usd


def _columns(rows: Sequence[Row]) -> Answers:
    tier, *others = zip(*rows, strict=True)
    settled, value, chance, asked, expected, usd = (np.array(each) for each in others)
    return Answers(np.array(tier, dtype=object), settled, value, chance, asked, expected, usd)


def _unlearned(document: PolicyDocument, each: Logged) -> float:
    """The share of the labels of such queries from which this document cannot have learned."""
    if each.seen.at >= document.issued_at:
        return 1.0
    return min(document.audit.held_out, each.policy.audit.held_out)


def _chance(document: PolicyDocument, each: Logged, course: Course) -> float:
    """With which all that the course's label takes came to be known."""
    if course.settled:
        return each.label_chance(course.tier) if course.tier else 0.0
    if document.judge.judge != each.policy.judge.judge:
        return 0.0
    may = [tier.name for tier in document.tiers if tier.name not in each.barred]
    return min(each.score_chance, each.query.shadow_probability, *map(each.label_chance, may))
