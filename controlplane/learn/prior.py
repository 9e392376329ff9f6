"""Prior: what a learner believes before the first label of its own traffic.

Either next to nothing (``NONE``), or what a recording of the same kind of traffic taught: the
weights of p_hat, and Gaussian beliefs about its calibration and about g and b. A recording is never
worth more than ``MOST`` labels: its traffic is not quite ours, and ours must be able to say so.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from controlplane.learn import judge, logistic
from controlplane.learn.dear import COEFFICIENTS, Dear, design, vague
from controlplane.learn.logistic import Normal
from controlplane.learn.offline import train
from dataplane.contract.errors import OperatorError
from dataplane.contract.rule import Array, logit
from dataplane.contract.terms import Platt
from dataplane.features import FEATURE_VERSION, Features

SCHEMA = 3
MOST = 500.0  # labels that a recording may be worth


@dataclass(frozen=True, slots=True)
class Prior:
    """``local``: (a, s, beta) of the judge's tilt; ``dear``: see there, one a dear tier.

    ``labels`` is how many labels it comes from; ``predictors`` are ``QualityPredictor``'s states,
    one a tier. Either is empty where nothing is known of any tier.
    """

    local: Normal = judge.PRIOR
    dear: tuple[Dear, ...] = ()
    labels: int = 0
    predictors: tuple[dict[str, Any] | None, ...] = field(default=(), hash=False)

    def of(self, tiers: int) -> "Prior":
        """The same for so many tiers; ``ValueError`` where it is of another number of them."""
        dear = self.dear or (vague(tiers),) * (tiers - 1)
        predictors = self.predictors or (None,) * tiers
        if (len(dear), len(predictors)) != (tiers - 1, tiers):
            raise ValueError(
                f"a prior of {len(dear) + 1} tiers, and there are {tiers}: fit it anew"
            )
        return replace(self, dear=dear, predictors=predictors)

    def seated(self, places: Sequence[int | None]) -> "Prior":
        """The same for other tiers: the place that each had, None for one that is new."""
        newcomer = vague(len(places))
        dear = tuple(newcomer if at is None else self.dear[at - 1] for at in places[1:])
        predictors = tuple(None if at is None else self.predictors[at] for at in places)
        return replace(self, dear=dear, predictors=predictors)

    def weakened(self, share: float) -> "Prior":
        """The same, with this share of the trust in what it says of the local tier."""
        return replace(self, local=self.local.weakened(share, judge.PRIOR))

    def beliefs(self) -> "Prior":
        """The same without the predictors, which a learner soon makes its own."""
        return Prior(self.local, self.dear, self.labels)

    def to_json(self) -> str:
        """As a file; ``from_json`` is its inverse."""
        body = {
            "schema": SCHEMA,
            "feature_version": FEATURE_VERSION,
            "labels": self.labels,
            "predictors": self.predictors,
            "local": _plain(self.local),
            "dear": [[_plain(each.mends), _plain(each.spoils)] for each in self.dear],
        }
        return json.dumps(body)

    @classmethod
    def from_json(cls, text: str) -> "Prior":
        """Raises ``ValueError`` with the reason."""
        try:
            body = json.loads(text)
            if (body["schema"], body["feature_version"]) != (SCHEMA, FEATURE_VERSION):
                raise ValueError(
                    f"schema {body['schema']} of feature version {body['feature_version']}; "
                    f"{SCHEMA} of {FEATURE_VERSION} is read: fit it anew"
                )
            local = _normal(body["local"], len(judge.PRIOR.mean))
            dear = tuple(
                Dear(_normal(mends, COEFFICIENTS), _normal(spoils, COEFFICIENTS))
                for mends, spoils in body["dear"]
            )
            return cls(local, dear, int(body["labels"]), tuple(body["predictors"]))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a prior ({type(error).__name__})") from None


NONE = Prior()


def read(path: Path, tiers: int) -> Prior:
    """The prior in a file, for so many tiers; an ``OperatorError`` names what is wrong with it."""
    try:
        return Prior.from_json(path.read_text("utf-8")).of(tiers)
    except OSError as error:
        raise OperatorError(
            f"cannot read the prior {path}: {error.strerror}; fit one with `penstock prior`"
        ) from error
    except ValueError as error:
        raise OperatorError(f"{path}: {error}; fit one with `penstock prior`") from error


def fit(
    features: Sequence[Features],
    worth: Array,
    categories: Sequence[str] = (),
    hints: Array | None = None,
) -> Prior:
    """The prior of a recording: queries with what each tier's answer was worth, (N, tiers).

    p_hat is calibrated where it was not trained: each fold's by the others' labels. The judge is
    another one in production, so nothing is said of it.
    """
    trained = [train(features, right, categories, hints) for right in worth.T]
    p_hat = np.stack([each.p_hat for each in trained], axis=-1)
    unscored = np.zeros(len(features))
    x = np.column_stack([np.ones_like(unscored), logit(p_hat[:, 0]), unscored])
    share = min(1.0, MOST / max(len(features), 1))
    weight = np.full(len(features), share)
    believed = logistic.fit(x, worth[:, 0], weight, judge.PRIOR)
    calibration = Platt(intercept=float(believed.mean[0]), slope=float(believed.mean[1]))
    tiers = worth.shape[1]
    dear = tuple(
        vague(tiers).told(
            design(calibration, p_hat, tier, unscored), worth[:, 0], worth[:, tier], weight
        )
        for tier in range(1, tiers)
    )
    return Prior(believed, dear, len(features), tuple(each.state() for each in trained))


def _plain(believed: Normal) -> dict[str, Any]:
    return {"mean": believed.mean.tolist(), "precision": believed.precision.tolist()}


def _normal(plain: dict[str, Any], size: int) -> Normal:
    mean, precision = np.array(plain["mean"], float), np.array(plain["precision"], float)
    whole = mean.shape == (size,) and precision.shape == (size, size)
    if not whole or not np.isfinite(precision).all():
        raise ValueError(
            f"not a prior: a belief needs {size} means and a {size} x {size} precision"
        )
    if np.linalg.eigvalsh(precision).min() <= 0:
        raise ValueError("not a prior: a precision is not positive definite")
    return Normal(mean, precision)
