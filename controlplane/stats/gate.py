"""The trust gate's arithmetic: when a judge has earned its say, and when it has lost it.

What is observed is a uniform sample of queries, each under two frozen policies: the utility of
judging less that of routing, ``y_J - y_R - lambda (c_J - c_R)``. Where both would serve the same
answer their quality is the same: the difference is the judge's cost, and needs no label. Where they
would not it is a *pair*, and is labelled. So the cost is subtracted as it falls due, nothing is
estimated, and only pairs are counted.
"""

from dataclasses import dataclass, field, replace
from math import log
from typing import Any, Literal

from controlplane.stats.betting import Wealth, bet
from controlplane.stats.detector import Detector, detect

Standing = Literal["closed", "earned", "open"]


@dataclass(frozen=True, slots=True)
class Terms:
    """``reach`` bounds the size of a difference: 1 and lambda times the greatest cost difference.

    ``level`` is the chance that a judge that does not pay ever earns its opening; segments share
    it. ``run_length`` is how many pairs a judge that pays keeps its say for, at least, on average.
    """

    reach: float
    level: float = 0.05
    run_length: float = 100_000.0


@dataclass(frozen=True, slots=True)
class Gate:
    """Evidence for judging while closed; evidence against it from when that was earned."""

    standing: Standing = "closed"
    opening: Wealth = field(default_factory=Wealth)
    closing: Detector = field(default_factory=Detector)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        parts = {"opening": self.opening.state(), "closing": self.closing.state()}
        return {"standing": self.standing} | parts

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Gate":
        """Inverse of ``state``."""
        opening, closing = Wealth.restored(state["opening"]), Detector.restored(state["closing"])
        return cls(state["standing"], opening, closing)


def observe(gate: Gate, difference: float, terms: Terms, *, pair: bool = True) -> Gate:
    """The gate after one query, in the order of the draws, whatever order the labels came in.

    Closed, it bets that judging pays: if the mean difference, given the past, is never above 0,
    the chance of ever earning an opening is at most ``level``. Once earned, an e-detector bets on
    the reverse, and closes at once: while judging pays, that happens after ``run_length`` pairs or
    more on average. Each closing starts afresh: the level is that of one opening.

    >>> gate, terms = Gate(), Terms(reach=1.2)
    >>> for _ in range(60):
    ...     gate = observe(gate, 0.3, terms)
    >>> gate.standing
    'earned'
    """
    if gate.standing == "closed":
        opening = bet(gate.opening, difference, least=-terms.reach)
        earned = opening.log_evidence >= -log(terms.level)
        return Gate("earned" if earned else "closed", opening)
    closing = detect(gate.closing, -difference, least=-terms.reach, fresh=pair)
    if closing.log_evidence >= log(terms.run_length):
        return Gate()
    return replace(gate, closing=closing)


def opened(gate: Gate) -> Gate:
    """The gate once its opening was accepted. Raises ``ValueError`` unless that was earned."""
    if gate.standing != "earned":
        raise ValueError(f"a gate that is {gate.standing} has no opening to accept")
    return replace(gate, standing="open")
