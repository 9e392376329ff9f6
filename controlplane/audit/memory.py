"""What is remembered of recent queries, under one frozen estimator."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from controlplane.audit.shifts import Seen, Times, Told
from controlplane.observations import Labelled, Observation
from dataplane.contract.terms import LinearEstimator

KEPT = 5_000  # queries
BEFORE = 500  # of them, at least, before a moment that is looked at
LABELS = 60  # of which so many have labels
DIGITS = 5  # of a p_hat and of a score
NONE = float("nan")


@dataclass
class Memory:
    """The last ``KEPT`` queries, and labels of them; ``born``: how many labels came before."""

    estimator: LinearEstimator
    born: int = 0
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=KEPT))
    told: deque[Told] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        """Whether it holds all that it may."""
        return len(self.seen) == KEPT

    def saw(self, seen: Observation, score: float | None) -> None:
        """One more query."""
        self.seen.append(Seen(seen.at.timestamp(), self._p_hat(seen), _known(score)))

    def heard(self, each: Labelled, right: float, score: float | None) -> None:
        """A label of its local answer."""
        seen = each.observation
        at, p_hat = seen.at.timestamp(), self._p_hat(seen)
        self.told.append(Told(at, p_hat, _known(score), right, 1 / each.audit_probability))

    def _p_hat(self, seen: Observation) -> float:
        return round(self.estimator.p_hat(seen.features), DIGITS)

    def unscored(self) -> None:
        """Forget scores without labels: other answers are judged from here on."""
        self.seen = deque((each._replace(score=NONE) for each in self.seen), maxlen=KEPT)

    def cut(self, since: float) -> None:
        """Forget what came before."""
        self.seen = deque((each for each in self.seen if each.at >= since), maxlen=KEPT)
        self.told = deque(each for each in self.told if each.at >= since)

    def last(self, queries: int) -> float:
        """When the last so many began (seconds)."""
        return self.seen[-queries].at

    def times(self, moments: Sequence[float]) -> Iterator[Times]:
        """Before and after each moment (seconds) before which enough is known."""
        if not self.seen:
            return
        self.told = deque(each for each in self.told if each.at >= self.seen[0].at)
        seen, told = np.array(self.seen), np.array(self.told).reshape(-1, len(Told._fields))
        seen[np.isin(seen[:, 0], told[:, 0]), 2] = np.nan
        for since in moments:
            times = Times(seen, told, since)
            enough = (~times.seen_after).sum() >= BEFORE and (~times.told_after).sum() >= LABELS
            if enough and times.seen_after.any():
                yield times

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "estimator": self.estimator.model_dump(mode="json"),
            "born": self.born,
            "seen": [[at, p_hat, _plain(score)] for at, p_hat, score in self.seen],
            "told": [
                [at, p_hat, _plain(score), right, weight]
                for at, p_hat, score, right, weight in self.told
            ],
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        """Inverse of ``to_json``."""
        memory = cls(LinearEstimator(**state["estimator"]), state["born"])
        memory.seen.extend(Seen(at, p_hat, _known(score)) for at, p_hat, score in state["seen"])
        memory.told.extend(
            Told(at, p_hat, _known(score), right, weight)
            for at, p_hat, score, right, weight in state["told"]
        )
        return memory


def _known(score: float | None) -> float:
    return NONE if score is None else score


def _plain(score: float) -> float | None:
    return None if np.isnan(score) else score
