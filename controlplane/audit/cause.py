"""From two times that differ to what drifted: a pure decision.

The evidence for a cause is a Bayes factor, the effects that it may have being Gaussian; averaged
over the times at which it may have begun, it is an e-value while nothing has changed. A weaker
local tier and another judge both move the judge's scores, so that they are weighed against each
other and against both: only labels part them. The mix shows in p_hat alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.special import expit, logsumexp

from controlplane.audit.shifts import Answers, Array, Shift, Times, of_answers, of_mix

Cause: TypeAlias = Literal["mix", "local", "judge"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
CHANCE = 0.01  # of each cause before any evidence
SURE = 0.95  # the chance of a cause at which it is named
LABELS = 30  # from afterwards, before the judge and the local tier are told apart
RANKS = np.array([0.1, 0.15])  # standard deviations of what a mix does to either moment of ranks
SHARE, SCORES = 0.2, 0.5  # and of what others do to the share right, to scores in their own

SPREADS: Mapping[frozenset[Cause], Array] = {
    frozenset(): np.zeros(3),
    frozenset({"local"}): np.array([SHARE, 0.0, 0.0]),
    frozenset({"judge"}): np.array([0.0, SCORES, SCORES]),
    frozenset({"local", "judge"}): np.array([SHARE, SCORES, SCORES]),
}


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The times before and after one moment (seconds), compared."""

    since: float
    queries: int
    mix: Shift
    answers: Answers

    @classmethod
    def at(cls, times: Times) -> "Look":
        """Compare them."""
        after = times.seen_after
        mix = of_mix(times.seen[:, 1], after)
        return cls(times.since, int(after.sum()), mix, of_answers(times))

    def p_value(self, cause: Cause) -> float:
        """Of this cause having no effect, whatever the others have."""
        if cause == "mix":
            return self.mix.p_value(np.ones(2, dtype=bool))
        return self.answers.shift.p_value(SPREADS[frozenset({cause})] > 0)

    def log_evidence(self, cause: Cause) -> float:
        """Of this cause alone."""
        if cause == "mix":
            return self.mix.log_evidence(RANKS)
        return self.answers.shift.log_evidence(SPREADS[frozenset({cause})])


def best(looks: Sequence[Look], cause: Cause) -> Look:
    """The look that tells most for a cause: about when it began."""
    known = looks if cause == "mix" else told_apart(looks)
    return max(known or looks, key=lambda look: look.log_evidence(cause))


def told_apart(looks: Sequence[Look]) -> list[Look]:
    """Those with labels enough."""
    return [look for look in looks if look.answers.labels >= LABELS]


def chances(looks: Sequence[Look]) -> dict[Cause, float]:
    """The chance of each cause, by looks at different moments each of which may be the one."""
    odds = log(CHANCE / (1 - CHANCE))
    found: dict[Cause, float] = {
        "mix": float(expit(odds + _mean(look.log_evidence("mix") for look in looks)))
    }
    looks = told_apart(looks)
    if not looks:
        return found
    told = {
        causes: len(causes) * odds
        + _mean(look.answers.shift.log_evidence(spread) for look in looks)
        for causes, spread in SPREADS.items()
    }
    whole = logsumexp(list(told.values()))
    for cause in ("local", "judge"):
        some = [weight for causes, weight in told.items() if cause in causes]
        found[cause] = float(np.exp(logsumexp(some) - whole))
    return found


def _mean(logs: Iterable[float]) -> float:
    values = list(logs)
    return float(logsumexp(values) - log(len(values)))
