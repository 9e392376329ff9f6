"""The frontier: what ways to serve cost, and how many of their answers are right, side by side.

What served is told by its own labels, another policy by those that count for it (``off_policy``),
and what was never tried by the learner's model. Costs are those of serving, the judge's verdict
included; shadows and labels are apart.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import sqrt
from typing import Literal, TypeAlias

from controlplane.evaluate.logged import Logged
from controlplane.evaluate.off_policy import Answers, answers, served, telling
from controlplane.learn.goals import Estimate
from controlplane.learn.policy_family import Arm
from controlplane.stats import Interval, Refusal, dr, snips
from controlplane.stats.intervals import normal_quantile
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import Mode

Kind: TypeAlias = Literal[
    "served", "live", "candidate", "version", "baseline", "category", "segment", "arm"
]
Method: TypeAlias = Literal["served", "dr", "snips", "model"]

VERSIONS = 4  # earlier ones that are told of by what they served
BASELINES: tuple[Mode, ...] = ("always_local", "always_cloud")
UNLEARNED = datetime(2000, 1, 1, tzinfo=UTC)  # before any label


@dataclass(frozen=True, slots=True)
class Window:
    """The queries that a point speaks of."""

    queries: int
    since: datetime
    until: datetime

    @classmethod
    def of(cls, logged: Sequence[Logged]) -> "Window":
        """Of queries in their order, of which there must be one."""
        return cls(len(logged), logged[0].seen.at, logged[-1].seen.at)


@dataclass(frozen=True, slots=True)
class Point:
    """A way to serve: USD a query, and the share of right answers or why it is not known.

    ``labels``: how many equally weighted ones it rests on. The ends of ``usd`` are equal to it
    where it is the expectation of a model.
    """

    kind: Kind
    name: str
    policy_version: int | None
    window: Window
    usd: Interval
    quality: Interval | None
    labels: float | None
    method: Method
    refused: str | None = None


def as_served(logged: Sequence[Logged], confidence: float) -> Point:
    """What all policies of these queries, which must be some, served together."""
    return point("served", "as served", None, logged, served(logged), confidence, "served")


def of_versions(live: PolicyDocument, logged: Sequence[Logged]) -> Iterator[Point]:
    """The versions that served most of these queries, each on its own, where labels suffice."""
    confidence = live.objective.confidence
    counted = Counter(each.policy.version for each in logged)
    for version, _ in counted.most_common(VERSIONS):
        own = [each for each in logged if each.policy.version == version]
        answered = served(own)
        kind: Kind = "live" if version == live.version else "version"
        told = point(kind, f"v{version}", version, own, answered, confidence, "served")
        if told.refused is None:
            yield told


def of_document(kind: Kind, document: PolicyDocument, logged: Sequence[Logged]) -> Point:
    """What a document would have served: since it was issued, if these queries suffice."""
    new = answers(document, logged)
    rows = telling(document, logged, new)
    version, confidence = document.version, document.objective.confidence
    return point(kind, f"v{version}", version, logged[rows], new.part(rows), confidence, "dr")


def baselines(live: PolicyDocument, logged: Sequence[Logged]) -> Iterator[Point]:
    """One tier for all queries: nothing of that was learned from labels, so all of them count."""
    for mode in BASELINES:
        document = fixed(live, mode)
        if document is not None:
            found, confidence = answers(document, logged), live.objective.confidence
            yield point("baseline", mode, None, logged, found, confidence, "snips")


def fixed(live: PolicyDocument, mode: Mode) -> PolicyDocument | None:
    """The live policy in one mode, as if before any label; None where a certificate forbids it."""
    segments = tuple(each.replaced(mode=mode, arms=()) for each in live.segments)
    try:
        return live.model_copy(update={"segments": segments, "issued_at": UNLEARNED}).rederived()
    except ValueError:
        return None


def of_arms(
    curve: Iterable[tuple[Arm, Estimate]],
    live: PolicyDocument,
    window: Window,
    support: float,
) -> Iterator[Point]:
    """What the learner makes of its arms, which it has mostly never served.

    One is known from ``support`` effective labels on.
    """
    z = normal_quantile(live.objective.confidence)
    for arm, known in curve:
        few = known.support < support
        reach = z * known.quality_se
        quality = Interval(
            known.quality, max(known.quality - reach, 0.0), min(known.quality + reach, 1.0)
        )
        version = live.version if arm == Arm.of(live.segments[0]) else None
        yield Point(
            "arm",
            arm.name,
            version,
            window,
            Interval(known.usd, known.usd, known.usd),
            None if few else quality,
            known.support,
            "model",
            f"It takes {support:g} effective labels, and {known.support:.0f} tell of it."
            if few
            else None,
        )


def point(
    kind: Kind,
    name: str,
    version: int | None,
    logged: Sequence[Logged],
    found: Answers,
    confidence: float,
    method: Method,
) -> Point:
    """What these answers to the logged queries, of which there must be one, tell of a way."""
    value, chance = found.value, found.told_chance
    if method == "snips":
        told = snips(value, chance, confidence)
    else:
        told = dr(value, chance, found.expected, confidence)
    window, usd = Window.of(logged), _mean(found.usd, confidence)
    if isinstance(told, Refusal):
        return Point(kind, name, version, window, usd, None, None, method, told.words)
    labels = told.effective_labels
    return Point(kind, name, version, window, usd, told.interval, labels, method)


def _mean(usd: Array, confidence: float) -> Interval:
    """Of independent queries' costs, by the normal law: there are many."""
    mean = float(usd.mean())
    spread = float(usd.std(ddof=1)) if len(usd) > 1 else 0.0
    reach = normal_quantile(confidence) * spread / sqrt(len(usd))
    return Interval(mean, max(mean - reach, 0.0), mean + reach)
