"""Doubly robust estimates of all arms at once.

For arm a, quality is the mean over recent traffic of the model's value m_a(x), plus the mean over
labelled records of O_a / rho_a (y_a - m_a(x)): O_a = 1 where the answer that the arm would have
served carries a label, rho_a the logged probability of that. Standard errors come from the
labelled part alone (docs/methods.md, section 3; Robins, Rotnitzky and Zhao 1994 for the estimator).

The model may be wrong of an arm for long, by little, since it is a model; or suddenly and by much,
since something changed (``ModelError``). All labels tell of the first, recent ones of the second:
where their mean residual is larger than the first would have it, that is followed at once, and
taken for noise otherwise (a two-group prior; Efron, Microarrays, Empirical Bayes and the Two-Groups
Model, Statistical Science 23, 2008).

A share of always-cloud's quality is a ratio of two such means over the same records. Its error is
that of the records' differences: where arm and always-cloud serve the same answer they err alike.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from controlplane.learn.evidence import Labels
from controlplane.learn.goals import Estimate
from controlplane.learn.imagine import Imagined, Outlook, imagine
from controlplane.learn.optimism import moved_levels, optimism
from controlplane.learn.policy_family import ALWAYS_CLOUD, Arms
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask

LABEL_VARIANCE = 0.16  # usual, of a residual; before any is seen it is worth ``SUPPOSED`` of them
SUPPOSED = 20.0


@dataclass(frozen=True, slots=True)
class ModelError:
    """What is believed of the error of an arm's quality by a model that rests on so many labels.

    For long it is what the mean of as many labels has; ``sudden`` is its standard deviation once
    something has changed, and ``chance`` the chance of that.
    """

    labels: float
    sudden: float
    chance: float

    def believed(self, all_: "Residual", recent: "Residual") -> tuple[Array, Array, Array]:
        """The shares of both means (A,) that the correction is made of, and its variance (A,)."""
        lasting = LABEL_VARIANCE / max(self.labels, 1e-9)
        kept = lasting / (lasting + all_.variance)
        left = kept * all_.variance
        beyond, noise = recent.mean - kept * all_.mean, recent.variance + left
        odds = self._odds(beyond, noise)
        followed = self.sudden**2 / (self.sudden**2 + noise)
        share = odds * followed
        variance = left + odds * (followed * noise - left + (1 - odds) * (followed * beyond) ** 2)
        return kept * (1 - share), share, variance

    def _odds(self, beyond: Array, noise: Array) -> Array:
        """The chance that the model is suddenly wrong, where recent labels part by ``beyond``."""
        wide = noise + self.sudden**2
        ratio = np.sqrt(wide / noise) * np.exp(beyond**2 / 2 * (1 / wide - 1 / noise))
        return np.asarray(self.chance / (self.chance + (1 - self.chance) * ratio))


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """Mean residuals of A arms: what each record adds to them (L, A), and their variance (A,)."""

    parts: Array
    mean: Array
    variance: Array
    support: Array

    @classmethod
    def of(cls, residual: Array, weight: Array) -> "Residual":
        """Of residuals and weights (L, A); ``support`` as ``effective_labels``, by arm."""
        total = np.maximum(weight.sum(axis=0), 1e-9)
        support = total**2 / np.maximum((weight**2).sum(axis=0), 1e-12)
        squares = (weight * residual**2).sum(axis=0) + SUPPOSED * LABEL_VARIANCE
        variance = squares / (total + SUPPOSED) / np.maximum(support, 1e-9)
        parts = weight * residual / total
        return cls(parts, parts.sum(axis=0), variance, support)


@dataclass(frozen=True, eq=False)
class Basis:
    """What arms are estimated from: a draft that may be ``wrong``, recent traffic, and labels."""

    draft: PolicyDocument
    traffic: Columns
    labels: Labels
    wrong: ModelError

    @cached_property
    def expected(self) -> Outlook:
        """The traffic as the draft sees it."""
        return Outlook.of(self.draft, self.traffic)

    @cached_property
    def recalled(self) -> Outlook:
        """The labelled queries as the draft sees them."""
        return Outlook.of(self.draft, self.labels)

    @cached_property
    def moved(self) -> Array:
        """By how much chance may have moved the level of each tier; see ``moved_levels``."""
        return moved_levels(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Robust:
    """Estimates of A arms and what they are made of.

    ``modelled``: (N, A) over the traffic. ``parts`` (L, A): what each labelled record adds to an
    arm's quality. ``support`` (A,): the effective number of labels. ``doubt`` (A,): by how much
    more a sum of parts errs than they do, for how wrong the model is was only supposed.
    """

    modelled: Imagined
    parts: Array
    support: Array
    doubt: Array
    optimism: Array

    @property
    def errors(self) -> Array:
        """(L, A) Their root sum of squares is the standard error of a sum of parts."""
        return self.parts * self.doubt

    @property
    def quality(self) -> Array:
        """(A,) Corrected, within [0, 1]."""
        corrected = self.modelled.quality.mean(axis=0) + self.parts.sum(axis=0) - self.optimism
        return np.asarray(np.clip(corrected, 0.0, 1.0))


def estimate(basis: Basis, arms: Arms) -> list[Estimate]:
    """One estimate an arm."""
    found = robust(basis, Arms((ALWAYS_CLOUD, *arms)))
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


def robust(basis: Basis, arms: Arms) -> Robust:
    """The estimates of these arms, record by record."""
    modelled, recalled = (imagine(seen, arms.columns) for seen in (basis.expected, basis.recalled))
    rectified = _rectify(basis.labels, recalled, basis.wrong)
    return Robust(modelled, *rectified, _flattered(basis, arms, modelled))


def _flattered(basis: Basis, arms: Arms, modelled: Imagined) -> Array:
    """(A,) By how much picking among tiers flatters each arm: of two tiers none."""
    if len(basis.draft.dear) == 1:
        return np.zeros(len(arms))
    return optimism(basis.draft, basis.traffic, basis.moved, arms.columns, modelled.to_dear)


def root_sum(parts: Array) -> Array:
    """The standard error of a sum over independent records (L, ...)."""
    return np.asarray(np.sqrt((parts**2).sum(axis=0)))


def _rectify(labels: Labels, imagined: Imagined, wrong: ModelError) -> tuple[Array, Array, Array]:
    """What each record adds to the correction (L, A); the effective labels, the doubt (A,)."""
    y, asked, known_path = _served(labels, imagined)
    observed = known_path & ~np.isnan(y) & (asked > 0)
    drawn = np.maximum(labels.probability.max(axis=1), 1e-9)  # the audit's: some tier served
    usual = len(drawn) / max((1 / drawn).sum(), 1e-9)  # so that a usual record weighs one
    inverse = np.where(observed, usual / np.maximum(asked, 1e-9), 0.0)
    residual = np.where(observed, np.nan_to_num(y) - imagined.quality, 0.0)
    all_ = Residual.of(residual, labels.weight[:, None] * inverse)
    recent = Residual.of(residual, labels.recent[:, None] * inverse)
    kept, followed, variance = wrong.believed(all_, recent)
    parts = kept * all_.parts + followed * recent.parts
    return parts, all_.support, np.sqrt(variance) / np.maximum(root_sum(parts), 1e-12)


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
