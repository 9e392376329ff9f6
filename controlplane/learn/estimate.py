"""Doubly robust estimates of all arms at once.

For arm a, quality is the mean over recent traffic of the model's value m_a(x), plus the mean over
labelled records of O_a / rho_a (y_a - m_a(x)): O_a = 1 where the answer that the arm would have
served carries a label, rho_a the logged probability of that. Standard errors come from the
labelled part alone (docs/methods.md, section 3; Robins, Rotnitzky and Zhao 1994 for the estimator).

A share of always-cloud's quality is a ratio of two such means over the same records. Its error is
that of the records' differences: where arm and always-cloud serve the same answer they err alike.
"""

from dataclasses import dataclass

import numpy as np

from controlplane.learn.evidence import Labels
from controlplane.learn.goals import Estimate
from controlplane.learn.imagine import Imagined, imagine
from controlplane.learn.policy_family import ALWAYS_CLOUD, Arms
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Robust:
    """Estimates of A arms and what they are made of.

    ``modelled``: (N, A) over the traffic. ``parts`` (L, A): what each labelled record adds to an
    arm's quality. ``support`` (A,): the effective number of labels. ``doubt`` (A,): by how much
    more a sum of parts errs than they do, for it was shrunk by a trust that may be misplaced.
    """

    modelled: Imagined
    parts: Array
    support: Array
    doubt: Array

    @property
    def errors(self) -> Array:
        """(L, A) Their root sum of squares is the standard error of a sum of parts."""
        return self.parts * self.doubt

    @property
    def quality(self) -> Array:
        """(A,) Corrected, within [0, 1]."""
        corrected = self.modelled.quality.mean(axis=0) + self.parts.sum(axis=0)
        return np.asarray(np.clip(corrected, 0.0, 1.0))


def estimate(
    draft: PolicyDocument, traffic: Columns, labels: Labels, arms: Arms, prior: float
) -> list[Estimate]:
    """One estimate an arm under the beliefs of ``draft``.

    ``prior``: how many records' worth of trust the model has; it shrinks the correction to zero.
    """
    found = robust(draft, traffic, labels, Arms((ALWAYS_CLOUD, *arms)), prior)
    quality, support = found.quality, found.support
    share = quality / max(float(quality[0]), 1e-9)
    errors = found.errors
    paired = (errors - share * errors[:, :1]) / max(float(quality[0]), 1e-9)
    columns = np.column_stack(
        [
            quality,
            root_sum(errors),
            found.modelled.cost.mean(axis=0),
            support,
            found.modelled.usd.mean(axis=0),
            share,
            root_sum(paired),
            np.minimum(support, support[0]),
        ]
    )
    return [Estimate(*row) for row in columns[1:].tolist()]


def robust(
    draft: PolicyDocument, traffic: Columns, labels: Labels, arms: Arms, prior: float
) -> Robust:
    """The estimates of these arms, record by record."""
    columns = arms.columns
    return Robust(
        imagine(draft, traffic, columns), *_rectify(labels, imagine(draft, labels, columns), prior)
    )


def root_sum(parts: Array) -> Array:
    """The standard error of a sum over independent records (L, ...)."""
    return np.asarray(np.sqrt((parts**2).sum(axis=0)))


def _rectify(labels: Labels, imagined: Imagined, prior: float) -> tuple[Array, Array, Array]:
    """What each record adds to the shrunk correction (L, A); the effective labels, the doubt (A,).

    A residual is a label's error and the model's. As W of W + ``prior`` of it is believed to be
    the model's, that is known to the square root of the same share of the labels' error alone.
    """
    y, asked, known_path = _served(labels, imagined)
    observed = known_path & ~np.isnan(y) & (asked > 0)
    usual = labels.probability[:, 0].max(initial=1e-9)  # so that a usual record weighs one
    weight = np.where(observed, labels.weight[:, None] * usual / np.maximum(asked, 1e-9), 0.0)
    residual = np.where(observed, np.nan_to_num(y) - imagined.quality, 0.0)
    squares = np.maximum((weight**2).sum(axis=0), 1e-12)
    total = weight.sum(axis=0)
    doubt = np.sqrt((total + prior) / np.maximum(total, 1e-9))
    return weight * residual / (total + prior), total**2 / squares, doubt


def _served(labels: Labels, imagined: Imagined) -> tuple[Array, Array, Mask]:
    """The label of what each arm would have served (L, A), the chance of it, and if that is known.

    Where the path hinges on the score, the local answer must have been seen as well.
    """
    y, local = labels.right[:, :1], labels.probability[:, :1]
    asked, known_path = local, np.ones(imagined.local.shape, dtype=bool)
    for tier, chance in enumerate(imagined.dear, 1):
        right, dear = labels.right[:, tier, None], labels.probability[:, tier, None]
        serves, both = chance > 0.5, np.minimum(local, dear)
        y = np.where(serves, right, y)
        asked = np.where(serves, np.where(imagined.hinges, both, dear), asked)
        known_path &= (chance == 0) | (chance == 1)
    return y, asked, known_path
