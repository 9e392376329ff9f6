"""A document fitted to labelled queries, by the product's own code."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from controlplane.learn import cloud, judge
from controlplane.learn.evidence import Labels
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument


def fit(
    plain: PolicyDocument, labels: Labels, predictors: Iterable[dict[str, Any] | None]
) -> PolicyDocument:
    """The plain document as the labels have it, but for lambda; ``predictors`` are states."""
    known = ~np.isnan(labels.score)
    judged = Columns(*(each[known] for each in (labels.p_hat, labels.chars, labels.score)))
    parted = judge.bins(judged.score)
    assert parted is not None
    tilt = judge.fit(parted, labels, judged)
    mends, spoils = cloud.fit(parted, labels, tilt.calibration)
    segment = plain.segments[0].replaced(
        mode="cascade_route",
        trust="open",
        calibration=tilt.calibration,
        cloud_if_local_wrong=cloud.platt(mends),
        cloud_wrong_if_local_right=cloud.platt(spoils),
    )
    return plain.model_copy(
        update={
            "estimators": tuple(QualityPredictor.restore(each).estimator() for each in predictors),
            "judge": judge.table(plain.judge, parted, tilt),
            "segments": (segment,),
        }
    )
