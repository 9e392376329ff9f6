"""Doubly robust estimates of all arms at once.

For arm a, quality is the mean over recent traffic of the model's value m_a(x), plus the mean over
labelled records of O_a / rho_a (y_a - m_a(x)): O_a = 1 where the answer that the arm would have
served carries a label, rho_a the logged probability of that. Standard errors come from the
labelled part alone (METHODS section 2; Robins, Rotnitzky and Zhao 1994 for the estimator).
"""

import numpy as np

from controlplane.learn.evidence import Labels
from controlplane.learn.imagine import Imagined, imagine
from controlplane.learn.policy_family import Arms, Estimate
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array


def estimate(
    draft: PolicyDocument, traffic: Columns, labels: Labels, arms: Arms, prior: float
) -> list[Estimate]:
    """One estimate an arm under the beliefs of ``draft``.

    ``prior``: how many records' worth of trust the model has; it shrinks the correction to zero.
    """
    columns = arms.columns
    modelled = imagine(draft, traffic, columns)
    shift, se, support = _rectify(labels, imagine(draft, labels, columns), prior)
    quality = np.clip(modelled.quality.mean(axis=0) + shift, 0.0, 1.0)
    found = np.column_stack([quality, se, modelled.cost.mean(axis=0), support])
    return [Estimate(*row) for row in found.tolist()]


def _rectify(labels: Labels, imagined: Imagined, prior: float) -> tuple[Array, Array, Array]:
    """Per arm (A,): the shrunk correction, its standard error, the effective number of labels."""
    to_cloud = imagined.cloud > 0.5
    y = np.where(to_cloud, labels.cloud[:, None], labels.local[:, None])
    asked = np.where(to_cloud, labels.cloud_probability[:, None], labels.local_probability[:, None])
    known_path = (imagined.cloud == 0) | (imagined.cloud == 1)
    observed = known_path & ~np.isnan(y) & (asked > 0)
    usual = labels.local_probability.max(initial=1e-9)  # so that a usual record weighs one
    weight = np.where(observed, labels.weight[:, None] * usual / np.maximum(asked, 1e-9), 0.0)
    residual = np.where(observed, np.nan_to_num(y) - imagined.quality, 0.0)
    total = weight.sum(axis=0) + prior
    squares = np.maximum((weight**2).sum(axis=0), 1e-12)
    return (
        (weight * residual).sum(axis=0) / total,
        np.sqrt((weight**2 * residual**2).sum(axis=0)) / total,
        weight.sum(axis=0) ** 2 / squares,
    )
