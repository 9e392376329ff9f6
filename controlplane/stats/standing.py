"""Whether a policy keeps what is promised by itself, by labels of the answers that it serves.

A label y of an answer that the policy serves, or would have served, was asked for with a known
probability p, so over all queries, those that were not drawn included, (y - promised) / p has mean
q - promised. Bets on it are two e-processes (``betting``): one refutes that the policy is below
what is promised, the other that it is not, each wrong with at most the level's probability whenever
it is looked at. No other policy enters, nor what is known of one: a policy that is cheaper because
it is less good needs not show how much it loses against a live policy whose own quality is only
known to a point or two.

What is staked is what pays best for a policy that lies the slack, the tolerance, away from what is
promised, as one does that was tuned to its target; twice and four times as much beside it.
"""

from dataclasses import dataclass, replace
from math import log

from controlplane.stats.betting import bet
from controlplane.stats.contest import Claim, Contest, Verdict

TIMES = (1.0, 2.0, 4.0)
RARER = 0.5  # of the least probability that was foreseen: labels drawn more rarely count as if not
MOST = 0.9  # of the wealth, staked at most
DIFFER = 0.25  # of pairs, before any of them is known


@dataclass(frozen=True, slots=True)
class Bar:
    """That quality is at least ``promised``; settled before the first label.

    ``stake``: of the wealth a unit of (label - promised) / probability; ``least``: the smallest
    probability that is reckoned with; ``level``: with which probability a verdict may be wrong.
    """

    promised: float
    stake: float
    least: float
    level: float = 0.05

    @property
    def evidence(self) -> float:
        """What an e-process has to reach."""
        return 1 / self.level

    def stakes(self, probability: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of the wealth, on a label drawn with this probability: for the policy, and against it."""
        weights = [times * self.stake / max(probability, self.least) for times in TIMES]
        for_it = tuple(weight * self.promised for weight in weights)
        return for_it, tuple(weight * (1 - self.promised) for weight in weights)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Which labels are asked for: of the ``share`` of queries on which two policies may part with
    probability ``parted``, of the others with ``alike``.
    """

    share: float
    parted: float
    alike: float

    @property
    def least(self) -> float:
        """The smaller probability of those that occur."""
        return self.parted if self.share >= 1 else min(self.parted, self.alike)

    @property
    def weight(self) -> float:
        """The mean over all queries of one over the probability."""
        alike = 0.0 if self.share >= 1 else (1 - self.share) / self.alike
        return self.share / self.parted + alike


def bar(promised: float, slack: float, drawing: Drawing) -> Bar:
    """The bar at ``promised`` for policies that lie about ``slack`` above it, or below.

    >>> found = bar(0.76, 0.02, Drawing(share=1.0, parted=0.3, alike=0.05))
    >>> round(found.stake, 4), found.least
    (0.0329, 0.15)
    """
    least = RARER * drawing.least
    best = slack / (promised * (1 - promised) * drawing.weight)
    worst = max(promised, 1 - promised) / least * max(TIMES)
    return Bar(promised, min(best, MOST / worst), least)


def sooner(claim: Claim, found: Bar, drawing: Drawing, quality: float, change: float) -> bool:
    """Whether a policy is expected to clear the bar before it is shown to be as good as the live
    one but for the claim's margin. ``quality``: the live policy's; ``change``: what the new one is
    expected to add. What is guessed here costs labels where it is wrong, and no error.

    >>> everywhere = Drawing(1.0, 0.3, 0.05)
    >>> sooner(Claim(0.03), bar(0.76, 0.02, everywhere), everywhere, 0.81, -0.027)
    True
    >>> seldom = Drawing(0.1, 0.3, 0.05)
    >>> sooner(Claim(0.03), bar(0.76, 0.02, seldom), seldom, 0.81, 0.01)
    False
    """
    clearance, room = quality + change - found.promised, claim.margin + change
    if room <= 0:
        return True
    alone = found.promised * (1 - found.promised) * drawing.weight
    paired = drawing.share * DIFFER / drawing.parted
    return clearance > 0 and alone / clearance**2 < paired / room**2


def told(contest: Contest, value: float, probability: float, claim: Bar) -> Contest:
    """The evidence after one more label, in the order of the draws.

    >>> claim, found = bar(0.76, 0.02, Drawing(1.0, 0.3, 0.05)), Contest()
    >>> for value in [1.0, 1.0, 1.0, 0.0] * 300:
    ...     found = told(found, value, 0.3, claim)
    >>> verdict(found, claim) is None, found.pairs
    (True, 1200)
    """
    up, down = claim.stakes(probability)
    promised = claim.promised
    return replace(
        contest,
        for_it=bet(contest.for_it, value, promised, 0.0, up),
        against=bet(contest.against, -value, -promised, -1.0, down),
    )


def verdict(contest: Contest, claim: Bar) -> Verdict | None:
    """What was shown; None: nothing yet."""
    enough = log(claim.evidence)
    if contest.for_it.log_evidence >= enough:
        return "holds"
    return "fails" if contest.against.log_evidence >= enough else None
