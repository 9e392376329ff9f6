"""How fast and how carefully the learner moves."""

from dataclasses import dataclass, replace

from dataplane.contract.sections import Bandit
from dataplane.contract.terms import HELD_OUT, Mode


@dataclass(frozen=True, slots=True)
class DrawRates:
    """Shares of completed queries that are audited, and shadowed."""

    audit: float
    shadow: float

    def at_least(self, floor: "DrawRates") -> "DrawRates":
        """The higher of either rate."""
        return DrawRates(max(self.audit, floor.audit), max(self.shadow, floor.shadow))


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """How fast and how carefully the learner moves. Counts are in completed queries."""

    kappa: float = 0.25  # standard errors of quality kept in hand
    kappa_alarmed: float = 1.0  # after an alarm or a new tier, for ``careful`` or ``wary`` queries
    bandit: Bandit = "policy_family"
    mode: Mode = "cascade_route"
    min_decisions: int = 100  # between two retunes
    min_news: int = 40  # between two thoughts about one
    step: float = 0.4  # share of the way to the best lambda that a retune goes in quiet times
    min_change: float = 0.01  # share of recent decisions that a retune must change
    support: float = 40.0  # effective labels before an arm is identified, a new tier called
    half_life: float = 12_000.0  # of a labelled record
    recent_half_life: float = 1500.0  # of one that tells whether the model is suddenly wrong
    sudden: float = 0.1  # by how much of an arm's quality it then is, about
    sudden_chance: float = 0.1  # that it is
    sudden_chance_alarmed: float = 0.5  # once the judge or a tier changed
    contexts: int = 2000
    records: int = 2400
    reference_labels: int = 120  # before the drift detectors' reference is frozen
    judged_labels: int = 400  # before scores, or labels, are held against what is expected
    keep_at_alarm: float = 0.6  # share of a label's weight after the mix changed
    keep_at_answers_alarm: float = 0.05  # and after the judge or a tier did
    contexts_at_alarm: int = 150
    burst: int = 600  # queries after an alarm that are drawn as ``alarmed``
    careful: int = 1500  # after an alarm or a new tier
    wary: int = 5000  # after the judge or a tier changed: what was known of it is gone
    cold: DrawRates = DrawRates(0.2, 0.2)
    steady: DrawRates = DrawRates(0.075, 0.03)
    alarmed: DrawRates = DrawRates(0.10, 0.06)
    floor: float = 1.0  # share of the audits, at least, that is drawn uniformly
    held_out: float = HELD_OUT  # share of the labels that is not learned from

    def drawing(self, audit: float, shadow: float) -> "LearnerSettings":
        """These settings with the rates of quiet times; the others are never lower."""
        steady = DrawRates(audit, shadow)
        return replace(
            self,
            steady=steady,
            cold=self.cold.at_least(steady),
            alarmed=self.alarmed.at_least(steady),
        )
