"""A document fitted to labelled queries, by the product's own code."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from controlplane.learn import dear, judge
from controlplane.learn.evidence import Labels
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument


def fit(
    plain: PolicyDocument, labels: Labels, predictors: Iterable[dict[str, Any] | None]
) -> PolicyDocument:
    """The plain document as the labels have it, but for lambda; ``predictors`` are states."""
    known = ~np.isnan(labels.score)
    judged = Columns(
        labels.p_hat[known], labels.chars[known], labels.score[known], labels.category[known]
    )
    parted = judge.bins(judged.score)
    assert parted is not None
    tilt = judge.fit(parted, labels, judged)
    tiers = len(plain.tiers)
    believed = [
        dear.fit(parted, labels, tilt.calibration, tier, dear.vague(tiers))
        for tier in range(1, tiers)
    ]
    segment = plain.segments[0].replaced(
        mode="cascade_route",
        trust="open",
        calibration=tilt.calibration,
        **dear.stated(believed),
    )
    return plain.model_copy(
        update={
            "estimators": tuple(QualityPredictor.restore(each).estimator() for each in predictors),
            "judge": judge.table(plain.judge, parted, tilt),
            "segments": (segment,),
        }
    )
