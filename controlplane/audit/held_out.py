"""Labels that nothing was learned from beside those that were: does learning bend its figures?

A measure that is aimed at may cease to measure (Goodhart). Which labels are held out is a matter of
a hash of the query's id, so both kinds are alike but for what was made of them. Where the answers
of learned-from queries are as right as the live policy believes, and those of held-out ones are
less so, the policy has learned its labels and not its queries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from controlplane import states
from controlplane.audit.prediction import predict
from controlplane.connection import Connection
from controlplane.observations import Labelled
from controlplane.observe import PostgresLog
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array

SINCE = "held_out"
ENOUGH = 100  # held-out labels that one look is taken at: those since the last look, each once
LEVEL = 0.01  # chance of a false alarm of one look


@dataclass(frozen=True, slots=True)
class Gap:
    """Mean residual of held-out labels less that of the others; ``p`` that it is so low by chance.

    A residual is an answer's worth less what the live policy expects of it.
    """

    held_out: int
    learned: int
    difference: float
    p: float

    @property
    def alarms(self) -> bool:
        """Whether held-out and learned-from quality part."""
        return self.p < LEVEL

    @property
    def words(self) -> str:
        """What was found."""
        return (
            f"quality by held-out labels parts from what was learned: {100 * self.difference:+.1f} "
            f"points ({self.held_out} labels against {self.learned}, p {self.p:.2g}, one look in "
            f"{1 / LEVEL:.0f} is so by chance): the policy may fit its labels better than its "
            "queries"
        )


def look(connection: Connection, live: PolicyDocument, labelled: Sequence[Labelled]) -> Gap | None:
    """Count new labels; once enough were held out, compare those since the last look."""
    told, held = states.load_value(connection, SINCE, default=(0, 0))
    told += len(labelled)
    held += sum(each.held_out(live.audit.held_out) for each in labelled)
    found = None
    if held >= ENOUGH:
        found = gap(live, PostgresLog(connection).latest(told))
        told = held = 0
    states.save_value(connection, SINCE, (told, held))
    return found


def gap(live: PolicyDocument, labelled: Iterable[Labelled]) -> Gap | None:
    """What the labels of served answers say; None with less than two of either kind."""
    share = live.audit.held_out
    rows = [
        (each.held_out(share), each.right[served] - expected, each.probability(served))
        for each in labelled
        if (served := each.observation.served) in each.right
        and (expected := _expected(live, each)) is not None
    ]
    held, residual, chance = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    out = held > 0
    return compared(residual[out], 1 / chance[out], residual[~out], 1 / chance[~out])


def compared(held: Array, weight: Array, learned: Array, learned_weight: Array) -> Gap | None:
    """Welch's test, one-sided, of weighted mean residuals (Hajek's), by their normal limit."""
    if min(len(held), len(learned)) < 2:
        return None
    (first, variance), (second, other) = _mean(held, weight), _mean(learned, learned_weight)
    spread = max(float(np.sqrt(variance + other)), 1e-12)
    difference = first - second
    return Gap(len(held), len(learned), difference, float(ndtr(difference / spread)))


def _mean(residual: Array, weight: Array) -> tuple[float, float]:
    """A weighted mean and its variance, as independent draws have it."""
    mean = float(weight @ residual / weight.sum())
    n = len(residual)
    return mean, float(weight**2 @ (residual - mean) ** 2 / weight.sum() ** 2 * n / (n - 1))


def _expected(live: PolicyDocument, each: Labelled) -> float | None:
    """Not known where a tier served that has gone since."""
    if each.observation.served not in {tier.name for tier in live.tiers}:
        return None
    return predict(live, each.observation)
