"""The live policy with all that it believes refitted: everything but the arm to serve."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from controlplane.learn import dear, judge
from controlplane.learn.evidence import Evidence, Labels
from controlplane.learn.prior import Prior
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import LinearEstimator, Typical

UNIT_DRIFT = 1.5  # beyond this factor the unit of cost is set anew


@dataclass(frozen=True, slots=True)
class Fit:
    """What a draft is fitted to, and the ``prior`` that it starts from.

    ``judged``: the queries whose local answer has a score.
    """

    labels: Labels
    traffic: Columns
    judged: Columns
    estimators: tuple[LinearEstimator, ...]
    prior: Prior

    @classmethod
    def to(
        cls,
        evidence: Evidence,
        labels: Labels,
        estimators: tuple[LinearEstimator, ...],
        prior: Prior,
    ) -> "Fit":
        """To what was seen, as these estimators see it."""
        return cls(
            labels, evidence.traffic(estimators), evidence.judged(estimators), estimators, prior
        )

    def draft(
        self, live: PolicyDocument, now: datetime, parted: judge.Bins, proven: Sequence[bool]
    ) -> tuple[PolicyDocument, float]:
        """The draft, and the effective number of labels behind its judge.

        Of a dear tier that is not ``proven``, one entry each, it believes nothing.
        """
        tilt = judge.fit(parted, self.labels, self.judged, self.prior.local)
        believed = [
            dear.fit(parted, self.labels, tilt.calibration, tier, known) if good else None
            for tier, (known, good) in enumerate(zip(self.prior.dear, proven, strict=True), 1)
        ]
        segment = live.segments[0].replaced(
            calibration=tilt.calibration, typical=self._typical(), arms=(), **dear.stated(believed)
        )
        fitted = {
            "version": live.version + 1,
            "parent": live.version,
            "author": "learner",
            "issued_at": now,
            "cost_unit_usd": _unit(live, segment.typical),
            "estimators": self.estimators,
            "judge": judge.table(live.judge, parted, tilt),
            "segments": (segment,),
        }
        return live.model_copy(update=fitted), tilt.support

    def _typical(self) -> Typical:
        middle = np.clip(np.median(self.traffic.p_hat, axis=0), 0.01, 0.99)
        chars = float(np.median(self.traffic.chars))
        return Typical(p_hat=tuple(middle.tolist()), prompt_chars=chars)


def _unit(live: PolicyDocument, typical: Typical) -> float:
    """One mean cloud call: kept, so that lambda keeps its meaning, while it is about right."""
    seen = float(live.weighed_usd(live.cloud, typical.prompt_chars))
    kept = live.cost_unit_usd
    return kept if seen <= 0 or kept / UNIT_DRIFT < seen < kept * UNIT_DRIFT else seen
