"""What an objective asks of an arm: whether it is met, what is best among those that meet it, what
is best where none does, and all of that in words. One pure class an objective; the bandit and the
reasons know no other difference between objectives.
"""

from dataclasses import dataclass
from typing import Protocol

from dataplane.contract.terms import CostCeiling, QualityTarget

SURE = 2.0  # standard errors of the best arm below the target before it is called unreachable
UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is known of an arm.

    ``cost`` is in units and weighs waiting, ``usd`` is the bill of a query. ``share`` is the
    quality over always-cloud's. Each quality has its standard error and its effective labels.
    """

    quality: float
    quality_se: float
    cost: float
    support: float
    usd: float
    share: float
    share_se: float
    share_support: float


class Goal(Protocol):
    """An objective, asked of estimates."""

    @property
    def words(self) -> str:
        """The goal, as in "the cheapest that ..."."""
        ...

    def support(self, known: Estimate) -> float:
        """Effective labels behind what the goal looks at."""
        ...

    def met(self, known: Estimate) -> bool:
        """Whether the arm is known to meet the goal."""
        ...

    def worth(self, known: Estimate) -> float:
        """The higher, the better among arms that meet the goal."""
        ...

    def consolation(self, known: Estimate) -> float:
        """The higher, the better where no arm meets the goal."""
        ...

    def shortfall(self, best: Estimate) -> str:
        """What there is to say where even the best arm is not known to meet the goal."""
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """At least ``target`` of right answers, with ``kappa`` standard errors in hand, cheaply."""

    target: float
    kappa: float = 0.0

    @property
    def words(self) -> str:
        """See ``Goal``."""
        return f"the cheapest that reaches {self.target:.3f}"

    def support(self, known: Estimate) -> float:
        """Effective labels of the arm."""
        return known.support

    def met(self, known: Estimate) -> bool:
        """Whether quality, less the errors in hand, is enough."""
        return known.quality - self.kappa * known.quality_se >= self.target

    def worth(self, known: Estimate) -> float:
        """Cheapness."""
        return -known.cost

    def consolation(self, known: Estimate) -> float:
        """Quality."""
        return known.quality

    def shortfall(self, best: Estimate) -> str:
        """Unreachable, or not known to be reached."""
        hopeless = best.quality + SURE * best.quality_se < self.target
        return f"target {self.target:.3f} {_short(hopeless)}, serving the best"


@dataclass(frozen=True, slots=True)
class Match:
    """At least this ``share`` of always-cloud's right answers, cheaply."""

    share: float
    kappa: float = 0.0

    @property
    def words(self) -> str:
        """See ``Goal``."""
        return f"the cheapest that reaches {self.share:.1%} of always-cloud's quality"

    def support(self, known: Estimate) -> float:
        """Effective labels of the arm or of always-cloud, the fewer."""
        return known.share_support

    def met(self, known: Estimate) -> bool:
        """Whether the share, less the errors in hand, is enough."""
        return known.share - self.kappa * known.share_se >= self.share

    def worth(self, known: Estimate) -> float:
        """Cheapness."""
        return -known.cost

    def consolation(self, known: Estimate) -> float:
        """The share."""
        return known.share

    def shortfall(self, best: Estimate) -> str:
        """Unreachable, or not known to be reached: a share above one may be."""
        hopeless = best.share + SURE * best.share_se < self.share
        wanted = f"{self.share:.1%} of always-cloud's quality"
        return f"{wanted} {_short(hopeless)}: {best.share:.1%} is, serving the best"


@dataclass(frozen=True, slots=True)
class Spend:
    """At most ``ceiling`` USD a query, well."""

    ceiling: float

    @property
    def words(self) -> str:
        """See ``Goal``."""
        return f"the best within {self.ceiling:.4g} USD a query"

    def support(self, known: Estimate) -> float:
        """Effective labels of the arm."""
        return known.support

    def met(self, known: Estimate) -> bool:
        """Whether the expected bill is within the ceiling."""
        return known.usd <= self.ceiling

    def worth(self, known: Estimate) -> float:
        """Quality."""
        return known.quality

    def consolation(self, known: Estimate) -> float:
        """Cheapness."""
        return -known.usd

    def shortfall(self, best: Estimate) -> str:
        """A bill is expected, not measured: it is in reach or it is not."""
        return (
            f"ceiling of {self.ceiling:.4g} USD a query {UNREACHABLE}: the cheapest identified arm "
            f"is billed {best.usd:.4g}, serving that"
        )


def _short(hopeless: bool) -> str:
    return UNREACHABLE if hopeless else "not known to be reached yet"


def goal(objective: QualityTarget | CostCeiling, kappa: float) -> Goal:
    """What an objective asks, with ``kappa`` standard errors of quality in hand."""
    if isinstance(objective, CostCeiling):
        return Spend(objective.ceiling_usd_per_query)
    if objective.reference == "always_cloud":
        return Match(objective.target_quality, kappa)
    return Reach(objective.target_quality, kappa)
