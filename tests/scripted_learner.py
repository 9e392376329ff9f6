"""A learner that does what a test tells it: it counts, and proposes the lambdas it was given."""

import json
from collections.abc import Sequence
from datetime import datetime

from controlplane.cycle import School
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument


class ScriptedLearner:
    """Counts what it is shown; proposes ``lambdas`` one after the other, each from one query on."""

    def __init__(self, lambdas: Sequence[float] = ()) -> None:
        self.lambdas = list(lambdas)
        self.observed: list[str] = []
        self.labelled: list[str] = []
        self._alarms: list[str] = []

    def follow(self, live: PolicyDocument) -> None:
        """Whatever serves."""

    def observe(self, observations: Sequence[Observation]) -> None:
        """Remember who came."""
        self.observed += [str(seen.decision_id) for seen in observations]
        if len(self.observed) == 13:
            self._alarms.append("thirteen queries were seen")

    def learn(self, labelled: Sequence[Labelled]) -> None:
        """Remember whose label came."""
        self.labelled += [str(each.observation.decision_id) for each in labelled]

    def propose(
        self,
        live: PolicyDocument,
        now: datetime,
        *,
        undecided: bool = False,
    ) -> PolicyDocument | None:
        """The next lambda, if there is one and something to learn from."""
        if not (self.lambdas and self.observed):
            return None
        segment = live.segments[0].model_copy(update={"lambda_": self.lambdas.pop(0)})
        return live.model_copy(
            update={
                "version": live.version + 1,
                "parent": live.version,
                "kind": "retune",
                "author": "learner",
                "reason": f"scripted lambda {segment.lambda_}",
                "issued_at": now,
                "segments": (segment,),
            }
        ).rederived()

    def alarms(self) -> list[str]:
        """Alarms since the last call."""
        raised, self._alarms = self._alarms, []
        return raised

    def to_json(self) -> str:
        """All of it."""
        return json.dumps([self.lambdas, self.observed, self.labelled])

    @classmethod
    def from_json(cls, text: str) -> "ScriptedLearner":
        """Inverse of ``to_json``."""
        learner = cls()
        learner.lambdas, learner.observed, learner.labelled = json.loads(text)
        return learner


def scripted(*lambdas: float) -> School:
    """A school whose learners propose these lambdas."""
    return School(lambda: ScriptedLearner(lambdas), ScriptedLearner.from_json)
