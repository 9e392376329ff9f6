"""How much of what its wording says of a query is believed, where clients name categories.

Some hundred labels tell the level of a category well, and the weights of thousands of words badly.
So the log-odds of p_hat are those of a usual query of the category, and a share of what the words
of this one add to or take from them. The share is the mean of a few, each as likely as the labels
that it foresaw make it, and as they fade (Raftery et al., Online Prediction Under Model
Uncertainty via Dynamic Model Averaging, Technometrics 52, 2010). Where nobody names a category
words are all there is, and count in full (docs/decisions/018-words-earn-their-say.md).
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from dataplane.contract.rule import expit, logit

SHARES = np.linspace(0.0, 1.0, 5)
KEPT = 0.997  # of what a label told, once the next one comes
RECORDED = 0.02  # nats that words are taken to have gained by each label of a recording
EDGE = 0.005  # no share foresees a label with more certainty


class Wording:
    """``share`` is in force; ``usual`` has the log-odds that the words of a usual query of each
    category come to. What each of ``SHARES`` foresaw is the sum of its faded log-likelihoods.
    """

    def __init__(self, labels: int = 0) -> None:
        self.share = 1.0
        self.usual: dict[int, float] = {}
        self._foresaw = RECORDED * labels * SHARES

    def met(self, usual: Mapping[int, float], of_it: float = 1.0) -> None:
        """The usual words of each category, anew; the share is so much of what was foreseen."""
        self.usual |= usual
        likely = np.exp(self._foresaw - self._foresaw.max())
        self.share = of_it * float(likely @ SHARES / likely.sum())

    def heard(self, category: int, said: float, p_hat: float, right: float) -> None:
        """A label, in [0, 1], before any step; the words of its query ``said`` these log-odds."""
        if category not in self.usual:
            return
        more = said - self.usual[category]
        level = float(logit(p_hat)) - self.share * more
        foreseen = np.clip(expit(level + SHARES * more), EDGE, 1 - EDGE)
        told = right * np.log(foreseen) + (1 - right) * np.log(1 - foreseen)
        self._foresaw = KEPT * self._foresaw + told

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs, as JSON values."""
        return {
            "share": self.share,
            "usual": list(self.usual.items()),
            "foresaw": self._foresaw.tolist(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Inverse of ``state``."""
        wording = cls()
        wording.share = state["share"]
        wording.usual = dict(state["usual"])
        wording._foresaw = np.array(state["foresaw"])
        return wording
