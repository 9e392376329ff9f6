"""Retunes, watched: whether what a policy was tuned to keeps what is promised, or the policy has to
come back as it was before its first retune.

The same test as that which brings a proposal back (``stats.standing``), on the labels that audits
ask for anyway. It begins with the first retune of a policy, and anew with another one, with another
promise, and with an alarm: what was seen before a change says nothing of the retunes after it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from math import exp
from typing import Any

from controlplane.observations import Labelled
from controlplane.stats.contest import Contest
from controlplane.stats.standing import Bar, Drawing, bar, told, verdict
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import CostCeiling, QualityTarget


@dataclass(frozen=True, slots=True)
class Watch:
    """On the retunes of version ``kept``, which is the one to come back. ``ended``: it is to."""

    kept: int
    since: datetime
    bar: Bar
    contest: Contest = field(default_factory=Contest)
    ended: bool = False

    @property
    def lost(self) -> bool:
        """Whether it was shown that the promise is not kept."""
        return verdict(self.contest, self.bar) == "fails"

    @property
    def why(self) -> str:
        """In words."""
        evidence = exp(min(self.contest.against.log_evidence, 50.0))
        return (
            f"the retunes of version {self.kept} do not keep what is promised: {self.contest.pairs}"
            f" answers labelled (e-value {evidence:.3g}, {self.bar.evidence:.3g} wanted; promised "
            f"{self.bar.promised:.3g})"
        )

    def heard(self, each: Labelled) -> "Watch":
        """After one more label of what a retune served; the same where that one is missing."""
        seen = each.observation
        value = each.right.get(seen.served)
        if value is None or seen.policy_version <= self.kept or seen.at < self.since:
            return self
        contest = told(self.contest, value, each.audit_probability, self.bar)
        return replace(self, contest=contest)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"since": self.since.isoformat(), "contest": self.contest.state()}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "Watch":
        """Inverse of ``state``."""
        parts = {
            "since": datetime.fromisoformat(state["since"]),
            "bar": Bar(**state["bar"]),
            "contest": Contest.restored(state["contest"]),
        }
        return cls(**{**state, **parts})


def watched(
    watch: Watch | None, live: PolicyDocument, kept: int, now: datetime, *, alarmed: bool
) -> Watch | None:
    """The watch on the live policy, a retune of ``kept``; None where there is nothing to watch."""
    rate, promised = audited(live), promise(live.objective)
    if live.version == kept or promised is None or not rate:
        return None
    fresh = Watch(kept, now, bar(*promised, Drawing(0.0, 1.0, rate)))
    same = watch is not None and (watch.kept, watch.bar.promised) == (kept, fresh.bar.promised)
    return watch if same and not alarmed else fresh


def promise(objective: QualityTarget | CostCeiling) -> tuple[float, float] | None:
    """The share of right answers that is promised, and by how much the target is above it.

    None where none is, or a share of another policy's.
    """
    if not isinstance(objective, QualityTarget) or objective.reference != "ground_truth":
        return None
    least, tolerance = objective.target_quality - objective.tolerance, objective.tolerance
    return (least, tolerance) if tolerance and 0 < least < 1 else None


def audited(policy: PolicyDocument) -> float:
    """The least probability with which a policy has an answer of its own labelled."""
    rates = [policy.audit.of(segment.name) for segment in policy.segments]
    return min(each.uniform if each else 0.0 for each in rates)
