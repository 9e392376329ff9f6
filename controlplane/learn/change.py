"""Whether a candidate is worth a policy of its own: what it would change."""

from dataclasses import dataclass

from controlplane.audit import sample
from controlplane.learn.estimate import Basis
from controlplane.learn.imagine import ArmGrid, Outlook, imagine, moved
from controlplane.learn.policy_family import Arm, Arms
from controlplane.learn.pull import on_trial
from controlplane.learn.reason import unreachable
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """From the live policy to the candidate, over the same recent queries.

    ``seen``: as the live policy's estimators see them; ``basis``: of the draft that the candidate
    comes from, whose beliefs it shares. ``least``: the share to be served otherwise.
    """

    live: PolicyDocument
    candidate: PolicyDocument
    seen: Columns
    basis: Basis
    least: float

    def worth_publishing(self, *, whatever_arm: bool) -> bool:
        """Whether anything that matters changes; ``whatever_arm``: any other arm does."""
        return (
            self._draws_otherwise()
            or unreachable(self.live.reason) != unreachable(self.candidate.reason)
            or (whatever_arm and _arm(self.live) != _arm(self.candidate))
            or self._decides_otherwise()
        )

    def _draws_otherwise(self) -> bool:
        """Whether other shares are drawn, or the live policy no longer keeps to its own."""
        live, candidate = self.live, self.candidate
        if live.audit.rate != candidate.audit.rate or live.shadow != candidate.shadow:
            return True
        return not sample.keeps(live, self.seen)

    def _decides_otherwise(self) -> bool:
        """Whether enough queries would be served otherwise, or decided so by a judge on trial."""
        before = Outlook.of(self.live, self.seen)
        live, candidate = self.live.segments[0], self.candidate.segments[0]
        if self._moves(before, live, candidate):
            return True
        if not on_trial(self.candidate):
            return False
        was, tried = live.judging, candidate.judging
        if was is None or tried is None:
            return was is not tried
        return self._moves(before, was, tried)

    def _moves(self, before: Outlook, live: SegmentPolicy, candidate: SegmentPolicy) -> bool:
        served = imagine(before, _only(live)), imagine(self.basis.expected, _only(candidate))
        return float(moved(*served).mean()) >= self.least


def _arm(policy: PolicyDocument) -> Arm:
    return Arm.of(policy.segments[0])


def _only(segment: SegmentPolicy) -> ArmGrid:
    return Arms((Arm.of(segment),)).columns
