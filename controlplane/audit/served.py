"""The headline figure: how often the answers actually served in a window were right.

Design-based: audit draws are independent, with logged probabilities, so the interval holds across
policies and drifts. It is taken only over queries before the first unresolved draw: counted as
undrawn, a pending draw would bias it. Labels that never came are taken to be missing at random in
the interval. ``worst`` supposes nothing of them: it reaches from the lower limit if all of them
were of wrong answers to the upper one if all were of right answers, and covers whatever they hide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from controlplane.stats import Interval, Survey, controlled_mean, hajek_mean, worst_case

ENOUGH_FOR_CONTROL = 300  # labels below which a tuned control variate is not worth its risk
ENOUGH_OF_EITHER = 10  # right, and wrong, labels below which a variance is not to be relied on
LATEST_LABELS = 1_000


@dataclass(frozen=True, slots=True)
class Served:
    """One served answer: ``probability`` and ``value`` are None where it was not drawn, or the
    label never came. ``predicted`` is the serving policy's own expectation."""

    decision_id: UUID
    probability: float | None
    value: float | None
    predicted: float
    segment: str = "default"
    policy_version: int = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """Quality of a window of served answers; ``quality`` is None without a label."""

    window: str
    queries: int
    labels: int
    silent: float
    method: str
    power: float
    quality: Interval | None
    worst: Interval | None

    def detail(self) -> dict[str, Any]:
        """What stands beside the interval, as JSON values."""
        worst = self.worst and [self.worst.low, self.worst.high]
        return {
            "labels": self.labels,
            "silent_share": self.silent,
            "method": self.method,
            "power": self.power,
            "worst_case": worst,
        }


def estimate(window: str, served: Sequence[Served], confidence: float) -> Estimate:
    """Quality of these answers. ``confidence`` is that of the two-sided interval."""
    drawn = [answer for answer in served if answer.probability is not None]
    labelled = [answer for answer in drawn if answer.value is not None]
    response = standing_for(labelled) / standing_for(drawn) if drawn else 0.0
    if not labelled:
        return Estimate(window, len(served), 0, 1 - response, "none", 0.0, None, None)
    method, power, quality = _mean(_survey(served, labelled, response), confidence)
    bounds = worst_case(_survey(served, drawn, 1.0), lambda all_: _mean(all_, confidence)[2])
    return Estimate(
        window,
        len(served),
        len(labelled),
        1 - response,
        method,
        power,
        quality,
        bounds.interval,
    )


def _mean(survey: Survey, confidence: float) -> tuple[str, float, Interval]:
    """The method that suits the labels, the weight given to the prediction, and the interval."""
    if not _controllable(survey):
        return "wilson", 0.0, hajek_mean(survey, confidence)
    quality, power = controlled_mean(survey, confidence)
    return "controlled", power, quality


def standing_for(answers: Sequence[Served]) -> float:
    """How many queries these draws stand for."""
    return sum(1 / answer.probability for answer in answers if answer.probability)


def _survey(served: Sequence[Served], drawn: Sequence[Served], response: float) -> Survey:
    return Survey(
        value=np.array([answer.value for answer in drawn], dtype=np.float64),
        predicted=np.array([answer.predicted for answer in drawn]),
        probability=response * np.array([answer.probability for answer in drawn], dtype=np.float64),
        population_predicted=float(np.mean([answer.predicted for answer in served])),
        population=len(served),
    )


def _controllable(survey: Survey) -> bool:
    """Whether there are labels enough, and enough of either outcome, for a control variate."""
    right, wrong = survey.value.sum(), (1 - survey.value).sum()
    return len(survey.value) >= ENOUGH_FOR_CONTROL and min(right, wrong) >= ENOUGH_OF_EITHER


def latest(newest_first: Sequence[Served]) -> Sequence[Served]:
    """The part of a window that holds the last 1,000 labels."""
    labels = 0
    for place, answer in enumerate(newest_first):
        labels += answer.value is not None
        if labels == LATEST_LABELS:
            return newest_first[: place + 1]
    return newest_first
