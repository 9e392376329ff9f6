"""The arm to serve, and why: the one that serves the objective best, among those that may serve.

Where a certified cutoff is asked for only arms that judge may, and always-cloud alone while the
judge is on trial or no cutoff is certified (docs/decisions/015-a-certified-cutoff.md).
"""

from dataclasses import dataclass

import numpy as np

from controlplane.learn.baselines import Baseline
from controlplane.learn.policy_family import ALWAYS_CLOUD, Arm, Arms, PolicyFamily
from controlplane.learn.reason import reason
from controlplane.learn.search import Search
from controlplane.learn.trial import trial_lambda
from controlplane.stats import effective_labels
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Mode

UNCERTIFIED = "no cutoff is certified yet, so no local answer is accepted: always the cloud"
ON_TRIAL = "a certified cutoff is asked for, and the judge is on trial: always the cloud"
UNJUDGED = "a certified cutoff is asked for, and this arm does not judge: always the cloud"


def lacks_certificate(policy: PolicyDocument) -> bool:
    """Whether a certificate is asked for, and none holds."""
    return bool(policy.objective.wrong_acceptances) and policy.segments[0].certificate is None


def on_trial(policy: PolicyDocument) -> bool:
    """Whether the judge has yet to earn its say."""
    return policy.segments[0].trust == "closed"


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """From one search, after so many labels (``labelled``).

    ``mode`` is of the arms among which is looked once trust is open, ``step`` the share of the way
    to the best of them that a retune goes. A ``baseline`` pulls in the policy family's place.
    """

    search: Search
    mode: Mode
    step: float
    labelled: int
    baseline: Baseline | None

    @property
    def draft(self) -> PolicyDocument:
        """What is served but for the arm: its first segment still has the live one."""
        return self.search.basis.draft

    def pulled(self) -> tuple[Arm, str]:
        """The arm to serve, and why."""
        if lacks_certificate(self.draft):
            return ALWAYS_CLOUD, UNCERTIFIED
        certified = self.draft.segments[0].certificate is not None
        if certified and on_trial(self.draft):
            return ALWAYS_CLOUD, ON_TRIAL
        arm, why = self._found() if self.baseline is None else self._of(self.baseline)
        return (ALWAYS_CLOUD, UNJUDGED) if certified and not arm.judges else (arm, why)

    def _of(self, baseline: Baseline) -> tuple[Arm, str]:
        """What a baseline pulls: it goes there at once."""
        known = not on_trial(self.draft) and self.labelled >= self.search.support
        arm = baseline.pull(self.draft, self.search.basis.traffic, may_judge=known)
        return arm, baseline.reason(arm)

    def _found(self) -> tuple[Arm, str]:
        """The arm that serves the objective best, or a step towards it."""
        aim, family = self._aim()
        arm = self._towards(aim)
        if arm != aim:
            self.search.inform(family, Arms((arm,)))
        return arm, reason(self.draft.segments[0], aim, arm, family, self.labelled)

    def _aim(self) -> tuple[Arm, PolicyFamily]:
        """While the judge is on trial, what its terms say."""
        if not on_trial(self.draft):
            return self.search.aim(self.mode)
        if self.draft.trust.while_closed == "route":
            return self.search.aim("route")
        return ALWAYS_CLOUD, self.search.informed(Arms((ALWAYS_CLOUD,)))

    def _towards(self, aim: Arm) -> Arm:
        """Part of the way, in log lambda.

        Where quality is flat in lambda, each handful of labels moves the aim a long way.
        """
        was, share = self.draft.segments[0], self.step
        if share == 1 or was.mode != aim.mode or not was.lambda_:
            return aim
        return Arm(aim.mode, was.lambda_ ** (1 - share) * aim.lambda_**share)

    def trial_lambda(self) -> float | None:
        """Where the judge is on trial; None where it is not, until labels tell of its scores, and
        while nothing may be accepted whatever they are.
        """
        if not on_trial(self.draft) or lacks_certificate(self.draft):
            return None
        labels = self.search.basis.labels
        told = labels.weight[~np.isnan(labels.score) & ~np.isnan(labels.right[:, 0])]
        if effective_labels(told) < self.search.support:
            return None
        return trial_lambda(self.search.basis.expected)
